package transport

import (
	"context"
	"net/netip"
)

// checkKey is where a context has the check of WithIPCheck.
type checkKey struct{}

// WithIPCheck makes dials under the context ask about each IP that they are about to dial, also one that a host name
// has led to, before anything is sent there: an error says that it is not to be dialed. It may be called concurrently.
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
