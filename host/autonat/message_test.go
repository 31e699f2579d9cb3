package autonat

import (
	"bufio"
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

func read(t *testing.T, b []byte, limit uint64) []byte {
	t.Helper()
	got, err := readFrame(bufio.NewReader(bytes.NewReader(b)), limit)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestMessages(t *testing.T) {
	q := request{addresses: [][]byte{{4, 1, 2, 3, 4}, bytes.Repeat([]byte{1}, maxAddress+1)}, nonce: 1 << 63}
	m, err := parseMessage(read(t, q.frame(), maxMessage))
	if err != nil || m.request == nil || m.request.nonce != q.nonce || len(m.request.addresses) != 2 ||
		!bytes.Equal(m.request.addresses[0], q.addresses[0]) || m.request.addresses[1] != nil {
		t.Errorf("%+v, %v", m.request, err)
	}
	r := response{status: statusOK, index: 3, dial: dialBackError}
	if m, err = parseMessage(read(t, r.frame(), maxMessage)); err != nil || m.response == nil || *m.response != r {
		t.Errorf("%+v, %v", m.response, err)
	}
	if nonce, err := parseNonce(read(t, nonceFrame(7), 64)); err != nil || nonce != 7 {
		t.Errorf("%d, %v", nonce, err)
	}
	if b := read(t, dataFrame(dataChunk), maxMessage); len(b) < dataChunk || len(b) > dataChunk+16 {
		t.Errorf("dial data of %d bytes", len(b))
	}
	_, err = readFrame(bufio.NewReader(bytes.NewReader(dataFrame(dataChunk))), 64)
	if !errors.Is(err, errMalformed) {
		t.Errorf("a frame that is too long: %v", err)
	}
	many := request{}
	for range 500 {
		many.addresses = append(many.addresses, []byte{4, 1, 2, 3, 4})
	}
	m, err = parseMessage(read(t, many.frame(), maxMessage))
	if err != nil || len(m.request.addresses) != maxAddresses {
		t.Errorf("%d addresses, %v", len(m.request.addresses), err)
	}
}

// FuzzMessage reads what a remote may send.
func FuzzMessage(f *testing.F) {
	f.Add((&request{addresses: [][]byte{{4, 1, 2, 3, 4, 6, 0, 80}}, nonce: 1}).frame())
	f.Add((&response{status: statusOK, index: 1, dial: dialOK}).frame())
	f.Add(dataFrame(10))
	f.Add(nonceFrame(1))
	f.Add([]byte{2, 8, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readFrame(bufio.NewReader(bytes.NewReader(b)), maxMessage)
		if err != nil {
			return
		}
		if m, err := parseMessage(got); err == nil && m.request != nil {
			if len(m.request.addresses) > maxAddresses {
				t.Errorf("%d addresses", len(m.request.addresses))
			}
			for _, a := range m.request.addresses {
				probed(a, "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN")
			}
		}
		_, _ = parseNonce(got)
	})
}

// The server dials the IP that asks, and no other, and only what names one machine and port.
func TestWhatIsDialedBack(t *testing.T) {
	const id = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
	for _, tt := range []struct {
		address, from string
		loopback, ok  bool
	}{
		{"/ip4/8.8.8.8/tcp/1", "8.8.8.8", false, true},
		{"/ip4/8.8.8.8/tcp/1", "::ffff:8.8.8.8", false, true},
		{"/ip4/8.8.8.8/udp/1/quic-v1", "8.8.8.8", false, true},
		{"/ip4/8.8.8.8/tcp/1/p2p/" + id, "8.8.8.8", false, true},
		{"/ip6/2a00::1/tcp/1", "2a00::1", false, true},
		{"/ip4/10.0.0.7/tcp/1", "10.0.0.7", false, true},
		{"/ip4/8.8.8.8/tcp/1", "8.8.4.4", false, false},
		{"/ip6/2a00::1/tcp/1", "2a00::2", false, false},
		{"/ip4/8.8.8.8/tcp/0", "8.8.8.8", false, false},
		{"/ip4/8.8.8.8/udp/1", "8.8.8.8", false, false},
		{"/ip4/8.8.8.8/tcp/1/ws", "8.8.8.8", false, false},
		{"/ip4/8.8.8.8/tcp/1/p2p/" + id + "/p2p-circuit", "8.8.8.8", false, false},
		{"/dns4/a.example/tcp/1", "8.8.8.8", false, false},
		{"/ip4/127.0.0.1/tcp/1", "127.0.0.1", false, false},
		{"/ip4/127.0.0.1/tcp/1", "127.0.0.1", true, true},
		{"/ip4/0.0.0.0/tcp/1", "0.0.0.0", true, false},
		{"/ip4/224.0.0.1/tcp/1", "224.0.0.1", true, false},
	} {
		s := &Service{cfg: Config{Loopback: tt.loopback}}
		peer := host.PeerInfo{PeerID: id, IP: netip.MustParseAddr(tt.from)}
		r := &request{addresses: [][]byte{{1, 2}, ma.StringCast(tt.address).Bytes()}}
		if i, to, ok := s.choose(r, &peer); ok != tt.ok || ok && (i != 1 || to.PeerID() != id) {
			t.Errorf("%s from %s: %v, %s", tt.address, tt.from, ok, to)
		}
	}
}

func TestLimits(t *testing.T) {
	l := limits{all: 6, perIP: 3}
	now := time.Unix(1e9, 0)
	ip := func(text string) netip.Addr { return netip.MustParseAddr(text) }
	take := func(text string) bool {
		ok := l.begin(ip(text), now)
		if ok {
			l.end(ip(text))
		}
		return ok
	}
	for i := range 4 {
		if got := take("2a00::" + string(rune('1'+i))); got != (i < 3) {
			t.Errorf("request %d of one /64: %v", i, got)
		}
	}
	for i := range 4 {
		if got := take("8.8.8." + string(rune('1'+i))); got != (i < 3) {
			t.Errorf("request %d of all: %v", i, got)
		}
	}
	now = now.Add(time.Minute)
	for i := range 3 {
		if got := l.begin(ip("1.1.1.1"), now); got != (i < maxAtOncePerIP) {
			t.Errorf("%d at once of an IP: %v", i+1, got)
		}
	}
	if len(l.past) != 2 || len(l.busy) != 1 {
		t.Errorf("kept %d, %d", len(l.past), len(l.busy))
	}
}

// The best answer counts: a proof, then a success, then a failure.
func TestJudge(t *testing.T) {
	j := Judged{Answers: []Answer{{Verdict: Unknown}, {Verdict: Unreachable}, {Verdict: Reachable},
		{Verdict: Reachable, Proven: true, Why: "proof"}}}
	if j.judge(); j.Verdict != Reachable || !j.Proven || j.Why != "proof" {
		t.Errorf("%+v", j)
	}
	answers := func(ids ...transport.NodeID) (out []Answer) {
		for _, id := range ids {
			out = append(out, Answer{Peer: id, Verdict: Unreachable})
		}
		return out
	}
	for _, tt := range []struct {
		public, other Judged
		want          host.Reachability
		ok            bool
	}{
		{Judged{Verdict: Reachable, Proven: true}, Judged{}, host.ReachabilityPublic, true},
		{Judged{Verdict: Reachable}, Judged{Answers: answers("a", "b")}, 0, false},
		{Judged{Answers: answers("a", "b")}, Judged{}, host.ReachabilityPrivate, true},
		{Judged{Answers: answers("a")}, Judged{Answers: answers("a", "b")}, host.ReachabilityPrivate, false},
		{Judged{}, Judged{Verdict: Reachable, Proven: true}, host.ReachabilityPrivate, false},
	} {
		tt.public.Address, tt.other.Address = "/ip4/8.8.8.8/tcp/1", "/ip4/10.0.0.1/tcp/1"
		r := Report{Addresses: []Judged{tt.other, tt.public}}
		if got, ok := r.reachability(); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%+v: %v, %v", tt, got, ok)
		}
	}
	r := Report{Addresses: []Judged{{Address: "/ip4/10.0.0.1/tcp/1", Verdict: Reachable},
		{Address: "/ip4/8.8.8.8/tcp/1", Verdict: Unreachable}}}
	if got := r.Reachable(); got != Unreachable {
		t.Errorf("%s", got)
	}
}
