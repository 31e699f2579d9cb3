package libp2p

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
)

// streamInbox also echoes streams.
type streamInbox struct{ muxertest.Inbox }

func (*streamInbox) Serves(p string) bool { return p == "/echo/1.0.0" }
func (*streamInbox) ServeStream(_ context.Context, s muxer.Stream) {
	_, _ = io.Copy(s, s)
	_ = s.Close()
}

func ends() (end, end) {
	d := end{key: keyA, security: plain{},
		channels: []muxer.Channel{{ID: 1, Name: "/one"}, {ID: 2, Name: "/two", Guests: true}}}
	l := end{key: keyB, security: plain{},
		channels: []muxer.Channel{{ID: 1, Name: "/uno"}, {ID: 2, Name: "/two"}, {ID: 8, Name: "/three"}}}
	d.local = handshake.NodeInfo{Version: "dialer/1", Moniker: "dialer", Network: "net",
		Protocols: []string{"/echo/1.0.0"}, Listen: []string{"/ip4/10.0.0.1/tcp/5"}, Height: 7}
	l.local = handshake.NodeInfo{Version: "listener/1", Moniker: "listener", Network: "net",
		Protocols: []string{"/echo/1.0.0"}, Listen: []string{"/ip4/10.0.0.2/tcp/5"}, Height: 8}
	return d, l
}

// A link of two of our own nodes: who is there, the channels that both have, streams, pings.
func TestLink(t *testing.T) {
	for _, early := range []string{"", yamux.Protocol} {
		synctest.Test(t, func(t *testing.T) {
			d, l := ends()
			d.security, l.security = plain{early}, plain{early}
			dl, ll, derr, lerr := shake(t, d, l)
			if derr != nil || lerr != nil {
				t.Fatal(derr, lerr)
			}
			for _, c := range []struct {
				l     *handshake.Link
				id    transport.NodeID
				info  handshake.NodeInfo
				chans []byte
			}{{dl, keyB.ID(), l.local, []byte{2, 8}}, {ll, keyA.ID(), d.local, []byte{2}}} {
				r := c.l.Remote
				if c.l.ID() != c.id || r.Version != c.info.Version || c.l.Security != "plain" || c.l.Muxer != "yamux" ||
					r.Guest || c.l.Confirm == nil ||
					r.Moniker != c.info.Moniker || r.Network != "net" || r.Height != c.info.Height ||
					!slices.Equal(r.Protocols, c.info.Protocols) || !slices.Equal(r.Listen, c.info.Listen) {
					t.Errorf("%+v", c.l)
				}
				if !bytes.Equal(r.Channels, c.chans) {
					t.Errorf("channels %v, want %v", r.Channels, c.chans)
				}
			}
			agreeBoth(t, dl, ll)
			var in streamInbox
			run(t, dl, &streamInbox{})
			run(t, ll, &in)
			if err := dl.Session.Send(t.Context(), 2, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if m := in.Await(1)[0]; m.Channel != 2 || string(m.Data) != "hello" {
				t.Errorf("channel %d: %q", m.Channel, m.Data)
			}
			if err := dl.Session.Send(t.Context(), 1, nil); !errors.Is(err, muxer.ErrUnknownChannel) {
				t.Errorf("a channel that only we have: %v", err)
			}
			for _, l := range []*handshake.Link{dl, ll} {
				ss := l.Session
				if rtts, err := Ping(t.Context(), ss, 3); err != nil || len(rtts) != 3 {
					t.Errorf("ping: %v, %v", rtts, err)
				}
				s, err := ss.OpenStream(t.Context(), "/echo/1.0.0")
				if err != nil {
					t.Fatal(err)
				}
				s.Write([]byte("abc"))
				s.CloseWrite()
				if b, err := io.ReadAll(s); string(b) != "abc" || err != nil {
					t.Errorf("echo: %q, %v", b, err)
				}
				s.Close()
				s, err = ss.OpenStream(t.Context(), "/no")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Read(nil); !errors.Is(err, muxer.ErrUnknownProtocol) || s.Protocol() != "" {
					t.Errorf("a protocol that nobody has: %v, %q", err, s.Protocol())
				}
				s, err = ss.OpenStream(t.Context(), "/no", "/echo/1.0.0", "/neither")
				if err != nil {
					t.Fatal(err)
				}
				s.Write([]byte("abc"))
				s.CloseWrite()
				if b, err := io.ReadAll(s); string(b) != "abc" || err != nil || s.Protocol() != "/echo/1.0.0" {
					t.Errorf("the second of three protocols: %q, %v, %s", b, err, s.Protocol())
				}
				s.Close()
			}
		})
	}
}

// answer takes the first protocol that has says yes to.
func answer(c io.ReadWriter, has func(string) bool) {
	if _, pending, err := multistream.Answer(c, has); err == nil {
		c.Write(pending)
	}
}

func codeOf(err error) (string, muxer.Code) {
	var s *handshake.StageError
	var r *handshake.Refusal
	switch {
	case errors.As(err, &r):
		return r.Stage, r.Code
	case errors.As(err, &s):
		return s.Stage, s.Code
	}
	return "", muxer.CodeUnknown
}

// A remote that is silent at any step, or says something else, is given up in time, with the stage in which that
// happened.
func TestSilenceAndNonsense(t *testing.T) {
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		stage string
		play  func(c io.ReadWriteCloser) // what the remote does before it falls silent
	}{
		{handshake.StageSecurity, func(io.ReadWriteCloser) {}},
		{handshake.StageSecurity, func(c io.ReadWriteCloser) { answer(c, func(string) bool { return true }) }},
		{handshake.StageMuxer, func(c io.ReadWriteCloser) {
			answer(c, func(string) bool { return true })
			c.Write(keyB.Public().Raw())
			io.ReadFull(c, make([]byte, handshake.Ed25519KeySize))
		}},
		{handshake.StageInfo, func(c io.ReadWriteCloser) {
			answer(c, func(string) bool { return true })
			c.Write(keyB.Public().Raw())
			io.ReadFull(c, make([]byte, handshake.Ed25519KeySize))
			answer(c, func(p string) bool { return p == mux.Protocol() })
		}},
	}
	for i, step := range steps {
		for _, nonsense := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				d, _ := ends()
				ours, theirs := rawPair()
				done := make(chan struct{})
				go func() {
					defer close(done)
					step.play(theirs)
					if nonsense {
						for range 100 {
							theirs.Write([]byte("GET / HTTP/1.1\r\nnonsense nonsense nonsense\r\n\r\n"))
						}
					}
				}()
				addr, err := transport.ParseAddress("/ip4/10.0.0.2/tcp/2000/p2p/" + keyB.Public().PeerID())
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err = d.upgrader(t).Outbound(t.Context(), ours, addr, 0)
				stage, code := codeOf(err)
				took := time.Since(began)
				switch {
				case nonsense && i == 1: // taken for the other's key
					if stage != handshake.StageSecurity {
						t.Errorf("step %d: %v", i, err)
					}
				case nonsense:
					if stage != step.stage || took != 0 || code == muxer.CodeTimeout || code == muxer.CodeUnknown {
						t.Errorf("step %d, nonsense: %v (%s, %v) after %v", i, err, stage, code, took)
					}
				case stage != step.stage || code != muxer.CodeTimeout || took != handshake.DefaultTimeout:
					t.Errorf("step %d: %v (%s, %v) after %v", i, err, stage, code, took)
				}
				theirs.Close()
				<-done
			})
		}
	}
}

// No common security.
func TestNoCommonSecurity(t *testing.T) {
	d, l := ends()
	l.security = other{}
	_, _, derr, lerr := shake(t, d, l)
	if _, code := codeOf(derr); code != muxer.CodeIncompatible {
		t.Errorf("the dialer: %v", derr)
	}
	if lerr == nil {
		t.Error("the listener has a link")
	}
}

type other struct{ plain }

func (other) Protocol() string { return "/other" }

// The remote floods us with identifies, pushes and pings: those beyond the limits are reset, and the link goes on.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l := ends()
		dl, ll, derr, lerr := shake(t, d, l)
		if derr != nil || lerr != nil {
			t.Fatal(derr, lerr)
		}
		run(t, dl, &streamInbox{})
		run(t, ll, &streamInbox{})
		ss := dl.Session
		for protocol, most := range map[string]int{protocolPush: maxPushes, protocolPing: maxPings} {
			held := 0
			for range 50 {
				s, err := ss.OpenStream(t.Context(), protocol)
				if err != nil {
					continue
				}
				synctest.Wait()
				_ = s.SetReadDeadline(time.Now().Add(time.Millisecond))
				if _, err := s.Read(make([]byte, 1)); err != nil && errors.Is(err, context.DeadlineExceeded) ||
					isTimeout(err) {
					held++
				}
			}
			if held != most {
				t.Errorf("%s: %d streams are held, want %d", protocol, held, most)
			}
		}
		if s, err := ss.OpenStream(t.Context(), "/echo/1.0.0"); err != nil {
			t.Error(err)
		} else if _, err := s.Read(nil); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * pingIdle) // virtual: what hangs is given up
		if _, err := Ping(t.Context(), ss, 1); err != nil {
			t.Error(err)
		}
	})
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
