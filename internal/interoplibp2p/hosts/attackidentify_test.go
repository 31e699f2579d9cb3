package hosts

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
)

// field is one field of a protocol buffer.
func field(n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), v)
}

func delimited(b []byte) []byte { return append(protowire.AppendVarint(nil, uint64(len(b))), b...) }

// answering returns a go-libp2p host that answers identify with answer.
func (a *arena) answering(t *testing.T, s gopeer.Stack, answer func(network.Stream)) p2phost.Host {
	t.Helper()
	h := a.attacker(t, s)
	h.SetStreamHandler("/ipfs/id/1.0.0", answer)
	return h
}

// identifyAnswers sends improper answers, which must be refused in time and in little memory.
func identifyAnswers(t *testing.T, a *arena) {
	stop := make(chan struct{})
	defer close(stop)
	say := func(b []byte) func(network.Stream) {
		return func(s network.Stream) {
			_, _ = s.Write(b)
			<-stop
			_ = s.Reset()
		}
	}
	before := a.Usage(t)
	var wg sync.WaitGroup
	for name, answer := range map[string]func(network.Stream){
		"2^62 bytes announced": say(protowire.AppendVarint(nil, 1<<62)),
		"9 KiB":                say(delimited(field(6, make([]byte, 9<<10)))),
		"garbage":              say(delimited(bytes.Repeat([]byte{0xff}, 1000))),
		"half a message":       say(delimited(field(6, make([]byte, 4<<10)))[:1000]),
		"messages without end": func(s network.Stream) {
			for m := delimited(field(3, make([]byte, 8<<10-8))); ; {
				if _, err := s.Write(m); err != nil {
					return
				}
			}
		},
		"another node's key": func(s network.Stream) {
			other, _, _ := crypto.GenerateKeyPair(crypto.Ed25519, 0)
			key, _ := crypto.MarshalPublicKey(other.GetPublic())
			_, _ = s.Write(delimited(field(1, key)))
			_ = s.Close()
		},
		"silence": say(nil),
		"a byte now and then": func(s network.Stream) {
			_, _ = s.Write([]byte{0xff, 0x1f})
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				if _, err := s.Write([]byte{0x0a}); err != nil {
					return
				}
				<-tick.C
			}
		},
		"a closed stream": func(s network.Stream) { _ = s.Close() },
		// A reset is what a node without identify may answer (go-libp2p's, when it dials back for AutoNAT): such a node
		// is a guest that says nothing of itself.
	} {
		for _, s := range []gopeer.Stack{gopeer.Stacks[0], gopeer.Stacks[2]} {
			wg.Go(func() {
				h := a.answering(t, s, answer)
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				if err := h.Connect(ctx, a.info(s.Transport)); err != nil {
					return // so much the better
				}
				began := time.Now()
				for len(h.Network().ConnsToPeer(a.peerID)) > 0 {
					if time.Since(began) > arenaTimeout+2*time.Second {
						t.Errorf("identify with %s over %s: not cut off", name, s.Name)
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
	}
	wg.Wait()
	if after := a.Usage(t); after.Heap > before.Heap+8<<20 {
		t.Errorf("the answers took the program from %v to %v", before, after)
	}
}

// foreignRecords sends correctly signed records of other nodes, which must not enter our store (CVE-2023-40583): they
// cost the link, or the push.
func foreignRecords(t *testing.T, a *arena) {
	var others []string
	var answer []byte
	for i := range 50 {
		key, _, err := crypto.GenerateKeyPair(crypto.Ed25519, 0)
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		rec := peer.NewPeerRecord()
		rec.PeerID, rec.Addrs, rec.Seq = id,
			[]ma.Multiaddr{ma.StringCast(fmt.Sprintf("/ip4/127.9.9.9/tcp/%d", 1000+i))}, 1
		envelope, err := record.Seal(rec, key)
		if err != nil {
			t.Fatal(err)
		}
		b, err := envelope.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, id.String())
		if len(answer) < 7<<10 {
			answer = append(answer, field(8, b)...)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	liar := a.answering(t, gopeer.Stacks[0], func(s network.Stream) {
		_, _ = s.Write(delimited(answer))
		_ = s.Close()
	})
	_ = liar.Connect(ctx, a.info("tcp")) // it may believe for a moment that it is connected
	node.Await(t, "the attacker is cut off", func() bool { return len(liar.Network().ConnsToPeer(a.peerID)) == 0 })
	if a.lists(t, liar.ID().String()) {
		t.Error("a node that shows the records of others is linked")
	}

	h := a.answering(t, gopeer.Stacks[0], func(s network.Stream) {
		_, _ = s.Write(delimited(field(3, []byte("/first/1.0.0"))))
		_ = s.Close()
	})
	if err := h.Connect(ctx, a.info("tcp")); err != nil {
		t.Fatal(err)
	}
	node.Await(t, "the attacker is linked", func() bool { return a.lists(t, h.ID().String()) })
	push := func(b []byte) {
		st, err := h.NewStream(ctx, a.peerID, "/ipfs/id/push/1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = st.Write(delimited(b))
		_ = st.CloseWrite()
		_, _ = io.Copy(io.Discard, st) // until it is done with the push
		_ = st.Close()
	}
	push(append(field(3, []byte("/pushed/1.0.0")), answer...))
	if slices.Contains(a.peer(t, h.ID().String()).Protocols, "/pushed/1.0.0") {
		t.Error("a push with the records of others is taken")
	}
	push(field(3, []byte("/later/1.0.0")))
	node.Await(t, "the next push is taken", func() bool {
		return slices.Contains(a.peer(t, h.ID().String()).Protocols, "/later/1.0.0")
	})
	known, err := a.client.Store(ctx, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range known {
		for _, at := range k.Addresses {
			if strings.Contains(at.Address, "127.9.9.9") || slices.ContainsFunc(others, func(id string) bool {
				return strings.Contains(at.Address, id)
			}) {
				t.Errorf("the program has learned %+v", k)
			}
		}
	}
}

// excess sends very many protocols and addresses. We must keep a bounded number and the peer.
func excess(t *testing.T, a *arena) {
	before := a.Usage(t)
	var answer []byte
	for m := range 10 {
		var body []byte
		for i := 0; len(body) < 8000; i++ {
			body = append(body, field(3, fmt.Appendf(nil, "/p/%d/%d", m, i))...)
			body = append(body, field(2, ma.StringCast(fmt.Sprintf("/ip4/127.8.%d.%d/tcp/1", m, i%250)).Bytes())...)
		}
		answer = append(answer, delimited(body)...)
	}
	const most = 20
	for kept, tries := 0, 0; kept < 4; tries++ {
		if tries == most {
			t.Fatalf("of %d attackers that sent too much, the program kept the bounded answer of %d only", most, kept)
		}
		h := a.answering(t, gopeer.Stacks[0], func(s network.Stream) {
			_, _ = s.Write(answer)
			_ = s.Close()
		})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Connect(ctx, a.info("tcp")); err != nil {
			t.Fatal(err)
		}
		node.Await(t, "the attacker is linked", func() bool { return a.lists(t, h.ID().String()) })
		switch p := a.peer(t, h.ID().String()); {
		case len(p.Listen) == 64 && len(p.Protocols) == 256:
			kept++
		case len(p.Listen) != len(h.Addrs()) || len(p.Protocols) != len(h.Mux().Protocols()):
			// not what go-libp2p's own push has sent since
			t.Errorf("of the attacker the program keeps %d addresses and %d protocols, want 64 and 256",
				len(p.Listen), len(p.Protocols))
			kept++
		default:
			_ = h.Close()
		}
	}
	if after := a.Usage(t); after.Heap > before.Heap+4<<20 {
		t.Errorf("4 such peers took the program from %v to %v", before, after)
	}
}

// pushFlood sends many identify pushes. We must read a few and reset the streams of the others.
func pushFlood(t *testing.T, a *arena) {
	const each, burst = 100, 8
	before := a.Usage(t)
	var large []byte
	for range 10 {
		large = append(large, delimited(field(3, bytes.Repeat([]byte("/x"), 120)))...)
	}
	for name, push := range map[string][]byte{
		"large": large, "a length of 2^62": protowire.AppendVarint(nil, 1<<62),
		"garbage": delimited(bytes.Repeat([]byte{0xff}, 1000)), "nothing": nil,
	} {
		for _, s := range []gopeer.Stack{gopeer.Stacks[0], gopeer.Stacks[2]} {
			h := a.attacker(t, s)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := h.Connect(ctx, a.info(s.Transport)); err != nil {
				t.Fatal(err)
			}
			node.Await(t, "the attacker is linked", func() bool { return a.lists(t, h.ID().String()) })
			ended := make(chan struct{}, each)
			var wg sync.WaitGroup
			for range each {
				wg.Go(func() {
					st, err := h.NewStream(ctx, a.peerID, "/ipfs/id/push/1.0.0")
					if err == nil {
						_, _ = st.Write(push)
						_, err = st.Read(make([]byte, 1)) // our side is left open
						_ = st.Reset()
					}
					if ctx.Err() == nil && err != nil {
						ended <- struct{}{}
					}
				})
			}
			for range each - burst {
				select {
				case <-ended:
				case <-ctx.Done():
					t.Errorf("pushes with %s over %s: %d of %d streams were ended, want %d at least", name, s.Name,
						len(ended), each, each-burst)
				}
			}
			if !a.lists(t, h.ID().String()) {
				t.Errorf("pushes with %s over %s ended the link", name, s.Name)
			}
			cancel()
			_ = h.Close()
			wg.Wait()
		}
	}
	if after := a.Usage(t); after.Heap > before.Heap+8<<20 {
		t.Errorf("pushes took the program from %v to %v", before, after)
	}
}
