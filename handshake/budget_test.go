package handshake

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// spent returns which limit refused; "" for none.
func spent(t interface{ Fatalf(string, ...any) }, err error) string {
	if err == nil {
		return ""
	}
	var r *Refusal
	if !errors.As(err, &r) || r.Code != muxer.CodeTooManyStarts || r.Stage != StageTransport || r.Reason == "" {
		t.Fatalf("%#v", err)
	}
	return r.Limit
}

// takeFrom takes a place for a source.
func takeFrom(b *budgets, key netip.Prefix, now time.Time) (*ticket, error) {
	s := &ticket{budgets: b}
	_, err := b.take(s, key, now)
	return s, err
}

func TestSources(t *testing.T) {
	for _, c := range []struct{ ip, want string }{
		{"1.2.3.4", "1.2.3.4/32"},
		{"::ffff:1.2.3.4", "1.2.3.4/32"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"2001:db8:1:2::9", "2001:db8:1:2::/64"},
		{"fe80::1%eth0", "fe80::/64"},
		{"127.0.0.1", "127.0.0.1/32"},
	} {
		if got := sourceOf(netip.MustParseAddr(c.ip)).String(); got != c.want {
			t.Errorf("%s counts as %s, want %s", c.ip, got, c.want)
		}
	}
	if sourceOf(netip.Addr{}).IsValid() {
		t.Error("no IP has a source")
	}
}

// 500 silent connections from one address leave another address alone, and are refused before anything is read.
func TestSilentFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpgrader(t, fakeConfig(ourKey))
		refused := 0
		done := make(chan error, 500)
		for range 500 {
			_, ours := pipe("/ip4/10.0.0.66")
			ticket, err := u.Admit(ours)
			if err != nil {
				if limit := spent(t, err); limit != keyHandshakesPerIP && limit != keyAttemptsPerIP {
					t.Fatal(err)
				}
				if ours.Reads() != 0 {
					t.Fatal("read from a refused connection")
				}
				refused++
				ours.Close()
				continue
			}
			go func() {
				_, err := u.Inbound(t.Context(), ours, ticket)
				done <- err
			}()
		}
		if refused != 500-defaultHandshakesPerIP {
			t.Errorf("%d refused", refused)
		}
		synctest.Wait()
		began := time.Now()
		for _, ip := range []string{"/ip4/10.0.0.1", "/ip6/2001:db8::1"} {
			remote, ours := pipe(ip)
			talk(remote, remoteKey)
			if _, err := inbound(u, ours); err != nil || time.Since(began) != 0 {
				t.Errorf("%s, after %v: %v", ip, time.Since(began), err)
			}
		}
		for range 500 - refused {
			if _, code := failure(t, <-done); code != muxer.CodeTimeout {
				t.Error(code)
			}
		}
		if time.Since(began) != timeout {
			t.Errorf("the silent ones ended after %v", time.Since(began))
		}
		unused(t, u)
		// 64 + 436 attempts were made, 200 count; the window is 10 s.
		_, ours := pipe("/ip4/10.0.0.66")
		if _, err := u.Admit(ours); spent(t, err) != keyAttemptsPerIP {
			t.Errorf("after 5 s: %v", err)
		}
		time.Sleep(attemptWindow - timeout)
		ticket, err := u.Admit(ours)
		if err != nil {
			t.Errorf("after 10 s: %v", err)
		}
		ticket.Release()
		ticket.Release() // once is enough
		unused(t, u)
	})
}

func TestGlobalBudget(t *testing.T) {
	cfg := fakeConfig(ourKey)
	cfg.Limits = Limits{Handshakes: 3, HandshakesPerIP: 2, AttemptsPerIP: 4}
	u := newUpgrader(t, cfg)
	admit := func(ip string) (transport.Ticket, string) {
		_, ours := pipe(ip)
		s, err := u.Admit(ours)
		return s, spent(t, err)
	}
	a, _ := admit("/ip6/2001:db8::1")
	b, _ := admit("/ip6/2001:db8::2")
	if _, limit := admit("/ip6/2001:db8::3"); limit != keyHandshakesPerIP {
		t.Error(limit)
	}
	c, limit := admit("/ip6/2001:db8:0:1::1")
	if limit != "" {
		t.Error(limit)
	}
	if _, limit := admit("/memory/1"); limit != keyHandshakes {
		t.Error(limit)
	}
	a.Release()
	d, limit := admit("/ip6/2001:db8::4")
	if limit != "" {
		t.Error(limit)
	}
	if _, limit := admit("/ip6/2001:db8::5"); limit != keyAttemptsPerIP {
		t.Error(limit)
	}
	for _, s := range []transport.Ticket{a, b, c, d, (*ticket)(nil)} {
		s.Release()
	}
	unused(t, u)
}

func TestTrackerForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudgets(Limits{1 << 20, 4, 4})
		check := func(most int) {
			t.Helper()
			if len(b.sources) > most || len(b.groups) > len(b.sources) || b.windows.Len() > maxWindows {
				t.Fatalf("%d sources, %d windows", len(b.sources), b.windows.Len())
			}
		}
		address := func(i int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		}
		for i := range 3 * maxWindows {
			s, err := takeFrom(b, address(i), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			s.Release()
		}
		check(maxWindows)
		time.Sleep(attemptWindow)
		held, _ := takeFrom(b, address(0), time.Now())
		check(1)
		time.Sleep(attemptWindow)
		for range 4 { // its window is over, so attempts count anew
			if s, err := takeFrom(b, address(0), time.Now()); err == nil {
				s.Release()
			}
		}
		if _, err := takeFrom(b, address(0), time.Now()); spent(t, err) != keyAttemptsPerIP {
			t.Error(err)
		}
		time.Sleep(attemptWindow)
		held.Release()
		check(0)
	})
}

func BenchmarkAdmit(b *testing.B) {
	u, err := NewUpgrader(fakeConfig(ourKey))
	if err != nil {
		b.Fatal(err)
	}
	_, ours := pipe("/memory/1")
	flood, _ := pipe("/ip4/10.0.0.1")
	for _, c := range []struct {
		name string
		conn *connWithAddr
	}{{"taken", &connWithAddr{ours.RemoteMultiaddr()}}, {"refused", &connWithAddr{flood.LocalMultiaddr()}}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ticket, err := u.Admit(c.conn); err == nil {
					ticket.Release()
				}
			}
		})
	}
}

type connWithAddr struct{ addr ma.Multiaddr }

func (c *connWithAddr) LocalMultiaddr() ma.Multiaddr  { return c.addr }
func (c *connWithAddr) RemoteMultiaddr() ma.Multiaddr { return c.addr }
func (c *connWithAddr) Close() error                  { return nil }
func (c *connWithAddr) RemoteIP() netip.Addr {
	ip, _ := transport.MultiaddrIP(c.addr)
	return ip
}

// TestLimitsChange: new limits hold for what begins after them.
func TestLimitsChange(t *testing.T) {
	b, now := newBudgets(Limits{Handshakes: 1, HandshakesPerIP: 1, AttemptsPerIP: 100}), time.Now()
	one, two := sourceOf(netip.MustParseAddr("1.2.3.4")), sourceOf(netip.MustParseAddr("5.6.7.8"))
	first, err := takeFrom(b, one, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeFrom(b, one, now); spent(t, err) != keyHandshakesPerIP {
		t.Errorf("got %v", err)
	}
	b.setLimits(Limits{Handshakes: 2, HandshakesPerIP: 2, AttemptsPerIP: 3})
	if _, err := takeFrom(b, one, now); err != nil {
		t.Error(err)
	}
	if _, err := takeFrom(b, one, now); spent(t, err) != keyAttemptsPerIP {
		t.Errorf("got %v", err)
	}
	b.setLimits(Limits{Handshakes: 1, HandshakesPerIP: 1, AttemptsPerIP: 100})
	first.Release()
	if _, err := takeFrom(b, two, now); spent(t, err) != keyHandshakes {
		t.Errorf("beyond a limit that has shrunk: %v", err)
	}
	u := &Upgrader{budgets: b}
	if err := u.SetLimits(Limits{Handshakes: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
}
