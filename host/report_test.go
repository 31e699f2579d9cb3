package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// reporting returns the reporter of a host that does not run, and its log.
func reporting(t *testing.T, change func(*Config)) (*reporter, *bytes.Buffer) {
	log := &bytes.Buffer{}
	cfg := testConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	if change != nil {
		change(&cfg)
	}
	h, _ := newTestHost(t, cfg)
	return newReporter(h), log
}

// TestLogUnderAttack lets strangers come, go, be refused and banned, a thousand times a minute, with a thousand
// configured peers that cannot be linked, and counts the lines of each hour.
func TestLogUnderAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := reporting(t, nil)
		var configured []transport.NodeID
		for i := range 1000 {
			a := mustAddress(t, fmt.Sprintf("/ip4/1.%d.%d.1/tcp/1/mconn/%040x", i/200, i%200, i+1))
			r.host.cfg.Store.Add(a, peerstore.Source{Kind: peerstore.SourceConfig}, time.Now())
			configured = append(configured, a.ID())
		}
		for hour := range 3 {
			for range 60 {
				for i := range 1000 {
					reason := &DisconnectError{Code: muxer.Code(1 + i%20), Reason: fmt.Sprint(i)}
					for _, e := range []Event{
						{Kind: EventUp}, {Kind: EventDown, Reason: reason},
						{Kind: EventRefused, Inbound: true, Reason: reason},
						{Kind: EventBan, Address: "1.2.3.4", Reason: reason},
						{Kind: EventDialFailed, ID: configured[i], Reason: reason},
					} {
						if e.ID == "" {
							e.ID = transport.NodeID(fmt.Sprintf("%040x", 1<<30+i))
						}
						e.Time = time.Now()
						r.event(&e)
					}
				}
				time.Sleep(time.Minute)
				r.check(time.Now(), time.Minute)
			}
			if lines := strings.Count(log.String(), "\n"); lines > 1000 || lines < 100 {
				t.Errorf("hour %d: %d lines", hour, lines)
			}
			if !strings.Contains(log.String(), "lines_left_out=") {
				t.Error("nothing says that lines were left out")
			}
			log.Reset()
		}
	})
}

func TestClockJump(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct{ wall, passed, want time.Duration }{
		{10 * time.Second, 10 * time.Second, 0},
		{15 * time.Second, 10 * time.Second, 0},
		{-time.Second, time.Second, 0},
		{time.Hour, 10 * time.Second, time.Hour - 10*time.Second},
		{-60 * 24 * time.Hour, 0, -60 * 24 * time.Hour},
	} {
		if got := jump(now, now.Add(tt.wall), tt.passed); got != tt.want {
			t.Errorf("wall %v, passed %v: %v, want %v", tt.wall, tt.passed, got, tt.want)
		}
	}
	r, log := reporting(t, nil)
	r.check(r.health.lastLook.Add(time.Hour), 10*time.Second)
	r.check(r.health.lastLook.Add(-time.Hour), 10*time.Second)
	for _, want := range []string{"jumped ahead, or the machine slept\" by=59m50s", "jumped back\" by=-1h0m10s"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in %q", want, log.String())
		}
	}
}

// resolverFunc resolves by a function.
type resolverFunc func(name string) ([]netip.Addr, error)

func (f resolverFunc) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	return f(name)
}

func TestOwnNameThatDoesNotResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := reporting(t, func(c *Config) {
			c.External = []ma.Multiaddr{ma.StringCast("/dns4/good.example/tcp/1"),
				ma.StringCast("/dns/bad.example/tcp/1"), ma.StringCast("/ip4/1.2.3.4/tcp/1")}
		})
		asked := 0
		r.host.resolver = resolverFunc(func(name string) ([]netip.Addr, error) {
			asked++
			if name == "good.example" {
				return []netip.Addr{netip.MustParseAddr("1.2.3.4")}, nil
			}
			return nil, errors.New("no such host")
		})
		for range 2 {
			for range 300 {
				r.resolveNames(t.Context(), time.Now())
				time.Sleep(10 * time.Second)
			}
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") ||
				!strings.Contains(got, "name=bad.example") {
				t.Errorf("the log is %q", got)
			}
			log.Reset()
			time.Sleep(15 * time.Minute)
		}
		if asked != 4 {
			t.Errorf("the resolver was asked %d times, want once a name and hour", asked)
		}
	})
}
