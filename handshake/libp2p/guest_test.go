package libp2p

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
)

// guest is an ordinary libp2p node with a session: it has identify and what else it is given, but no hello.
type guest struct {
	*lanes.Session
	streams muxer.Streams
	over    chan struct{}
}

// protocols that a guest lists in identify, and how it serves streams.
type plainNode struct {
	identify func(muxer.Stream) // nil: as it should
	lists    []string
	serve    map[string]func(context.Context, muxer.Stream)
}

// begin makes a guest of a raw connection: security, muxer, session.
func (n plainNode) begin(t *testing.T, raw *handshaketest.Conn, side muxer.Side) *guest {
	t.Helper()
	if _, err := agree(raw, side, []string{"/plain"}); err != nil {
		t.Error(err)
		return nil
	}
	sc, err := plain{yamux.Protocol}.Secure(t.Context(), raw,
		handshake.Securing{Side: side, Identity: keyB, CheckKey: func(handshake.PublicKey) error {
			return nil
		}})
	if err != nil {
		t.Error(err)
		return nil
	}
	m, err := yamux.New(yamux.Config{})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := m.New(sc, side)
	if err != nil {
		t.Error(err)
		return nil
	}
	serve := map[string]func(context.Context, muxer.Stream){}
	serve[protocolIdentify] = func(_ context.Context, s muxer.Stream) {
		if n.identify != nil {
			n.identify(s)
			return
		}
		b := field(fieldPublicKey, string(keyB.Public().AppendProto(nil)))
		b = append(b, field(fieldAgent, "plain/1")...)
		for _, p := range n.lists {
			b = append(b, field(fieldProtocol, p)...)
		}
		_, _ = s.Write(delimited(b))
	}
	for p, f := range n.serve {
		serve[p] = f
	}
	session := lanes.New(streams, lanes.Config{Serve: func(p string) func(context.Context, muxer.Stream) {
		return serve[p]
	}})
	if err := session.SetChannels(nil); err != nil {
		t.Fatal(err)
	}
	g := &guest{session, streams, make(chan struct{})}
	go func() {
		defer close(g.over)
		_ = session.Run(context.Background(), &muxertest.Inbox{})
	}()
	return g
}

func (g *guest) end() {
	_ = g.Close(muxer.CodeBanned, "")
	<-g.over
}

// meetGuest makes a link of ours with a guest; play is what the guest does once it has a session.
func meetGuest(t *testing.T, side muxer.Side, n plainNode, play func(*guest)) (*handshake.Link, *guest, error) {
	t.Helper()
	us, _ := ends()
	us.security = plain{yamux.Protocol}
	x, y := rawPair()
	guests := make(chan *guest, 1)
	if side == muxer.Dialer { // we dial
		go func() {
			g := n.begin(t, y, muxer.Listener)
			if g != nil && play != nil {
				play(g)
			}
			guests <- g
		}()
		l, err := us.upgrader(t).Outbound(t.Context(), x, address(t, keyB), 0)
		return l, <-guests, err
	}
	go func() {
		g := n.begin(t, x, muxer.Dialer)
		if g != nil && play != nil {
			play(g)
		}
		guests <- g
	}()
	u := us.upgrader(t)
	ticket, err := u.Admit(y)
	if err != nil {
		t.Fatal(err)
	}
	l, err := u.Inbound(t.Context(), y, ticket)
	return l, <-guests, err
}

// A node without a hello is a guest, whoever dials, and whether it asks us first, does something else, or waits.
func TestGuest(t *testing.T) {
	n := plainNode{lists: []string{"/one", "/two", "/ping"}} // "/one" is not for guests
	for name, c := range map[string]struct {
		side muxer.Side
		play func(t *testing.T, g *guest)
		wait time.Duration
	}{
		"we dial":            {muxer.Dialer, nil, 0},
		"we dial, it asks":   {muxer.Dialer, ask, 0},
		"it dials and asks":  {muxer.Listener, ask, 0},
		"it dials and waits": {muxer.Listener, nil, firstStream},
		"it dials, for a ping": {muxer.Listener,
			func(t *testing.T, g *guest) { _, _ = Ping(t.Context(), g.Session, 1) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				l, g, err := meetGuest(t, c.side, n, func(g *guest) {
					if c.play != nil {
						c.play(t, g)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != c.wait {
					t.Errorf("it took %v, want %v", took, c.wait)
				}
				if !l.Remote.Guest || l.Confirm != nil || l.Remote.Version != "plain/1" ||
					!bytes.Equal(l.Remote.Channels, []byte{2}) {
					t.Errorf("%+v", l.Remote)
				}
				leave(l)
				g.end()
			})
		})
	}
}

// ask identifies us.
func ask(t *testing.T, g *guest) {
	if m, err := identify(t.Context(), g.Session); err != nil || !slices.Contains(m.protocols, "/two") {
		t.Errorf("identify: %+v, %v", m, err)
	}
}

// One of our own nodes whose hello is late is no guest.
func TestLateHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, g, err := meetGuest(t, muxer.Listener, plainNode{lists: []string{protocolHello}}, func(g *guest) {
			time.Sleep(2 * firstStream)
			raw, err := g.streams.Open(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			m := ownHello(&handshake.Attempt{Local: handshake.NodeInfo{Moniker: "late", Network: "net"},
				Channels: []muxer.Channel{{ID: 2, Name: "/two", Guests: true}}})
			_, _ = raw.Write(frame(multistream.Propose(protocolHello), m))
		})
		if err != nil {
			t.Fatal(err)
		}
		if l.Remote.Guest || l.Remote.Moniker != "late" || l.Confirm == nil {
			t.Errorf("%+v", l.Remote)
		}
		leave(l)
		g.end()
	})
}

// A guest that lists CometBFT's names sends and gets each message on a stream of its own.
func TestSingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := cometName(muxer.Channel{ID: 2})
		got := make(chan []byte, 100)
		n := plainNode{lists: []string{name}, serve: map[string]func(context.Context, muxer.Stream){
			name: func(_ context.Context, s muxer.Stream) {
				b, err := io.ReadAll(s)
				size, n := binary.Uvarint(b)
				if err != nil || n <= 0 || int(size) != len(b)-n {
					t.Errorf("%v; %d bytes of %d", err, len(b)-n, size)
					return
				}
				got <- b[n:]
			},
		}}
		l, g, err := meetGuest(t, muxer.Dialer, n, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer g.end()
		if !bytes.Equal(l.Remote.Channels, []byte{2}) {
			t.Errorf("channels %v", l.Remote.Channels)
		}
		in := &streamInbox{}
		if err := l.Session.Send(t.Context(), 2, []byte("before Run")); err != nil {
			t.Error(err)
		}
		run(t, l, in)
		if b := <-got; string(b) != "before Run" {
			t.Errorf("%q", b)
		}
		for _, size := range []int{1, 100, 500, 20_000, 1 << 20} {
			msg := bytes.Repeat([]byte{byte(size)}, size)
			if err := l.Session.Send(t.Context(), 2, msg); err != nil {
				t.Error(err)
			}
			if b := <-got; !bytes.Equal(b, msg) {
				t.Errorf("%d bytes arrived as %d", size, len(b))
			}
			sendSingly(t, g, name, msg, len(msg), true)
			if m := in.Await(1)[0]; m.Channel != 2 || !bytes.Equal(m.Data, msg) {
				t.Errorf("%d bytes came as %d on channel %d", size, len(m.Data), m.Channel)
			}
		}
		for i := range 300 { // many at once, more than are sent at once
			if err := l.Session.Send(t.Context(), 2, []byte{byte(i)}); err != nil {
				t.Error(err)
			}
			if i%100 == 99 {
				for range 100 {
					<-got
				}
			}
		}
		synctest.Wait()
		if st := l.Session.Stats(); st.SentMessages != 306 || st.ReceivedMessages != 5 || st.Dropped != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// sendSingly opens a stream as CometBFT does, says that a message of size bytes comes, and sends b.
func sendSingly(t *testing.T, g *guest, name string, b []byte, size int, whole bool) muxer.RawStream {
	t.Helper()
	raw, err := g.streams.Open(t.Context())
	if err != nil {
		t.Error(err)
		return nil
	}
	_, _ = raw.Write(append(binary.AppendUvarint(multistream.Propose(name), uint64(size)), b...))
	if whole {
		_ = raw.CloseWrite()
		_ = raw.Close()
	}
	return raw
}

// What remotes can do on such streams costs them the stream, or the link where a channel's limit is broken; memory is
// bounded.
func TestSinglyAttacks(t *testing.T) {
	name := cometName(muxer.Channel{ID: 2})
	synctest.Test(t, func(t *testing.T) {
		l, g, err := meetGuest(t, muxer.Dialer, plainNode{lists: []string{name}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer g.end()
		in := &streamInbox{}
		ended := make(chan error, 1)
		go func() { ended <- l.Session.Run(context.Background(), in) }()
		for i, b := range [][]byte{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {5, 'a'}, {1, 'a', 'b'}, nil} {
			raw, err := g.streams.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = raw.Write(append(multistream.Propose(name), b...))
			_ = raw.CloseWrite()
			if err := multistream.Await(raw, name); err == nil {
				_, err = raw.Read(make([]byte, 1))
				if err == nil || errors.Is(err, io.EOF) {
					t.Errorf("case %d: %v", i, err)
				}
			}
		}
		// Many that stop in the middle: they hold places until their time is up, and other messages arrive behind them.
		for range 2 * muxerSingles {
			sendSingly(t, g, name, []byte("half"), 1<<20, false)
		}
		sendSingly(t, g, name, []byte("whole"), 5, true)
		if m := in.Await(1)[0]; string(m.Data) != "whole" {
			t.Errorf("%q", m.Data)
		}
		// A stated length beyond the channel's limit ends the link.
		sendSingly(t, g, name, nil, muxer.DefaultMaxMessage+1, false)
		var ce *muxer.CloseError
		if err := <-ended; !errors.As(err, &ce) || ce.Code != muxer.CodeMessageTooBig {
			t.Error(err)
		}
	})
}

// muxerSingles is how many such streams a session reads at once (muxer/lanes/single.go).
const muxerSingles = 64

// A guest that we refuse has its streams reset: that we do not have their protocol would be a lie, which it remembers.
func TestStreamsOfARefusedGuestAreReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, g, err := meetGuest(t, muxer.Listener, plainNode{}, func(g *guest) { ask(t, g) })
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 1)
		go func() {
			s, err := g.OpenStream(context.Background(), "/app")
			if err == nil {
				_, err = s.Read(make([]byte, 1))
			}
			errs <- err
		}()
		synctest.Wait() // it waits for our answer
		_ = l.Session.Close(muxer.CodeTooManyPeers, "full")
		_ = l.Session.Run(t.Context(), nil)
		if err := <-errs; err == nil || errors.Is(err, muxer.ErrUnknownProtocol) {
			t.Errorf("its stream ended with %v", err)
		}
		g.end()
	})
}
