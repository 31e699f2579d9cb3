package services

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	mh "github.com/multiformats/go-multihash"

	"github.com/switchyard-p2p/switchyard/host"
)

// DHT is a Kademlia table. All methods may be called concurrently. They wait until Run runs, and fail with
// host.ErrStopped when it has ended. Each lookup is bounded by DHTConfig.Timeout, and is a *BusyError if
// DHTConfig.Lookups run already.
type DHT struct {
	cfg    DHTConfig
	prefix string
	host   corehost.Host
	log    *slog.Logger
	store  *boundedStore
	counts *dhtCounts
	life   life[*dht.IpfsDHT]
	places chan struct{} // a place for each lookup
}

// BusyError reports that as many lookups run as may.
type BusyError struct{ Most int }

func (e *BusyError) Error() string {
	return fmt.Sprintf("%d lookups run already: services.dht.lookups allows no more", e.Most)
}

// ErrNotFound reports that a lookup has ended without what it was for.
var ErrNotFound = errors.New("not found in the table")

// NewDHT checks cfg and builds the service, over a host that golibp2p.New has made, or any other of go-libp2p. network
// names the table if cfg has no prefix.
func NewDHT(cfg DHTConfig, h corehost.Host, network string, log *slog.Logger) (*DHT, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &DHT{cfg: cfg, prefix: cfg.Prefix, host: h, log: log,
		store: newBoundedStore(cfg.MaxRecords, cfg.MaxRecordMemory), life: newLife[*dht.IpfsDHT](),
		places: make(chan struct{}, cfg.Lookups)}
	if d.prefix == "" {
		d.prefix = "/switchyard/" + network
	}
	d.counts = newDHTCounts(d)
	return d, nil
}

// Run works until ctx ends.
func (d *DHT) Run(ctx context.Context) error {
	defer close(d.life.ended)
	lib, err := dht.New(d.host, d.options()...)
	if err != nil {
		return err
	}
	d.life.begin(lib)
	if err := lib.Bootstrap(ctx); err != nil {
		return errors.Join(err, lib.Close())
	}
	<-ctx.Done()
	return lib.Close()
}

func (d *DHT) options() []dht.Option {
	opts := []dht.Option{
		dht.ProtocolPrefix(protocol.ID(d.prefix)), dht.Mode(modes[d.cfg.Mode]), dht.Datastore(d.store),
		dht.BucketSize(d.cfg.BucketSize), dht.Concurrency(d.cfg.Concurrency),
		dht.RoutingTableRefreshPeriod(d.cfg.Refresh), dht.MaxRecordAge(d.cfg.RecordAge),
	}
	if d.prefix != publicTable {
		opts = append(opts, dht.NamespacedValidator(hashSpace, hashed{}))
	}
	for name, v := range d.cfg.Validators {
		opts = append(opts, dht.NamespacedValidator(name, v))
	}
	if d.cfg.PublicOnly {
		opts = append(opts, dht.QueryFilter(dht.PublicQueryFilter),
			dht.RoutingTableFilter(dht.PublicRoutingTableFilter), dht.AddressFilter(publicOnly))
	}
	return append(opts, d.cfg.Options...)
}

// publicOnly returns the addresses of the public Internet.
func publicOnly(list []ma.Multiaddr) []ma.Multiaddr {
	return slices.DeleteFunc(slices.Clone(list), func(m ma.Multiaddr) bool { return !manet.IsPublicAddr(m) })
}

// Library returns the library's own, once the service runs. It implements go-libp2p's routing.Routing.
func (d *DHT) Library(ctx context.Context) (*dht.IpfsDHT, error) { return d.life.get(ctx) }

// Prefix returns the name of the table.
func (d *DHT) Prefix() string { return d.prefix }

// lookup runs fn within the bounds of a lookup.
func (d *DHT) lookup(ctx context.Context, kind string, fn func(context.Context, *dht.IpfsDHT) error) error {
	lib, err := d.life.get(ctx)
	if err != nil {
		return err
	}
	select {
	case d.places <- struct{}{}:
		defer func() { <-d.places }()
	default:
		d.counts.lookups.WithLabelValues(kind, "refused").Inc()
		return &BusyError{d.cfg.Lookups}
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	err = fn(ctx, lib)
	if errors.Is(err, routing.ErrNotFound) {
		err = ErrNotFound
	}
	outcome := "done"
	if err != nil {
		outcome = "failed"
	}
	d.counts.lookups.WithLabelValues(kind, outcome).Inc()
	select {
	case <-d.life.ended:
		if err != nil {
			err = host.ErrStopped
		}
	default:
	}
	return err
}

// FindPeer looks for the addresses of a peer.
func (d *DHT) FindPeer(ctx context.Context, id peer.ID) (found peer.AddrInfo, err error) {
	err = d.lookup(ctx, "peer", func(ctx context.Context, lib *dht.IpfsDHT) error {
		found, err = lib.FindPeer(ctx, id)
		return err
	})
	return found, err
}

// Provide tells the nodes next to a key that this node has what it names. They forget it after two days; tell them
// again before.
func (d *DHT) Provide(ctx context.Context, key cid.Cid) error {
	return d.lookup(ctx, "provide", func(ctx context.Context, lib *dht.IpfsDHT) error {
		return lib.Provide(ctx, key, true)
	})
}

// FindProviders looks for up to most peers that have what a key names.
func (d *DHT) FindProviders(ctx context.Context, key cid.Cid, most int) (found []peer.AddrInfo, err error) {
	if most < 1 {
		return nil, fmt.Errorf("%d providers: want at least 1", most)
	}
	err = d.lookup(ctx, "providers", func(ctx context.Context, lib *dht.IpfsDHT) error {
		for p := range lib.FindProvidersAsync(ctx, key, most) {
			// A provider may be told again, with its addresses.
			i := slices.IndexFunc(found, func(q peer.AddrInfo) bool { return q.ID == p.ID })
			if i >= 0 {
				found[i] = p
			} else {
				found = append(found, p)
			}
		}
		switch {
		case len(found) > 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		return ErrNotFound
	})
	return found, err
}

// PutValue stores a value at the nodes next to its key. Its key is /NAME/REST, and the validator of NAME must take it:
// HashKey makes one for any value.
func (d *DHT) PutValue(ctx context.Context, key string, value []byte) error {
	return d.lookup(ctx, "put", func(ctx context.Context, lib *dht.IpfsDHT) error {
		return lib.PutValue(ctx, key, value)
	})
}

// GetValue looks for a value.
func (d *DHT) GetValue(ctx context.Context, key string) (value []byte, err error) {
	err = d.lookup(ctx, "get", func(ctx context.Context, lib *dht.IpfsDHT) error {
		value, err = lib.GetValue(ctx, key)
		return err
	})
	return value, err
}

// Peers returns the peers in the table.
func (d *DHT) Peers(ctx context.Context) ([]PeerName, error) {
	lib, err := d.life.get(ctx)
	if err != nil {
		return nil, err
	}
	list := lib.RoutingTable().ListPeers()
	out := make([]PeerName, len(list))
	for i, p := range list {
		out[i] = nameOf(p)
	}
	slices.SortFunc(out, func(a, b PeerName) int { return compare(a.PeerID, b.PeerID) })
	return out, nil
}

// KeyOf returns the key of a text: a CID as it is, and for any other text the CID of its hash.
func KeyOf(text string) (cid.Cid, error) {
	if c, err := cid.Decode(text); err == nil {
		return c, nil
	}
	sum, err := mh.Sum([]byte(text), mh.SHA2_256, -1)
	if err != nil {
		return cid.Undef, err
	}
	return cid.NewCidV1(cid.Raw, sum), nil
}
