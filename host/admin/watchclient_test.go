package admin

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A mirror that has applied all messages is what a snapshot would be.
func TestMirrorFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNode(t)
		s := watched(t, f)
		r, _ := readStream(t, s.Handler(), "/v1/stream")
		var m Mirror
		rng := rand.New(rand.NewPCG(1, 2))
		for range 300 {
			f.mu.Lock()
			switch i := rng.IntN(max(len(f.peers), 1)); rng.IntN(4) {
			case 0:
				id := transport.NodeID(strings.Repeat(string("0123456789abcdef"[rng.IntN(16)]), 40))
				if !slices.ContainsFunc(f.peers, func(p host.PeerInfo) bool { return p.ID == id }) {
					f.peers = append(f.peers, host.PeerInfo{ID: id, Connected: time.Now(), Channels: []byte{1, 2, 3}})
				}
			case 1:
				if len(f.peers) > 0 {
					f.peers = slices.Delete(f.peers, i, i+1)
				}
			case 2:
				if len(f.peers) > 0 {
					f.peers[i].Score, f.peers[i].Channels = rng.IntN(100), f.peers[i].Channels[:rng.IntN(2)]
				}
			case 3:
				f.journal.Add(host.Event{Kind: host.EventRefused, Inbound: true,
					Reason: &host.DisconnectError{Code: muxer.CodeTimeout}})
			}
			f.mu.Unlock()
			time.Sleep(time.Second)
			for _, got := range r.messages(t) {
				if kind, err := m.apply([]byte(got.data)); err != nil || kind != got.kind || m.Seq != got.id {
					t.Fatalf("%q for %q, %d, %v: %s", kind, got.kind, m.Seq, err, got.data)
				}
			}
		}
		second, _ := readStream(t, s.Handler(), "/v1/stream")
		want := decode[Snapshot](t, second.messages(t)[0], "snapshot")
		same := func(what string, got, want any) {
			t.Helper()
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			if string(a) != string(b) {
				t.Errorf("%s:\n%s\nwant\n%s", what, a, b)
			}
		}
		for i := range want.Peers { // of which no delta tells
			want.Peers[i].Connected = 0
		}
		for i := range m.Peers {
			m.Peers[i].Connected = 0
		}
		want.Status.Uptime = m.Status.Uptime
		same("peers", m.Peers, want.Peers)
		same("status", m.Status, want.Status)
		same("attempts", m.Dials.Attempts, want.Dials.Attempts)
		same("events", m.Events, want.Events)
		same("traffic", m.Traffic, want.Traffic)
	})
}

// The client reaches the routes over real HTTP.
func TestClientWatches(t *testing.T) {
	f := newFakeNode(t)
	f.records = []peerstore.Record{{ID: idA, Addresses: []peerstore.AddressRecord{{}},
		NotBefore: time.Now().Add(time.Hour)}}
	f.journal.Add(host.Event{Kind: host.EventUp, ID: idA})
	c, _ := serve(t, Config{}, f.node())
	ctx, enough := t.Context(), errors.New("enough")
	var m *Mirror
	err := c.Follow(ctx, func(got *Mirror, kind string) error {
		if kind == "snapshot" {
			f.journal.Add(host.Event{Kind: host.EventDown, ID: idA, Reason: &host.DisconnectError{}})
			return nil
		}
		m = got
		return enough
	})
	if !errors.Is(err, enough) || m.Event == nil || m.Event.Kind != host.EventDown || len(m.Peers) != 2 {
		t.Errorf("%v: %+v", err, m)
	}
	if list, err := c.FindPeers(ctx, url.Values{"direction": {"inbound"}}); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	dials, err := c.Dials(ctx, 0)
	if err != nil || len(dials.Attempts) != 1 {
		t.Errorf("%+v, %v", dials, err)
	}
	if list, err := c.PastEvents(ctx, dials.Attempts[0].Seq); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	n := 0
	if err := c.EventsSince(ctx, 0, nil, func(Event) error {
		if n++; n == 2 {
			return enough
		}
		return nil
	}); !errors.Is(err, enough) {
		t.Error(err)
	}
	if list, err := c.Waiting(ctx); err != nil || len(list) != 1 || list[0].NodeID != idA {
		t.Errorf("%+v, %v", list, err)
	}
	if b, err := c.Book(ctx); err != nil || !reflect.DeepEqual(b.Buckets, Buckets{[]int{3, 0}, []int{2}, 64}) {
		t.Errorf("%+v, %v", b, err)
	}
	if g, err := c.Graph(ctx); err != nil || len(g.Nodes) != 3 {
		t.Errorf("%+v, %v", g, err)
	}
	if tr, err := c.Traffic(ctx); err != nil || len(tr.Channels) != 2 {
		t.Errorf("%+v, %v", tr, err)
	}
	if err := errors.Join(c.Clear(ctx, idA), c.Forget(ctx, idA)); err != nil || len(f.records) != 0 {
		t.Errorf("%v, %v", err, f.records)
	}
	var api *APIError
	if err := c.Forget(ctx, idA); !errors.As(err, &api) || api.Status != 404 {
		t.Error(err)
	}
}
