package hosts

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	goyamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	gonoise "github.com/libp2p/go-libp2p/p2p/security/noise"
	gotls "github.com/libp2p/go-libp2p/p2p/security/tls"
	manet "github.com/multiformats/go-multiaddr/net"
	mss "github.com/multiformats/go-multistream"

	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
)

// manners holds the ways in which dialers agree on a protocol.
var manners = map[string]func(rw io.ReadWriteCloser, protocols ...string) (io.ReadWriteCloser, error){
	// in order, with go-multistream
	"in turn": func(rw io.ReadWriteCloser, protocols ...string) (io.ReadWriteCloser, error) {
		var all []protocol.ID
		for _, p := range protocols {
			all = append(all, protocol.ID(p))
		}
		_, err := mss.SelectOneOf(all, rw)
		return rw, err
	},
	// the last one is proposed without waiting, together with what follows; its answer is read when something is read
	"eagerly": func(rw io.ReadWriteCloser, protocols ...string) (io.ReadWriteCloser, error) {
		last := lines(protocols[len(protocols)-1])
		return &eager{ReadWriteCloser: rw, proposal: last, answer: last}, nil
	},
	// word by word, after waiting for the listener's header
	"patiently": func(rw io.ReadWriteCloser, protocols ...string) (io.ReadWriteCloser, error) {
		header := lines()
		for _, b := range header {
			if _, err := rw.Write([]byte{b}); err != nil {
				return nil, err
			}
		}
		if err := expect(rw, header); err != nil {
			return nil, err
		}
		for i, p := range protocols {
			word := lines(p)[len(header):]
			if _, err := rw.Write(word); err != nil {
				return nil, err
			}
			if i < len(protocols)-1 {
				word = lines("na")[len(header):]
			}
			if err := expect(rw, word); err != nil {
				return nil, err
			}
		}
		return rw, nil
	},
}

func expect(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return &unexpectedAnswer{got, want}
	}
	return nil
}

type unexpectedAnswer struct{ got, want []byte }

func (e *unexpectedAnswer) Error() string {
	return "the answer is " + string(e.got) + ", not " + string(e.want)
}

// eager writes its proposal together with the first bytes after it, and strips the answer from the first bytes that
// arrive.
type eager struct {
	io.ReadWriteCloser
	answer []byte // still to come

	mu       sync.Mutex
	proposal []byte // not yet written
}

func (e *eager) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.proposal == nil {
		return e.ReadWriteCloser.Write(p)
	}
	both := append(e.proposal, p...)
	e.proposal = nil
	n, err := e.ReadWriteCloser.Write(both)
	return max(0, n-len(both)+len(p)), err
}

func (e *eager) Read(p []byte) (int, error) {
	if e.answer != nil {
		if _, err := e.Write(nil); err != nil {
			return 0, err
		}
		if err := expect(e.ReadWriteCloser, e.answer); err != nil {
			return 0, err
		}
		e.answer = nil
	}
	return e.ReadWriteCloser.Read(p)
}

// connOf gives a negotiated connection the rest of what a net.Conn has.
type connOf struct {
	net.Conn
	rw io.ReadWriteCloser
}

func (c connOf) Read(p []byte) (int, error)  { return c.rw.Read(p) }
func (c connOf) Write(p []byte) (int, error) { return c.rw.Write(p) }

// TestManners links dialers that negotiate the muxer by multistream-select after the security, as older implementations
// do, and that agree on protocols in every way in use. They must be identified and served.
func TestManners(t *testing.T) {
	t.Parallel()
	ours := node.Start(t, node.Config{})
	for manner, agree := range manners {
		for _, security := range []string{"/noise", "/tls/1.0.0"} {
			t.Run(manner+security, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
				defer cancel()
				key, _, err := crypto.GenerateKeyPair(crypto.Ed25519, 0)
				if err != nil {
					t.Fatal(err)
				}
				var theirs sec.SecureTransport
				if security == "/noise" {
					theirs, err = gonoise.New(gonoise.ID, key, nil) // it offers no muxers, so none is chosen early
				} else {
					theirs, err = gotls.New(gotls.ID, key, nil)
				}
				if err != nil {
					t.Fatal(err)
				}
				_, at, err := manet.DialArgs(ours.Listen("tcp"))
				if err != nil {
					t.Fatal(err)
				}
				raw, err := net.Dial("tcp", at)
				if err != nil {
					t.Fatal(err)
				}
				defer raw.Close()
				_ = raw.SetDeadline(time.Now().Add(testTimeout))
				agreed, err := agree(raw, "/plaintext/2.0.0", security)
				if err != nil {
					t.Fatal(err)
				}
				secured, err := theirs.SecureOutbound(ctx, connOf{raw, agreed}, ours.PeerID())
				if err != nil {
					t.Fatal(err)
				}
				if agreed, err = agree(secured, "/mplex/6.7.0", "/yamux/1.0.0"); err != nil {
					t.Fatal(err)
				}
				muxed, err := goyamux.DefaultTransport.NewConn(connOf{secured, agreed}, false, &network.NullScope{})
				if err != nil {
					t.Fatal(err)
				}
				var served sync.WaitGroup
				served.Go(func() { answerIdentify(muxed) })
				defer served.Wait()
				defer muxed.Close()
				for _, size := range []int{0, 1, 100_000} {
					st, err := muxed.OpenStream(ctx)
					if err != nil {
						t.Fatal(err)
					}
					_ = st.SetDeadline(time.Now().Add(testTimeout))
					agreed, err := agree(st, "/nonsense/1.0.0", node.Echo)
					if err != nil {
						t.Fatal(err)
					}
					if err := echo(streamOf{st, agreed}, size); err != nil {
						t.Errorf("an echo of %d bytes: %v", size, err)
					}
				}
				node.Await(t, "we have the link", func() bool {
					for _, p := range ours.Host.Peers() {
						if p.PeerID == idOf(t, key) {
							return p.Version == "mannered" && p.Guest
						}
					}
					return false
				})
			})
		}
	}
}

// streamOf is a stream that negotiates its protocol in one of the manners.
type streamOf struct {
	network.MuxedStream
	rw io.ReadWriteCloser
}

func (s streamOf) Read(p []byte) (int, error)  { return s.rw.Read(p) }
func (s streamOf) Write(p []byte) (int, error) { return s.rw.Write(p) }

func idOf(t *testing.T, key crypto.PrivKey) string {
	t.Helper()
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// answerIdentify answers identify streams and refuses all others until the connection ends.
func answerIdentify(c network.MuxedConn) {
	protocols := mss.NewMultistreamMuxer[string]()
	protocols.AddHandler("/ipfs/id/1.0.0", nil)
	for {
		st, err := c.AcceptStream()
		if err != nil {
			return
		}
		if _, _, err := protocols.Negotiate(st); err != nil {
			_ = st.Reset()
			continue
		}
		_, _ = st.Write(delimited(field(6, []byte("mannered"))))
		_ = st.Close()
	}
}
