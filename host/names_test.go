package host

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Each remote is told first where it can reach us: in its family, and not at an address of a narrower scope than its.
func TestEachRemoteIsToldWhatItReaches(t *testing.T) {
	h, _ := newTestHost(t, testConfig())
	const private, public4, public6, name = "/ip4/10.1.2.3/tcp/1", "/ip4/8.8.4.4/tcp/1", "/ip6/2001:4860::1/tcp/1",
		"/dns/me.example/tcp/1"
	for _, s := range []string{"/ip4/127.0.0.1/tcp/1", private, name, public6, public4} {
		h.cfg.External = append(h.cfg.External, ma.StringCast(s))
	}
	for remote, want := range map[string]string{
		"9.9.9.9": public4, "::ffff:9.9.9.9": public4, "2606:4700::1": public6, "10.9.9.9": private,
		"127.0.0.1": "/ip4/127.0.0.1/tcp/1",
	} {
		listen := h.infoFor(nil, netip.MustParseAddr(remote)).Listen
		if len(listen) != 5 || listen[0] != want {
			t.Errorf("%s is told %v, want %s first", remote, listen, want)
		}
		if remote == "9.9.9.9" && (listen[1] != name || listen[2] != public6) {
			t.Errorf("%s is told %v", remote, listen)
		}
	}
}

// A name of ours is told with its IPs, which follow the name server; while it is away the last answer holds.
func TestOurNamesAreToldWithTheirIPs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.External = []ma.Multiaddr{ma.StringCast("/dns4/me.example/tcp/5"), ma.StringCast("/ip4/8.8.4.4/tcp/6")}
		h, _ := newTestHost(t, cfg, muxer.Channel{ID: 1})
		var answer atomic.Pointer[[]netip.Addr]
		h.resolver = resolverFunc(func(name string) ([]netip.Addr, error) {
			if ips := answer.Load(); ips != nil && name == "me.example" {
				return *ips, nil
			}
			return nil, errors.New("no name server")
		})
		defer run(t, h)()
		told := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if got := h.infoFor(nil, netip.MustParseAddr("9.9.9.9")).Listen; !slices.Equal(got, want) {
				t.Errorf("told %v, want %v", got, want)
			}
		}
		told("/ip4/8.8.4.4/tcp/6", "/dns4/me.example/tcp/5")
		answer.Store(&[]netip.Addr{netip.MustParseAddr("2606:4700::1"), netip.MustParseAddr("7.7.7.7")})
		time.Sleep(nameRetry)
		told("/ip4/7.7.7.7/tcp/5", "/ip4/8.8.4.4/tcp/6", "/dns4/me.example/tcp/5")
		if self := h.SelfAddresses(); !slices.ContainsFunc(self, func(a transport.Address) bool {
			return strings.HasPrefix(a.String(), "/ip4/7.7.7.7/tcp/5/")
		}) {
			t.Errorf("our addresses are %v", self)
		}
		answer.Store(nil)
		time.Sleep(2 * nameLife)
		told("/ip4/7.7.7.7/tcp/5", "/ip4/8.8.4.4/tcp/6", "/dns4/me.example/tcp/5")
		answer.Store(&[]netip.Addr{netip.MustParseAddr("7.7.7.8")})
		time.Sleep(nameLife)
		told("/ip4/7.7.7.8/tcp/5", "/ip4/8.8.4.4/tcp/6", "/dns4/me.example/tcp/5")
	})
}

// A peer that was dialed by its name is gossiped with the IP that the name has led to.
func TestANameThatWasDialedIsGossipedByItsIP(t *testing.T) {
	for _, suffix := range []string{"/tcp/26656/mconn/", "/udp/26656/quic-v1/p2p/"} {
		inLinkTest(t, func(t *testing.T, h *linkTest) {
			l, _ := testLink(h.Host, 1, muxer.Dialer, true)
			node := string(l.peer)
			if strings.Contains(suffix, "p2p") {
				node = l.peerID()
			}
			l.shake.Dialed = mustAddress(t, "/dns4/peer.example"+suffix+node)
			if err := h.peers.BeginDial(l.shake.Dialed); err != nil {
				t.Fatal(err)
			}
			handOn(h.Host, l)
			h.hears("up " + short(1))
			want := "/ip4/" + l.ip.String() + suffix + node
			if got := h.Advertise(peerID(2), 10); !slices.ContainsFunc(got, func(a transport.Address) bool {
				return a.String() == want
			}) {
				t.Errorf("%v are told, want %s", got, want)
			}
		})
	}
}
