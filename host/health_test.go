package host

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// findings returns the codes that a health finds after a time.
func findings(v *Health, after time.Duration) (codes []string) {
	time.Sleep(after)
	for _, f := range v.Check(time.Now()) {
		codes = append(codes, f.Code)
	}
	return codes
}

// What happens to a node without links is found, for as long as it matters.
func TestHealthFindsWhatHappened(t *testing.T) {
	self := &DisconnectError{Code: muxer.CodeSelf}
	strange := &DisconnectError{Code: muxer.CodeWrongNetwork, Reason: "it is of network \"other\""}
	for name, c := range map[string]struct {
		happens func(*testing.T, *Health)
		code    string // found after it
		text    string // in its text
		lasts   time.Duration
	}{
		"another node with our key": {func(_ *testing.T, v *Health) {
			v.Note(&Event{Kind: EventRefused, Inbound: true, Address: "/ip4/1.2.3.4", Time: time.Now(), Reason: self})
			time.Sleep(selfDial)
		}, FindingTwin, "/ip4/1.2.3.4", time.Hour},
		"other networks": {func(_ *testing.T, v *Health) {
			for range 3 {
				v.Note(&Event{Kind: EventRefused, Inbound: true, Time: time.Now(), Reason: strange})
			}
		}, FindingOtherNetwork, `3 connections`, 10 * time.Minute},
		"UDP is blocked": {func(_ *testing.T, v *Health) {
			for i := range fewMoves {
				v.Note(&Event{Kind: EventMoveFailed, ID: peerID(i), Reason: self, Time: time.Now()})
			}
		}, FindingUnreachableQUIC, "UDP", 0},
		"a jump of the clock": {func(_ *testing.T, v *Health) {
			v.look(v.lastLook.Add(time.Hour), 10*time.Second)
			v.lastLook = time.Now()
			v.jumped.at = time.Now()
		}, FindingClock, "59m50s", time.Hour},
		"a slow service": {func(_ *testing.T, v *Health) { v.host.pauses.Add(3) }, FindingSlowService, "3 times",
			10 * time.Minute},
		"dropped messages": {func(_ *testing.T, v *Health) { v.host.channels[0].refused.Add(7) }, FindingDrops,
			"7 messages", 10 * time.Minute},
		"forgotten peers": {func(t *testing.T, v *Health) {
			for i := range 400 {
				v.host.cfg.Store.Add(mustAddress(t, fmt.Sprintf("/ip4/%d.%d.1.1/tcp/1/mconn/%s", 20+i/200, i%200,
					peerID(i))), peerstore.Source{Kind: "pex"}, time.Now())
			}
			findings(v, time.Minute)
			v.host.cfg.Store.Range(func(r peerstore.Record) bool { return v.host.cfg.Store.Remove(r.ID) })
			time.Sleep(time.Minute)
		}, FindingManyForgotten, "known peers within a minute", time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := newTestHost(t, testConfig())
				if _, err := h.OpenChannel(muxer.Channel{ID: 1, Name: "one"}); err != nil {
					t.Fatal(err)
				}
				v := NewHealth(h)
				if got := findings(v, 0); !slices.Equal(got, []string{FindingStarting}) {
					t.Fatalf("at the start: %v", got)
				}
				c.happens(t, v)
				time.Sleep(lookInterval)
				i := slices.IndexFunc(v.Check(time.Now()), func(f Finding) bool {
					return f.Code == c.code && strings.Contains(f.Text, c.text) && f.Remedy != "" &&
						!f.Since.After(time.Now())
				})
				if i < 0 {
					t.Fatalf("%+v has no %s of %q", v.Check(time.Now()), c.code, c.text)
				}
				if c.lasts == 0 {
					v.Note(&Event{Kind: EventMoved})
				}
				if got := findings(v, c.lasts+time.Minute); slices.Contains(got, c.code) {
					t.Errorf("%v is found for ever", got)
				}
			})
		})
	}
}

// Trusted peers that are down, and a node that finds nobody.
func TestHealthOfTrustedPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Peers.Persistent = []transport.Address{mustAddress(t, "/ip4/1.2.3.4/tcp/1/mconn/"+string(peerID(1))),
			mustAddress(t, "/ip4/1.2.3.5/tcp/1/mconn/"+string(peerID(2)))}
		h, _ := newTestHost(t, cfg)
		v := NewHealth(h)
		h.peers.TryDialNext() // nothing here can dial them: they are put off for an hour
		v.Note(&Event{Kind: EventDialFailed, Time: time.Now(), Reason: &DisconnectError{Code: muxer.CodeTransport}})
		if got := findings(v, 2*time.Minute); !slices.Equal(got, []string{FindingAlone, FindingPersistentDown}) {
			t.Errorf("%v", got)
		}
		if f := v.Check(time.Now()); !strings.Contains(f[1].Text, "2 persistent peers are down") ||
			!strings.Contains(f[0].Text, "the last dial failed: transport") {
			t.Errorf("%+v", f)
		}
		if err := h.Ban(peerstore.Target{ID: peerID(1)}, time.Time{}, ""); err != nil {
			t.Fatal(err)
		}
		want := []string{FindingAlone, FindingBannedPersistent, FindingPersistentDown}
		if got := findings(v, 0); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		since := v.Check(time.Now())[2].Since
		time.Sleep(30 * time.Minute)
		if f := v.Check(time.Now()); len(f) != 3 {
			t.Fatalf("%+v; down %+v", f, h.peers.Down())
		} else if f := f[2]; !f.Since.Equal(since) {
			t.Errorf("the finding began at %v, and then at %v", since, f.Since)
		}
	})
}
