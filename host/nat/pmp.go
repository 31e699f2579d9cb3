package nat

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	natpmp "github.com/jackpal/go-nat-pmp"
)

// pmp maps ports by NAT-PMP (RFC 6886).
type pmp struct {
	gateway netip.Addr
}

func (p *pmp) name() string { return "nat-pmp" }

// mapPort implements mapper. The library knows no contexts, so it gets the time that is left.
func (p *pmp) mapPort(ctx context.Context, at port, wish uint16, life time.Duration) (mapping, error) {
	left := requestTime
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	if left <= 0 {
		return mapping{}, context.DeadlineExceeded
	}
	client := natpmp.NewClientWithTimeout(p.gateway.AsSlice(), left)
	protocol := "tcp"
	if at.udp {
		protocol = "udp"
	}
	if life == 0 { // RFC 6886, section 3.4
		wish = 0
	}
	got, err := client.AddPortMapping(protocol, int(at.number), int(wish), int(life/time.Second))
	if err != nil {
		return mapping{}, fmt.Errorf("NAT-PMP: %w", err)
	}
	if life == 0 {
		return mapping{}, nil
	}
	if got.InternalPort != at.number {
		return mapping{}, fmt.Errorf("NAT-PMP: the gateway answers for port %d", got.InternalPort)
	}
	ip, err := client.GetExternalAddress()
	if err != nil {
		return mapping{}, fmt.Errorf("NAT-PMP: %w", err)
	}
	return mapping{external: netip.AddrPortFrom(netip.AddrFrom4(ip.ExternalIPAddress), got.MappedExternalPort),
		life: time.Duration(got.PortMappingLifetimeInSeconds) * time.Second}, nil
}
