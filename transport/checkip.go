package transport

import (
	"context"
	"net/netip"
)

// checkKey is where a context has the check of WithIPCheck.
type checkKey struct{}

// WithIPCheck makes dials under the context call check with each IP that they are about to dial, also one that a host
// name resolved to, before they send anything there. An error forbids the IP. check may be called concurrently.
func WithIPCheck(ctx context.Context, check func(netip.Addr) error) context.Context {
	return context.WithValue(ctx, checkKey{}, check)
}

// CheckIP asks the context's check, if it has one. Transports that dial IPs call it; DialTarget does.
func CheckIP(ctx context.Context, ip netip.Addr) error {
	if check, ok := ctx.Value(checkKey{}).(func(netip.Addr) error); ok {
		return check(ip)
	}
	return nil
}
