package nat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	natpmp "github.com/jackpal/go-nat-pmp"
)

// Probed is a protocol by which a gateway maps ports.
type Probed struct {
	Protocol string     // "pcp", "nat-pmp" or "upnp"
	External netip.Addr // the gateway's address outside; not valid if the protocol does not tell (pcp)
}

// Probe asks the gateway by which of the configured protocols it maps ports. It maps none. It takes up to 3 s. The
// error says that there is no gateway; one that answers nothing is none.
func Probe(ctx context.Context, cfg Config) (gateway netip.Addr, found []Probed, err error) {
	if err := cfg.Validate(); err != nil {
		return gateway, nil, err
	}
	if cfg.Gateway != "" {
		gateway, err = netip.ParseAddr(cfg.Gateway)
	} else {
		gateway, err = findGateway()
	}
	if err != nil {
		return gateway, nil, err
	}
	found = probe(ctx, gateway, cfg.Protocols, "")
	return gateway, found, nil
}

func probe(ctx context.Context, gateway netip.Addr, protocols []string, group string) []Probed {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	if len(protocols) == 0 {
		protocols = Default().Protocols
	}
	all := make([]*Probed, len(protocols))
	var wg sync.WaitGroup
	for i, name := range protocols {
		wg.Go(func() {
			var external netip.Addr
			var err error
			switch name {
			case "pcp":
				err = announcePCP(ctx, netip.AddrPortFrom(gateway, pcpPort))
			case "nat-pmp":
				external, err = (&pmp{gateway}).external(ctx)
			case "upnp":
				u := &upnp{gateway: gateway, group: group}
				if err = u.find(ctx); err == nil {
					external, err = u.external(ctx)
				}
			}
			if err == nil {
				all[i] = &Probed{name, external}
			}
		})
	}
	wg.Wait()
	var found []Probed
	for _, p := range all {
		if p != nil {
			found = append(found, *p)
		}
	}
	return slices.Clip(found)
}

// announcePCP asks whether a gateway speaks PCP, by the operation ANNOUNCE (RFC 6887, section 14.1), until it answers
// or ctx ends.
func announcePCP(ctx context.Context, gateway netip.AddrPort) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", gateway.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	local, ok := netip.AddrFromSlice(conn.LocalAddr().(*net.UDPAddr).IP)
	if !ok {
		return fmt.Errorf("PCP: %v has no IP", conn.LocalAddr())
	}
	request := binary.BigEndian.AppendUint32([]byte{pcpVersion, 0, 0, 0}, 0)
	client := local.As16()
	request = append(request, client[:]...)
	buf := make([]byte, pcpMax+1)
	for wait := pcpFirstRetry; ctx.Err() == nil; wait *= 2 {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		n, err := conn.Read(buf)
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			continue
		} else if err != nil {
			return err
		}
		switch b := buf[:n]; {
		case n < pcpHeader || b[0] != pcpVersion || b[1] != pcpResponse:
			return errPCPMessage // also of a gateway that knows NAT-PMP alone
		case b[3] != 0:
			return &pcpError{code: b[3]}
		}
		return nil
	}
	return ctx.Err()
}

// external returns the address outside.
func (p *pmp) external(ctx context.Context) (netip.Addr, error) {
	left := requestTime
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	if left <= 0 {
		return netip.Addr{}, context.DeadlineExceeded
	}
	got, err := natpmp.NewClientWithTimeout(p.gateway.AsSlice(), left).GetExternalAddress()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("NAT-PMP: %w", err)
	}
	return netip.AddrFrom4(got.ExternalIPAddress), nil
}
