package hosts

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// arenaTimeout is the handshake timeout of the program under attack.
const arenaTimeout = 3 * time.Second

// arena is our running program and its attackers.
type arena struct {
	*nodeDir
	client *admin.Client
	honest []p2phost.Host // one of each stack, which come and go

	mu    sync.Mutex
	lastI int
	conns []io.Closer
}

func newArena(t *testing.T) *arena {
	a := &arena{nodeDir: newNodeDir(t, "services.echo.enabled=true", "admin.pprof=true",
		"limits.handshake_timeout="+strconv.Quote(arenaTimeout.String()),
		"limits.attempts_per_ip=10000", "peers.guests=24",
		"muxers.yamux.max_unread=134217728", "transports.quic.max_streams=1024")}
	a.start(t)
	var err error
	token := filepath.Join(a.Home, admin.TokenName)
	if a.client, err = admin.NewClient(a.Admin, admin.WithTokenFile(token)); err != nil {
		t.Fatal(err)
	}
	for _, s := range gopeer.Stacks {
		a.honest = append(a.honest, gopeer.Start(t, s))
	}
	return a
}

func (a *arena) info(transport string) peer.AddrInfo {
	return peer.AddrInfo{ID: a.peerID, Addrs: []ma.Multiaddr{a.Listen[transport]}}
}

func (a *arena) hostPort(t *testing.T, transport string) string {
	t.Helper()
	_, at, err := manet.DialArgs(a.Listen["tcp"])
	if transport == "quic" {
		at2, _ := ma.SplitLast(a.Listen["quic"]) // without quic-v1
		_, at, err = manet.DialArgs(at2)
	}
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// ip returns an IP that no attacker has used, so that one attack does not spend the budgets of the next.
func (a *arena) ip() net.IP {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lastI++
	return net.IPv4(127, 1, byte(1+a.lastI/250), byte(2+a.lastI%250))
}

// keep closes c when the attack is over.
func (a *arena) keep(c io.Closer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, c)
}

// dial connects over TCP.
func (a *arena) dial(t *testing.T) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: a.ip()}, Timeout: 5 * time.Second}
	conn, err := d.Dial("tcp", a.hostPort(t, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	a.keep(conn)
	return conn
}

// proposed returns a connection on which a security is agreed on.
func (a *arena) proposed(t *testing.T, security string) net.Conn {
	t.Helper()
	c := a.dial(t)
	if _, err := multistream.Select(c, []string{security}); err != nil {
		t.Fatal(err)
	}
	return c
}

// secured returns a connection that has proven a fresh key by Noise and agreed on yamux, and the peer id of that key.
func (a *arena) secured(t *testing.T) (net.Conn, string) {
	t.Helper()
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := noise.New().Secure(t.Context(), a.proposed(t, "/noise"),
		handshake.Securing{Side: muxer.Dialer, Identity: key, Muxers: []string{"/yamux/1.0.0"}})
	if err != nil {
		t.Fatal(err)
	}
	return c, key.Public().PeerID()
}

// attacker returns a go-libp2p host that is closed when the attack is over.
func (a *arena) attacker(t *testing.T, s gopeer.Stack) p2phost.Host {
	t.Helper()
	return gopeer.Start(t, s)
}

// hangUp closes all connections of attackers.
func (a *arena) hangUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.conns {
		_ = c.Close()
	}
	a.conns = nil
}

// hangsUp waits until the program ends the connection, and fails the test after the bound.
func hangsUp(t *testing.T, what string, c net.Conn, bound time.Duration) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(bound))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: not cut off within %v", what, bound)
	}
}

// lists reports whether the program has a link to a peer.
func (a *arena) lists(t *testing.T, id string) bool {
	t.Helper()
	return a.peer(t, id).PeerID != ""
}

// peer returns what the program reports of a peer, or zero without a link.
func (a *arena) peer(t *testing.T, id string) admin.Peer {
	t.Helper()
	peers, err := a.client.Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		if p.PeerID == id {
			return p
		}
	}
	return admin.Peer{}
}

// watch collects the program's refusals from now on. The function that it returns waits for the next one with the given
// words.
func (a *arena) watch(t *testing.T) (refused func(words string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var heard []string
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = a.client.Events(ctx, func() { close(ready) }, func(e admin.Event) error {
			mu.Lock()
			defer mu.Unlock()
			if e.Reason != nil {
				heard = append(heard, e.Reason.Text)
			}
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-ready
	return func(words string) {
		t.Helper()
		var all []string
		for range 1000 {
			mu.Lock()
			all = slices.Clone(heard)
			mu.Unlock()
			if i := slices.IndexFunc(all, func(s string) bool { return strings.Contains(s, words) }); i >= 0 {
				mu.Lock()
				heard = slices.Delete(heard, 0, i+1)
				mu.Unlock()
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Errorf("the program does not tell of %q, but of %q", words, all)
	}
}

// serves returns how long an honest host of each stack takes to connect and to get bytes echoed.
func (a *arena) serves(t *testing.T, when string) (worst time.Duration) {
	t.Helper()
	for i, h := range a.honest {
		s := gopeer.Stacks[i]
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := h.Connect(ctx, a.info(s.Transport))
		if err == nil {
			err = echoOf(ctx, h, a.peerID)
		}
		cancel()
		if err != nil {
			t.Errorf("%s: an honest peer over %s: %v", when, s.Name, err)
		}
		worst = max(worst, time.Since(began))
		_ = h.Network().ClosePeer(a.peerID)
		node.Await(t, when+": the program sees that the honest peer has gone", func() bool {
			return !a.lists(t, h.ID().String())
		})
	}
	return worst
}

func echoOf(ctx context.Context, h p2phost.Host, id peer.ID) error {
	st, err := h.NewStream(ctx, id, node.Echo)
	if err != nil {
		return err
	}
	_ = st.SetDeadline(time.Now().Add(10 * time.Second))
	return echo(st, 10_000)
}

// TestAttacks runs the attacks against the real program, over TCP and QUIC. It must serve honest go-libp2p hosts
// meanwhile, and shrink to its old size afterwards.
func TestAttacks(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	a.serves(t, "at the start")
	start := a.Usage(t)
	t.Logf("at the start: %v", start)
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			t.Cleanup(a.hangUp)
			attack.run(t, a)
			t.Logf("honest peers are served within %v", a.serves(t, "under attack").Round(time.Millisecond))
		})
		var now programtest.Usage
		began, quiet := time.Now(), false
		for !quiet && time.Since(began) < 20*time.Second {
			now = a.Usage(t)
			if quiet = now.Settled(start); !quiet {
				time.Sleep(50 * time.Millisecond)
			}
		}
		t.Logf("after %q: quiet within %v", attack.name, time.Since(began).Round(time.Millisecond))
		if !quiet {
			t.Errorf("after %q the program keeps %v, at the start %v", attack.name, now, start)
		}
	}
	a.serves(t, "at the end")
}
