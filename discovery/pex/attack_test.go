package pex

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Unsolicited addresses are dropped, and a peer that goes on sending them is cut off.
func TestUnsolicited(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.node(0, Config{}), w.bare(1)
		w.link(b, a)
		for i := range maxStrikes {
			b.say(a, pexpb.EncodeResponse(wire(10*i, 10)))
			time.Sleep(2 * w.delay)
			if want := i < maxStrikes-1; a.isLinked(b) != want {
				t.Errorf("after %d unsolicited answers: linked %v", i+1, !want)
			}
		}
		if len(a.knows()) != 0 {
			t.Errorf("took %v", a.knows())
		}
	})
}

// An answer counts once: a second one to the same request is unsolicited.
func TestAnswerTwice(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.node(0, Config{}), w.bare(1)
		w.link(a, b)
		time.Sleep(2 * w.delay)
		b.say(a, pexpb.EncodeResponse(wire(0, 10)))
		b.say(a, pexpb.EncodeResponse(wire(10, 10)))
		time.Sleep(2 * w.delay)
		if a.worst() != host.Penalise || len(a.knows()) != 10 {
			t.Errorf("%v, knows %d", a.worst(), len(a.knows()))
		}
	})
}

// A flood of requests gets few answers and a disconnect; requests at CometBFT's rate get one each.
func TestRequestFlood(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, honest := w.node(0, Config{}), w.bare(1), w.bare(2)
		w.link(b, a)
		w.link(honest, a)
		for range 1000 {
			b.say(a, pexpb.EncodeRequest())
		}
		time.Sleep(2 * w.delay)
		if _, responses := b.heard(); len(responses) > freeRequests || a.isLinked(b) {
			t.Errorf("%d answers, linked %v", len(responses), a.isLinked(b))
		}
		for i := range 20 {
			honest.say(a, pexpb.EncodeRequest())
			if i > 0 {
				time.Sleep(requestInterval)
			}
		}
		time.Sleep(time.Second)
		if _, responses := honest.heard(); len(responses) != 20 || !a.isLinked(honest) {
			t.Errorf("honest: %d answers, linked %v", len(responses), a.isLinked(honest))
		}
	})
}

// A peer that was silent for days may not send the requests of all that time at once.
func TestRequestFloodAfterSilence(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.node(0, Config{}), w.bare(1)
		w.link(b, a)
		time.Sleep(72 * time.Hour)
		for range maxBurst + 100 {
			b.say(a, pexpb.EncodeRequest())
		}
		time.Sleep(2 * w.delay)
		if _, responses := b.heard(); len(responses) > maxBurst || a.isLinked(b) {
			t.Errorf("%d answers, linked %v", len(responses), a.isLinked(b))
		}
	})
}

// Old nodes send 250 addresses. Further ones are ignored; the size of an answer ends no link.
func TestLargeAnswers(t *testing.T) {
	for _, n := range []int{101, 250, 251, 900} {
		inWorld(t, func(t *testing.T, w *world) {
			a, b := w.node(0, Config{}), w.bare(1)
			w.link(a, b)
			time.Sleep(2 * w.delay)
			msg := pexpb.EncodeResponse(wire(0, n))
			if len(msg) > maxMessage {
				t.Fatalf("%d addresses take %d bytes", n, len(msg))
			}
			b.say(a, msg)
			time.Sleep(2 * w.delay)
			if got := len(a.knows()); got != min(n, maxTaken) || a.worst() != host.Log || !a.isLinked(b) {
				t.Errorf("of %d addresses %d taken; worst report %v, linked %v", n, got, a.worst(), a.isLinked(b))
			}
		})
	}
}

func TestGarbage(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.node(0, Config{}), w.bare(1)
		w.link(b, a)
		for _, msg := range [][]byte{{}, {0xff}, {0x12, 0x7f}} {
			b.say(a, msg)
		}
		time.Sleep(2 * w.delay)
		if a.isLinked(b) {
			t.Error("still linked")
		}
	})
}

func TestSift(t *testing.T) {
	const self = transport.NodeID("ffffffffffffffffffffffffffffffffffffffff")
	id := func(n int) string { return fmt.Sprintf("%040x", n) }
	public, private := place{public: true}, place{}
	for _, c := range []struct {
		name    string
		from    place
		in      *pexpb.PexAddress
		taken   bool
		atFault bool
	}{
		{"IPv4", public, &pexpb.PexAddress{Id: id(1), Ip: "8.8.8.8", Port: 1}, true, false},
		{"IPv6", public, &pexpb.PexAddress{Id: id(1), Ip: "2606:4700::1", Port: 65535}, true, false},
		{"IPv4 in IPv6", public, &pexpb.PexAddress{Id: id(1), Ip: "::ffff:8.8.8.8", Port: 1}, true, false},
		{"upper case id", public,
			&pexpb.PexAddress{Id: strings.ToUpper(id(0xabc)), Ip: "8.8.8.8", Port: 1}, true, false},
		{"private from private", private, &pexpb.PexAddress{Id: id(1), Ip: "192.168.1.1", Port: 1}, true, false},
		{"loopback from private", private, &pexpb.PexAddress{Id: id(1), Ip: "127.0.0.1", Port: 1}, true, false},
		{"ourselves", public, &pexpb.PexAddress{Id: string(self), Ip: "8.8.8.8", Port: 1}, false, false},

		{"nil", public, nil, false, true},
		{"empty", public, &pexpb.PexAddress{}, false, true},
		{"port 0", public, &pexpb.PexAddress{Id: id(1), Ip: "8.8.8.8"}, false, true},
		{"port too large", public, &pexpb.PexAddress{Id: id(1), Ip: "8.8.8.8", Port: 65536}, false, true},
		{"port that wraps", public, &pexpb.PexAddress{Id: id(1), Ip: "8.8.8.8", Port: 65536 + 80}, false, true},
		{"host name", public, &pexpb.PexAddress{Id: id(1), Ip: "evil.example", Port: 1}, false, true},
		{"localhost", private, &pexpb.PexAddress{Id: id(1), Ip: "localhost", Port: 1}, false, true},
		{"zone", private, &pexpb.PexAddress{Id: id(1), Ip: "fe80::1%eth0", Port: 1}, false, true},
		{"injection", private, &pexpb.PexAddress{Id: id(1), Ip: "1.2.3.4/tcp/1", Port: 1}, false, true},
		{"unspecified", private, &pexpb.PexAddress{Id: id(1), Ip: "0.0.0.0", Port: 1}, false, true},
		{"unspecified 6", private, &pexpb.PexAddress{Id: id(1), Ip: "::", Port: 1}, false, true},
		{"this network", private, &pexpb.PexAddress{Id: id(1), Ip: "0.1.2.3", Port: 1}, false, true},
		{"multicast", private, &pexpb.PexAddress{Id: id(1), Ip: "224.0.0.1", Port: 1}, false, true},
		{"multicast 6", private, &pexpb.PexAddress{Id: id(1), Ip: "ff02::1", Port: 1}, false, true},
		{"broadcast", private, &pexpb.PexAddress{Id: id(1), Ip: "255.255.255.255", Port: 1}, false, true},
		{"private from public", public, &pexpb.PexAddress{Id: id(1), Ip: "192.168.1.1", Port: 1}, false, true},
		{"shared from public", public, &pexpb.PexAddress{Id: id(1), Ip: "100.64.0.1", Port: 1}, false, true},
		{"loopback from public", public, &pexpb.PexAddress{Id: id(1), Ip: "127.0.0.1", Port: 1}, false, true},
		{"loopback in IPv6 from public", public,
			&pexpb.PexAddress{Id: id(1), Ip: "::ffff:127.0.0.1", Port: 1}, false, true},
		{"link-local from public", public, &pexpb.PexAddress{Id: id(1), Ip: "169.254.169.254", Port: 1}, false, true},
		{"unique local from public", public, &pexpb.PexAddress{Id: id(1), Ip: "fd00::1", Port: 1}, false, true},
		{"no id", public, &pexpb.PexAddress{Ip: "8.8.8.8", Port: 1}, false, true},
		{"short id", public, &pexpb.PexAddress{Id: id(1)[1:], Ip: "8.8.8.8", Port: 1}, false, true},
		{"id is no hex", public, &pexpb.PexAddress{Id: strings.Repeat("g", 40), Ip: "8.8.8.8", Port: 1}, false, true},
		{"long id", public, &pexpb.PexAddress{Id: strings.Repeat("a", 1000), Ip: "8.8.8.8", Port: 1}, false, true},
		{"multiaddr on the comet wire", public,
			&pexpb.PexAddress{Multiaddr: "/ip4/8.8.8.8/tcp/1/mconn/" + id(1)}, true, false},
		{"multiaddr without a node", public, &pexpb.PexAddress{Multiaddr: "/ip4/8.8.8.8/tcp/1"}, false, true},
	} {
		out, refused := filter([]*pexpb.PexAddress{c.in}, self, c.from)
		if (len(out) == 1) != c.taken || (refused == 1) != c.atFault {
			t.Errorf("%s: taken %v, %d refused", c.name, out, refused)
		}
	}

	// Multiaddrs, where the wire carries them.
	streams, memory := place{public: true, multiaddrs: true}, place{multiaddrs: true, memory: true}
	for _, c := range []struct {
		from  place
		text  string
		taken bool
	}{
		{streams, "/ip4/8.8.8.8/udp/1/quic-v1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp", true},
		{memory, "/memory/7/mconn/" + id(1), true},
		{streams, "/memory/7/mconn/" + id(1), false},
		{streams, "/dns4/evil.example/tcp/1/mconn/" + id(1), false},
		{streams, "/ip4/10.0.0.1/tcp/1/mconn/" + id(1), false},
		{streams, "/ip4/8.8.8.8/tcp/1", false},
		{streams, "nonsense", false},
	} {
		if out, _ := filter([]*pexpb.PexAddress{{Multiaddr: c.text}}, self, c.from); (len(out) == 1) != c.taken {
			t.Errorf("%s: taken %v", c.text, out)
		}
	}

	// Many addresses of one node or one IP may direct us at a victim.
	var one, many []*pexpb.PexAddress
	for i := range 100 {
		one = append(one, &pexpb.PexAddress{Id: id(1), Ip: fmt.Sprintf("8.8.8.%d", i), Port: 1})
		many = append(many, &pexpb.PexAddress{Id: id(i), Ip: "8.8.8.8", Port: uint32(1 + i)})
	}
	if out, _ := filter(one, self, public); len(out) != maxPerID {
		t.Errorf("%d addresses of one node", len(out))
	}
	if out, _ := filter(many, self, public); len(out) != maxPerIP {
		t.Errorf("%d nodes at one public IP", len(out))
	}
	for _, a := range many {
		a.Ip = "127.0.0.1"
	}
	if out, _ := filter(many, self, private); len(out) != len(many) {
		t.Errorf("%d nodes on loopback", len(out))
	}
}

func TestUselessAnswersCountAgainstTheirSender(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.node(0, Config{}), w.bare(1)
		w.link(a, b)
		time.Sleep(2 * w.delay)
		b.say(a, pexpb.EncodeResponse([]*pexpb.PexAddress{{Ip: "evil.example", Port: 1}}))
		time.Sleep(2 * w.delay)
		if a.worst() != host.Penalise || !a.isLinked(b) {
			t.Errorf("worst report %v, linked %v", a.worst(), a.isLinked(b))
		}
	})
}

// A peer that answers as much as it may, for hours and over many links, fills only its quota.
func TestPoison(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.node(0, Config{}), w.bare(1)
		a.needs = true
		const hours = 3
		next := 0
		for begun := time.Now(); time.Since(begun) < hours*time.Hour; time.Sleep(5 * time.Second) {
			if time.Since(begun)%(10*time.Minute) < 5*time.Second {
				w.cut(a, b)
				w.link(a, b)
			}
			requests, _ := b.heard()
			for range requests {
				b.say(a, pexpb.EncodeResponse(wire(next, maxTaken)))
				next += maxTaken
			}
		}
		if got := len(a.knows()); got > (1+hours)*quotaBurst || got < hours*quotaBurst {
			t.Errorf("%d of %d addresses taken in %d hours", got, next, hours)
		}
		if b := a.isLinked(b); !b {
			t.Error("an honest rate was punished")
		}
	})
}

// An answer has a bounded number of addresses, none that the wire cannot carry, and to a public peer none of private
// networks.
func TestWhatWeTell(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.bare(0)
		parse := func(s string) transport.Address {
			addr, err := transport.ParseAddress(s)
			if err != nil {
				t.Fatal(err)
			}
			return addr
		}
		id := func(n int) string { return fmt.Sprintf("%040x", 1000+n) }
		a.known = []transport.Address{
			parse(id(1) + "@name.example:26656"), parse(id(2) + "@8.8.8.8:26656"), parse(id(3) + "@192.168.0.1:26656"),
			parse("/memory/7/mconn/" + id(4)),
			parse("/ip4/8.8.4.4/udp/1/quic-v1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"),
			parse(id(6) + "@[2606:4700::1]:26656"),
		}
		a.start(Config{})
		comets := []byte{0x0a, 0x00} // CometBFT's request
		ask := func(n int, ip string, request []byte) (ips []string) {
			b := w.at(n, ip)
			w.link(b, a)
			b.say(a, request)
			time.Sleep(3 * w.delay)
			_, responses := b.heard()
			if len(responses) != 1 {
				t.Fatalf("%d answers", len(responses))
			}
			for _, addr := range responses[0] {
				if addr.Id == string(b.id) {
					t.Error("the answer has its own address")
				}
				if addr.Multiaddr != "" {
					ips = append(ips, addr.Multiaddr)
					continue
				}
				if addr.Port == 0 {
					t.Errorf("the answer has %v", addr)
				}
				ips = append(ips, addr.Ip)
			}
			w.cut(a, b)
			return ips
		}
		if got, want := fmt.Sprint(ask(1, "9.9.9.9", comets)), "[8.8.8.8 2606:4700::1]"; got != want {
			t.Errorf("a public peer got %s, want %s", got, want)
		}
		got, want := fmt.Sprint(ask(2, "10.9.9.9", comets)), "[10.0.0.1 8.8.8.8 192.168.0.1 2606:4700::1]"
		if got != want {
			t.Errorf("a private peer got %s, want %s", got, want)
		}
		quic := a.known[4].String()
		got, want = fmt.Sprint(ask(3, "9.9.9.8", pexpb.EncodeRequest())), "[8.8.8.8 "+quic+" 2606:4700::1]"
		if got != want {
			t.Errorf("one of ours over comet got %s, want %s", got, want)
		}
		for i := range 300 {
			a.known = append(a.known, parse(fmt.Sprintf("%040x@9.0.%d.%d:26656", 2000+i, i/250, i%250)))
		}
		if got := ask(4, "10.9.9.9", comets); len(got) != maxAnswer {
			t.Errorf("the answer has %d addresses", len(got))
		}
	})
}
