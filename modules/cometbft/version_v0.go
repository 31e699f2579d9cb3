//go:build !cometbft1

package cometbft

import (
	"fmt"
	"sync"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/version"
)

// Version is the version of CometBFT that this build has.
const Version = version.TMCoreSemVer

type queryRequest = abci.RequestQuery

// peerCount holds the counters of one peer by channel.
type peerCount struct{ sent, received sync.Map }

// countPeer counts bytes of messages by peer and channel.
func (y *yard) countPeer(p *peer, ch byte, sent bool, n int) {
	known, all := &p.count.received, y.metrics.PeerReceiveBytesTotal
	if sent {
		known, all = &p.count.sent, y.metrics.PeerSendBytesTotal
	}
	c, ok := known.Load(ch)
	if !ok {
		c, _ = known.LoadOrStore(ch, all.With("peer_id", string(p.ID()), "chID", fmt.Sprintf("%#x", ch)))
	}
	c.(counter).Add(float64(n))
}
