package transport

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// An IP that the context's check refuses is not dialed, named or resolved from a host name; other IPs of the name are.
func TestDialTargetAsksAboutEachIP(t *testing.T) {
	refusal := errors.New("refused")
	bad := netip.MustParseAddr("10.0.0.1")
	ctx := WithIPCheck(t.Context(), func(ip netip.Addr) error {
		if ip == bad {
			return refusal
		}
		return nil
	})
	for _, c := range []struct {
		name  string
		to    Target
		leads []string // what the name leads to
		ctx   context.Context
		want  []string // is dialed
	}{
		{"an IP", Target{IP: bad, Port: 1}, nil, ctx, nil},
		{"an IP, mapped", Target{IP: netip.MustParseAddr("::ffff:10.0.0.1").Unmap(), Port: 1}, nil, ctx, nil},
		{"another IP", Target{IP: netip.MustParseAddr("10.0.0.2"), Port: 1}, nil, ctx, []string{"10.0.0.2"}},
		{"a name", Target{Network: "ip", Host: "a.example", Port: 1}, []string{"10.0.0.1"}, ctx, nil},
		{"a name with two IPs", Target{Network: "ip", Host: "a.example", Port: 1}, []string{"10.0.0.1", "10.0.0.2"},
			ctx, []string{"10.0.0.2"}},
		{"a name with three IPs", Target{Network: "ip", Host: "a.example", Port: 1},
			[]string{"::1", "::ffff:10.0.0.1", "10.0.0.2"}, ctx, []string{"10.0.0.2", "::1"}},
		{"nobody asks", Target{IP: bad, Port: 1}, nil, t.Context(), []string{"10.0.0.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ips []netip.Addr
			for _, ip := range c.leads {
				ips = append(ips, netip.MustParseAddr(ip))
			}
			var mu sync.Mutex
			var dialed []string
			_, err := DialTarget(c.ctx, c.to, fakeResolver{ips: ips}, time.Millisecond,
				func(_ context.Context, to netip.AddrPort) (io.Closer, error) {
					mu.Lock()
					defer mu.Unlock()
					dialed = append(dialed, to.Addr().String())
					return nil, errors.New("nothing listens there")
				})
			slices.Sort(dialed)
			if !slices.Equal(dialed, c.want) || errors.Is(err, refusal) != (c.want == nil) || err == nil {
				t.Fatalf("dialed %v, want %v: %v", dialed, c.want, err)
			}
		})
	}
}
