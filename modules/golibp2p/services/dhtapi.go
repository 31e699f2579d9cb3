package services

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/transport"
)

// The requests and answers of the API of the DHT.
type (
	// DHTStatus is how a node stands in its table.
	DHTStatus struct {
		Prefix      string `json:"prefix"`
		Mode        string `json:"mode"` // of the configuration
		Peers       int    `json:"peers"`
		Records     int    `json:"records"` // of others, and our own
		RecordBytes int64  `json:"record_bytes"`
	}
	// PeerAddresses is a peer that was found.
	PeerAddresses struct {
		PeerName
		Addresses []string `json:"addresses"`
	}
	// Value is a value and its key.
	Value struct {
		Key   string `json:"key"`
		Value []byte `json:"value"` // in base64
	}
	// Key is a key, and the CID that it stands for.
	Key struct {
		Key string `json:"key"`
		CID string `json:"cid"`
	}
	peerRequest struct {
		Peer string `json:"peer"`
	}
	keyRequest struct {
		Key   string `json:"key"`
		Count int    `json:"count,omitempty"` // of providers; 0 means 20
	}
)

// Bounds of what a request asks for.
const (
	defaultProviders = 20
	mostProviders    = 1000
	// mostAddresses bounds the addresses of a peer in an answer.
	mostAddresses = 64
)

// routes serves what is below /v1/services/dht/. What sends into the network is POST, which needs the token.
func (d *DHT) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		out, err := d.status(r.Context())
		answer(w, out, err)
	})
	mux.HandleFunc("GET /peers", func(w http.ResponseWriter, r *http.Request) {
		list, err := d.Peers(r.Context())
		answer(w, list, err)
	})
	mux.HandleFunc("POST /find-peer", route(d, func(ctx context.Context, in peerRequest) (any, error) {
		id, err := parsePeer(in.Peer)
		if err != nil {
			return nil, err
		}
		found, err := d.FindPeer(ctx, id)
		return addressesOf(found), err
	}))
	mux.HandleFunc("POST /find-providers", route(d, func(ctx context.Context, in keyRequest) (any, error) {
		if in.Count == 0 {
			in.Count = defaultProviders
		}
		if in.Count < 1 || in.Count > mostProviders {
			return nil, fmt.Errorf("count %d: want 1 to %d", in.Count, mostProviders)
		}
		key, err := KeyOf(in.Key)
		if err != nil {
			return nil, err
		}
		found, err := d.FindProviders(ctx, key, in.Count)
		out := make([]PeerAddresses, len(found))
		for i, p := range found {
			out[i] = addressesOf(p)
		}
		return out, err
	}))
	mux.HandleFunc("POST /provide", route(d, func(ctx context.Context, in keyRequest) (any, error) {
		key, err := KeyOf(in.Key)
		if err != nil {
			return nil, err
		}
		return Key{in.Key, key.String()}, d.Provide(ctx, key)
	}))
	mux.HandleFunc("POST /put", route(d, func(ctx context.Context, in Value) (any, error) {
		if in.Key == "" {
			in.Key = HashKey(in.Value)
		}
		return keyRequest{Key: in.Key}, d.PutValue(ctx, in.Key, in.Value)
	}))
	mux.HandleFunc("POST /get", route(d, func(ctx context.Context, in keyRequest) (any, error) {
		value, err := d.GetValue(ctx, in.Key)
		return Value{in.Key, value}, err
	}))
	return mux
}

// route answers a request for a lookup, which takes its time.
func route[T any](d *DHT, do func(context.Context, T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in T
		if !read(w, r, &in) {
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d.cfg.Timeout + answering))
		out, err := do(r.Context(), in)
		answer(w, out, err)
	}
}

// answering is how long an answer may take beside its lookup.
const answering = 10 * time.Second

func (d *DHT) status(ctx context.Context) (DHTStatus, error) {
	lib, err := d.life.get(ctx)
	if err != nil {
		return DHTStatus{}, err
	}
	records, size, _ := d.store.stats()
	return DHTStatus{Prefix: d.prefix, Mode: d.cfg.Mode, Peers: lib.RoutingTable().Size(), Records: records,
		RecordBytes: size}, nil
}

// parsePeer reads a peer id.
func parsePeer(text string) (peer.ID, error) {
	id, err := peer.Decode(text)
	if err == nil {
		return id, nil
	}
	if node, also := transport.ParseNodeID(text); also == nil && node.IsEd25519() {
		return "", errors.New("a node id of 40 hex digits is a hash: give the peer id (12D3Koo...)")
	}
	return "", fmt.Errorf("%.80q is no peer id: %w", text, err)
}

func addressesOf(p peer.AddrInfo) PeerAddresses {
	out := PeerAddresses{PeerName: nameOf(p.ID), Addresses: []string{}}
	for _, m := range p.Addrs[:min(len(p.Addrs), mostAddresses)] {
		out.Addresses = append(out.Addresses, m.String())
	}
	return out
}

// dhtCounts counts what a DHT does.
type dhtCounts struct {
	lookups *prometheus.CounterVec
	peers   prometheus.GaugeFunc
	records prometheus.GaugeFunc
	bytes   prometheus.GaugeFunc
	refused prometheus.CounterFunc
}

func newDHTCounts(d *DHT) *dhtCounts {
	gauge := func(name, help string, value func() float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	return &dhtCounts{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchyard_dht_lookups_total",
			Help: "Lookups in the DHT, by what they were for and how they ended."}, []string{"kind", "outcome"}),
		peers: gauge("switchyard_dht_peers", "Peers in the table of the DHT.", func() float64 {
			select {
			case <-d.life.begun:
				return float64(d.life.lib.RoutingTable().Size())
			default:
				return 0
			}
		}),
		records: gauge("switchyard_dht_records", "Records of the DHT that this node stores.", func() float64 {
			n, _, _ := d.store.stats()
			return float64(n)
		}),
		bytes: gauge("switchyard_dht_record_bytes", "The bytes of these records.", func() float64 {
			_, size, _ := d.store.stats()
			return float64(size)
		}),
		refused: prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "switchyard_dht_records_refused_total",
			Help: "Records beyond services.dht.max_records and services.dht.max_record_memory."}, func() float64 {
			_, _, n := d.store.stats()
			return float64(n)
		}),
	}
}

// collectors returns the service's metrics.
func (d *DHT) collectors() []prometheus.Collector {
	c := d.counts
	return []prometheus.Collector{c.lookups, c.peers, c.records, c.bytes, c.refused}
}
