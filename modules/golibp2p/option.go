package golibp2p

import (
	"log/slog"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// Option is an option of New.
type Option func(*options)

type options struct {
	identity  handshake.Identity
	key       crypto.PrivKey
	store     peerstore.Peerstore
	manager   connmgr.ConnManager
	resources network.ResourceManager
	gater     connmgr.ConnectionGater
	log       *slog.Logger
}

// Identity signs for the programs that use the host: what Peerstore().PrivKey returns signs through it, peer records
// and pubsub messages and nothing else. It must be that of the Switchyard host.
func Identity(id handshake.Identity) Option { return func(o *options) { o.identity = id } }

// PrivateKey is the key itself, for programs that sign other things too. It must be that of the Switchyard host.
func PrivateKey(key crypto.PrivKey) Option { return func(o *options) { o.key = key } }

// Peerstore is where the host keeps what it learns of peers, instead of a peerstore in memory. The caller closes it.
func Peerstore(store peerstore.Peerstore) Option { return func(o *options) { o.store = store } }

// ConnManager replaces the connection manager, such as by go-libp2p's, which hangs up when there are too many
// connections. Without it tags and protections go to the peer manager of the Switchyard host. The host closes it.
func ConnManager(m connmgr.ConnManager) Option { return func(o *options) { o.manager = m } }

// ResourceManager replaces the resource manager, which only counts. The host closes it.
func ResourceManager(m network.ResourceManager) Option { return func(o *options) { o.resources = m } }

// Gater is asked before a peer or an address is dialed, and about connections that are up. What it says of connections
// that are being made is a matter of the Switchyard host: see Gate.
func Gater(g connmgr.ConnectionGater) Option { return func(o *options) { o.gater = g } }

// Logger is where the adapter logs. Without it, it does not.
func Logger(log *slog.Logger) Option { return func(o *options) { o.log = log } }
