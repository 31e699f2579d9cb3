package handshake

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// Silent connections of several IPs that hold every place do not keep a peer of another IP out: each newcomer takes the
// place of the oldest of them, which are told why.
func TestSilentSourcesLoseTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpgrader(t, fakeConfig(ourKey))
		type ended struct {
			number int
			err    error
		}
		ends := make(chan ended, defaultHandshakes)
		for i := range defaultHandshakes {
			_, ours := pipe(fmt.Sprintf("/ip4/10.0.0.%d", 2+i%8))
			place, err := u.Admit(ours)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, err := u.Inbound(t.Context(), ours, place)
				ends <- ended{i, err}
			}()
		}
		synctest.Wait()
		began := time.Now()
		for i, ip := range []string{"/ip4/10.0.0.1", "/ip4/10.0.0.1", "/ip4/9.9.9.9", "/ip6/2001:db8::1"} {
			remote, ours := pipe(ip)
			talk(remote, remoteKey)
			if _, err := inbound(u, ours); err != nil || time.Since(began) != 0 {
				t.Errorf("%s, after %v: %v", ip, time.Since(began), err)
			}
			synctest.Wait()
			if i > 0 { // the place of the first newcomer is free again
				continue
			}
			e := <-ends
			var r *Refusal
			if e.number != 0 || !errors.As(e.err, &r) || r.Code != muxer.CodeTooManyStarts ||
				r.Limit != keyHandshakes || r.Stage != StageSecurity || r.Remote {
				t.Errorf("connection %d ended with %#v", e.number, e.err)
			}
		}
		for range defaultHandshakes - 1 {
			if e := <-ends; !errors.Is(e.err, context.DeadlineExceeded) {
				t.Errorf("connection %d ended with %v", e.number, e.err)
			}
		}
		unused(t, u)
	})
}

// A newcomer whom a gate refuses takes nobody's place, and one whose place is taken before or after its handshake is
// over is told so.
func TestTakenPlaces(t *testing.T) {
	cfg := fakeConfig(ourKey)
	cfg.Limits = Limits{Handshakes: 1}
	refuse := false
	cfg.Gates = []Gate{func(v Visitor) error {
		if v.At == AtAccept && refuse {
			return &Refusal{Code: muxer.CodeBanned}
		}
		return nil
	}}
	u := newUpgrader(t, cfg)
	remote, ours := pipe("/ip4/10.0.0.1")
	talk(remote, remoteKey)
	place, err := u.Admit(ours)
	if err != nil {
		t.Fatal(err)
	}
	refuse = true
	_, other := pipe("/ip4/10.1.0.1")
	if _, err := u.Admit(other); err == nil || place.(*ticket).cut {
		t.Fatalf("%v, cut %v", err, place.(*ticket).cut)
	}
	refuse = false
	if _, err := u.Admit(ours); spent(t, err) != keyHandshakes {
		t.Errorf("of the same IP: %v", err)
	}
	second, err := u.Admit(other)
	if err != nil || !place.(*ticket).cut {
		t.Fatalf("%v, cut %v", err, place.(*ticket).cut)
	}
	if _, err := ours.Write([]byte{1}); err == nil {
		t.Error("the connection that lost its place was not closed")
	}
	if _, err := u.Inbound(t.Context(), ours, place); limitIn(err) != keyHandshakes {
		t.Errorf("%v", err)
	}
	second.Release()
	unused(t, u)

	// The place is lost at the last moment: while the wire makes its session.
	w := cfg.Wires[0].(*fakeWire)
	w.info = func(*NodeInfo) {
		if second, err = u.Admit(other); err != nil {
			t.Error(err)
		}
	}
	remote, ours = pipe("/ip4/10.0.0.1")
	talk(remote, remoteKey)
	if _, err := inbound(u, ours); limitIn(err) != keyHandshakes {
		t.Errorf("%v", err)
	}
	second.Release()
	unused(t, u)
}

// limitIn returns the limit that an error names, in whatever stage.
func limitIn(err error) string {
	var r *Refusal
	if errors.As(err, &r) && r.Code == muxer.CodeTooManyStarts {
		return r.Limit
	}
	return ""
}

// Who loses: the greediest group, in it the greediest source, of that the oldest that has not proven its key.
func TestWhoLosesItsPlace(t *testing.T) {
	for name, c := range map[string]struct {
		held  []string // in order; "!" in front: it has proven its key
		comer string
		loser int // of held; -1: the newcomer is refused
	}{
		"the oldest of the greediest":     {[]string{"1.0.0.1", "1.0.0.2", "1.0.0.2", "1.0.0.3"}, "1.0.0.4", 1},
		"not one that has proven its key": {[]string{"!1.0.0.2", "1.0.0.2", "1.0.0.2"}, "1.0.0.4", 1},
		"all have":                        {[]string{"!1.0.0.2", "!1.0.0.2"}, "1.0.0.4", 0},
		"proven ones of the greediest":    {[]string{"1.0.0.1", "!1.0.0.2", "!1.0.0.2"}, "1.0.0.4", 1},
		"the greedier group": {[]string{"2.0.0.1", "2.0.0.1", "1.0.0.1", "1.0.0.2", "1.0.0.3"}, "3.0.0.1",
			2},
		"a group that holds fewer": {[]string{"2.0.0.1", "2.0.0.1", "1.0.0.1", "1.0.0.2", "1.0.0.3"}, "2.0.0.1",
			2},
		"the same group, fewer":            {[]string{"1.0.0.1", "1.0.0.1", "1.0.0.2"}, "1.0.0.2", 0},
		"all hold one, the newcomer none":  {[]string{"1.0.0.1", "1.0.0.2"}, "1.0.0.3", 0},
		"all hold one, the newcomer too":   {[]string{"1.0.0.1", "1.0.0.2"}, "1.0.0.2", -1},
		"another group that holds as many": {[]string{"1.0.0.1", "2.0.0.1"}, "2.0.0.2", -1},
		"those without an IP are left out": {[]string{"", "", ""}, "1.0.0.1", -1},
	} {
		t.Run(name, func(t *testing.T) {
			b, now := newBudgets(Limits{len(c.held), 8, 8}), time.Now()
			var held []*ticket
			take := func(ip string) (*ticket, bool) {
				var key netip.Prefix
				if ip != "" {
					key = netip.PrefixFrom(netip.MustParseAddr(ip), 32)
				}
				s := &ticket{budgets: b}
				full, err := b.take(s, key, now)
				if full != (err != nil) {
					t.Fatal(full, err)
				}
				return s, full
			}
			for _, ip := range c.held {
				proven := ip != "" && ip[0] == '!'
				if proven {
					ip = ip[1:]
				}
				s, _ := take(ip)
				if proven {
					s.prove()
				}
				held = append(held, s)
			}
			s, full := take(c.comer)
			if !full {
				t.Fatal("not full")
			}
			loser, ok := b.takeOver(s, now)
			if ok != (c.loser >= 0) || slices.Index(held, loser) != c.loser {
				t.Errorf("number %d lost its place, want %d", slices.Index(held, loser), c.loser)
			}
			for _, h := range append(held, s) {
				if h != s || ok {
					h.Release()
				}
			}
			if b.inFlight != 0 || b.taken.Len() != 0 {
				t.Errorf("%d in flight, %v", b.inFlight, b.taken)
			}
		})
	}
}

// Random takes, gives and takeovers against plain counts.
func TestBudgetsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limits := Limits{rapid.IntRange(1, 6).Draw(rt, "all"), rapid.IntRange(1, 3).Draw(rt, "per"),
			rapid.IntRange(1, 8).Draw(rt, "rate")}
		b := newBudgets(limits)
		now := time.Unix(1, 0)
		type held struct {
			key   netip.Prefix
			place *ticket
		}
		var taken []held
		inFlight := map[netip.Prefix]int{}
		attempts := map[netip.Prefix]int{}
		since := map[netip.Prefix]time.Time{}
		group := func(key netip.Prefix) (n int) {
			for _, h := range taken {
				if h.key.Addr().As4()[1] == key.Addr().As4()[1] {
					n++
				}
			}
			return n
		}
		drop := func(i int) {
			inFlight[taken[i].key]--
			taken = slices.Delete(taken, i, i+1)
		}
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(1, 6).Draw(rt, "seconds")) * time.Second)
			case 1:
				if len(taken) > 0 {
					i := rapid.IntRange(0, len(taken)-1).Draw(rt, "which")
					b.mu.Lock()
					b.give(taken[i].place, now)
					b.mu.Unlock()
					drop(i)
				}
			default:
				key := netip.MustParsePrefix(fmt.Sprintf("10.%d.0.%d/32", rapid.IntRange(1, 2).Draw(rt, "group"),
					rapid.IntRange(1, 3).Draw(rt, "ip")))
				if began, ok := since[key]; !ok || now.Sub(began) >= attemptWindow {
					since[key], attempts[key] = now, 0
				}
				want := ""
				switch {
				case attempts[key] >= limits.AttemptsPerIP:
					want = keyAttemptsPerIP
				case inFlight[key] >= limits.HandshakesPerIP:
					want = keyHandshakesPerIP
				case len(taken) >= limits.Handshakes:
					want = keyHandshakes
				}
				if want != keyAttemptsPerIP {
					attempts[key]++
				}
				place := &ticket{budgets: b}
				full, err := b.take(place, key, now)
				if got := spent(rt, err); got != want || full != (got == keyHandshakes) {
					rt.Fatalf("refused by %q, want %q", got, want)
				}
				ok := err == nil
				if full {
					var loser *ticket
					if loser, ok = b.takeOver(place, now); ok {
						i := slices.IndexFunc(taken, func(h held) bool { return h.place == loser })
						if i < 0 || !loser.cut {
							rt.Fatal("the loser held no place")
						}
						lost := taken[i].key
						if mine, theirs := group(key), group(lost); mine > theirs || mine == theirs &&
							inFlight[key] >= inFlight[lost] {
							rt.Fatalf("%v lost its place to %v, which holds no less", lost, key)
						}
						drop(i)
					} else {
						for _, h := range taken {
							if group(key) < group(h.key) || group(key) == 0 {
								rt.Fatalf("%v was refused though %v holds more", key, h.key)
							}
						}
					}
				}
				if ok {
					taken = append(taken, held{key, place})
					inFlight[key]++
				}
			}
			if b.inFlight != len(taken) {
				rt.Fatalf("%d in flight, want %d", b.inFlight, len(taken))
			}
			for key, s := range b.sources {
				if s.inFlight != inFlight[key] || s.group.inFlight != group(key) {
					rt.Fatalf("%v holds %d places (its group %d), want %d (%d)", key, s.inFlight, s.group.inFlight,
						inFlight[key], group(key))
				}
			}
		}
	})
}

// Many at once, so that the race detector sees it.
func TestTakeOverAtOnce(t *testing.T) {
	cfg := fakeConfig(ourKey)
	cfg.Limits = Limits{Handshakes: 4, HandshakesPerIP: 3, AttemptsPerIP: 1000}
	u := newUpgrader(t, cfg)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				remote, ours := handshaketest.Pipe(fmt.Sprintf("/ip4/10.%d.0.%d/tcp/1", i%3, j%5),
					"/ip4/10.9.9.9/tcp/2")
				place, err := u.Admit(ours)
				if err != nil {
					continue
				}
				if j%3 != 0 {
					talk(remote, remoteKey)
				} else {
					remote.Close()
				}
				_, _ = u.Inbound(t.Context(), ours, place)
			}
		})
	}
	wg.Wait()
	unused(t, u)
}

func BenchmarkTakeOver(b *testing.B) {
	budgets, now := newBudgets(Limits{512, 64, 1 << 30}), time.Now()
	for i := range 512 {
		_, _ = takeFrom(budgets, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i % 8), 0, 1}), 32), now)
	}
	newcomer := netip.MustParsePrefix("1.1.1.1/32")
	for b.Loop() {
		s := &ticket{budgets: budgets}
		if full, _ := budgets.take(s, newcomer, now); !full {
			b.Fatal("not full")
		}
		loser, ok := budgets.takeOver(s, now)
		if !ok {
			b.Fatal("refused")
		}
		s.Release()
		_, _ = takeFrom(budgets, loser.source.key, now)
	}
}
