package services

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// dhtOf runs the service over a host.
func dhtOf(t *testing.T, h corehost.Host, change ...func(*DHTConfig)) *DHT {
	t.Helper()
	cfg := DefaultDHT()
	for _, fn := range change {
		fn(&cfg)
	}
	d, err := NewDHT(cfg, h, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	run(t, d.Run)
	return d
}

// needy is a discovery.Network that needs peers.
type needy struct{ discovery.Network }

func (needy) NeedsPeers() bool { return true }

// Five nodes know the first one alone. They find each other by id, with all who have something, values, and as a source
// of peers.
func TestDHT(t *testing.T) {
	ctx := within(t)
	var hosts []corehost.Host
	var tables []*DHT
	for range 5 {
		h := node(t)
		hosts, tables = append(hosts, h), append(tables, dhtOf(t, h))
	}
	for _, h := range hosts[1:] {
		connect(t, h, hosts[0])
	}
	eventually(t, "the first node has all in its table", func(ctx context.Context) bool {
		list, err := tables[0].Peers(ctx)
		return err == nil && len(list) == 4
	})
	if p := tables[1].Prefix(); p != "/switchyard/test" {
		t.Errorf("the table is %s", p)
	}
	found, err := tables[1].FindPeer(ctx, hosts[4].ID())
	if err != nil || found.ID != hosts[4].ID() || len(found.Addrs) == 0 {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := tables[1].FindPeer(ctx, peer.ID(hosts[0].ID()[:8])); err == nil {
		t.Error("half a peer id is taken")
	}

	key := must[cid.Cid](t)(KeyOf("a thing"))
	if err := tables[2].Provide(ctx, key); err != nil {
		t.Fatal(err)
	}
	has, err := tables[3].FindProviders(ctx, key, 5)
	if err != nil || len(has) != 1 || has[0].ID != hosts[2].ID() {
		t.Errorf("providers: %v, %v", has, err)
	}
	if again, err := KeyOf(key.String()); err != nil || again != key {
		t.Errorf("a CID is not its own key: %v, %v", again, err)
	}
	if _, err := tables[3].FindProviders(ctx, must[cid.Cid](t)(KeyOf("another")), 5); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody has it: %v", err)
	}

	value := []byte("a value")
	at := HashKey(value)
	if err := tables[3].PutValue(ctx, at, value); err != nil {
		t.Fatal(err)
	}
	if got, err := tables[4].GetValue(ctx, at); err != nil || string(got) != "a value" {
		t.Errorf("the value is %q, %v", got, err)
	}
	if err := tables[3].PutValue(ctx, at, []byte("another")); err == nil {
		t.Error("another value is taken in its place")
	}
	if _, err := tables[3].GetValue(ctx, HashKey([]byte("none"))); !errors.Is(err, ErrNotFound) {
		t.Errorf("a value that nobody has: %v", err)
	}

	source := must[discovery.Source](t)(NewSource(DefaultSource(), tables[4], discovery.Env{}))
	missing := map[transport.NodeID]bool{}
	for _, h := range hosts[:4] {
		missing[nameOf(h.ID()).NodeID] = true
	}
	looking, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	err = source.Run(looking, needy{}, func(a transport.Address, from transport.NodeID) {
		mu.Lock()
		defer mu.Unlock()
		if from == "" || from == nameOf(hosts[4].ID()).NodeID || a.ID() == nameOf(hosts[4].ID()).NodeID {
			t.Errorf("%s reports %s", from, a)
		}
		delete(missing, a.ID())
		if len(missing) == 0 {
			stop()
		}
	})
	if err != nil || len(missing) > 0 {
		t.Errorf("the source did not report %v: %v", missing, err)
	}
}

// The source reports no more than it may, ends with the service, and lookups have their bounds.
func TestDHTBounds(t *testing.T) {
	ctx := within(t)
	a, b, c := node(t), node(t), node(t)
	one := func(cfg *DHTConfig) { cfg.Lookups = 1 }
	for _, h := range []corehost.Host{b, c} {
		dhtOf(t, h)
		connect(t, a, h)
	}
	connect(t, b, c)
	d, err := NewDHT(func() DHTConfig { cfg := DefaultDHT(); one(&cfg); return cfg }(), a, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	serving, end := context.WithCancel(t.Context())
	defer end()
	done := make(chan error, 1)
	go func() { done <- d.Run(serving) }()
	eventually(t, "the table has both", func(ctx context.Context) bool {
		list, err := d.Peers(ctx)
		return err == nil && len(list) == 2
	})
	d.places <- struct{}{}
	var busy *BusyError
	if _, err := d.FindPeer(ctx, c.ID()[:len(c.ID())-1]+"x"); !errors.As(err, &busy) {
		t.Errorf("a second lookup: %v", err)
	}
	<-d.places

	cfg := DefaultSource()
	cfg.MaxPeers, cfg.Every = 1, time.Second
	source := must[discovery.Source](t)(NewSource(cfg, d, discovery.Env{}))
	first := sync.OnceFunc(end)
	ids := map[transport.NodeID]bool{} // of the first lookup
	err = source.Run(ctx, needy{}, func(a transport.Address, _ transport.NodeID) {
		ids[a.ID()] = true
		first()
	})
	if err != nil || ctx.Err() != nil || len(ids) != 1 {
		t.Errorf("the source ended with %v (%v), and reported %d peers", err, ctx.Err(), len(ids))
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := d.GetValue(ctx, "/sha256/00"); !errors.Is(err, host.ErrStopped) {
		t.Errorf("after Run: %v", err)
	}
}

// Records of others have bounds.
func TestBoundedStore(t *testing.T) {
	ctx := t.Context()
	s := newBoundedStore(2, 40)
	put := func(key string, size int) string {
		var full *RecordsError
		switch err := s.Put(ctx, datastore.NewKey(key), make([]byte, size)); {
		case err == nil:
			return "ok"
		case errors.As(err, &full):
			return full.Key
		default:
			return err.Error()
		}
	}
	for i, step := range []struct {
		key  string
		size int
		want string
	}{
		{"a", 10, "ok"}, {"b", 10, "ok"}, {"c", 1, "services.dht.max_records"},
		{"a", 27, "services.dht.max_record_memory"}, {"a", 26, "ok"}, {"b", 11, "services.dht.max_record_memory"},
	} {
		if got := put(step.key, step.size); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	for _, change := range []func(datastore.Batch) error{
		func(b datastore.Batch) error { return b.Delete(ctx, datastore.NewKey("a")) },
		func(b datastore.Batch) error { return b.Put(ctx, datastore.NewKey("c"), []byte("x")) },
	} {
		batch := must[datastore.Batch](t)(s.Batch(ctx))
		if err := errors.Join(change(batch), batch.Commit(ctx)); err != nil {
			t.Error(err)
		}
	}
	if n, size, refused := s.stats(); n != 2 || size != 2+10+2+1 || refused != 3 {
		t.Errorf("%d records of %d bytes, %d refused", n, size, refused)
	}
}

func TestHashKey(t *testing.T) {
	v := hashed{}
	if err := v.Validate(HashKey([]byte("x")), []byte("x")); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"", "/sha256/", HashKey([]byte("y")), "/other" + HashKey([]byte("x"))} {
		if v.Validate(key, []byte("x")) == nil {
			t.Errorf("%q is taken", key)
		}
	}
}

func TestDHTSettings(t *testing.T) {
	if err := errors.Join(DefaultDHT().Validate(), DefaultSource().Validate()); err != nil {
		t.Error(err)
	}
	for key, change := range map[string]func(*DHTConfig){
		"prefix":            func(c *DHTConfig) { c.Prefix = "x" },
		"mode":              func(c *DHTConfig) { c.Mode = "" },
		"bucket_size":       func(c *DHTConfig) { c.BucketSize = 0 },
		"lookups":           func(c *DHTConfig) { c.Lookups = 0 },
		"timeout":           func(c *DHTConfig) { c.Timeout = 0 },
		"max_records":       func(c *DHTConfig) { c.MaxRecords = 0 },
		"max_record_memory": func(c *DHTConfig) { c.MaxRecordMemory = 0 },
		"record_age":        func(c *DHTConfig) { c.RecordAge = 0 },
	} {
		c := DefaultDHT()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), key+": ") {
			t.Errorf("%s: %v", key, err)
		}
	}
	public := DefaultDHT()
	public.Prefix = publicTable
	if err := public.Validate(); err != nil {
		t.Error(err)
	}
	dhtOf(t, node(t), func(c *DHTConfig) { c.Prefix, c.PublicOnly = publicTable, true })
	for _, c := range []SourceConfig{{}, {Every: time.Second}, {Every: time.Second, Timeout: time.Second}} {
		if c.Validate() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
