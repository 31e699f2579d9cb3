package nat

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// The Port Control Protocol, RFC 6887: the operation MAP alone.
const (
	pcpVersion     = 2
	pcpMap         = 1
	pcpResponse    = 0x80
	pcpHeader      = 24   // section 7.1 and 7.2
	pcpMapSize     = 36   // section 11.1
	pcpMax         = 1100 // section 7: a message is never longer
	pcpNonce       = 12
	pcpFirstRetry  = 250 * time.Millisecond // section 8.1.1 has 3 s, for a client with more time
	protocolTCP    = 6
	protocolUDP    = 17
	pcpUnsupported = 1 // UNSUPP_VERSION
)

// pcpError is a result code of a gateway (section 7.4).
type pcpError struct {
	code byte
	wait time.Duration // how long the gateway will answer the same
}

var pcpCodes = [...]string{"success", "unsupported version", "not authorized", "malformed request",
	"unsupported operation", "unsupported option", "malformed option", "network failure", "no resources",
	"unsupported protocol", "quota exceeded", "cannot provide external address", "address mismatch",
	"excessive remote peers"}

func (e *pcpError) Error() string {
	if int(e.code) < len(pcpCodes) {
		return "PCP: the gateway answers: " + pcpCodes[e.code]
	}
	return fmt.Sprintf("PCP: the gateway answers with code %d", e.code)
}

// pcpMapping is the content of a request and of a response to it.
type pcpMapping struct {
	client   netip.Addr // of a request
	nonce    [pcpNonce]byte
	udp      bool
	internal uint16
	external netip.AddrPort // suggested, or assigned
	lifetime time.Duration  // 0 deletes
	epoch    uint32         // of a response: seconds since the gateway has lost its state
}

// appendRequest writes a MAP request (sections 7.1 and 11.1).
func (m *pcpMapping) appendRequest(b []byte) []byte {
	b = append(b, pcpVersion, pcpMap, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(m.lifetime/time.Second))
	client := m.client.As16()
	b = append(b, client[:]...)
	b = append(b, m.nonce[:]...)
	b = append(b, m.protocol(), 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, m.internal)
	b = binary.BigEndian.AppendUint16(b, m.external.Port())
	external := m.external.Addr()
	if !external.IsValid() || external.IsUnspecified() { // no wish for an IP: all zeros of the client's family
		external = netip.IPv6Unspecified()
		if m.client.Is4() || m.client.Is4In6() {
			external = netip.AddrFrom4([4]byte{})
		}
	}
	raw := external.As16()
	return append(b, raw[:]...)
}

func (m *pcpMapping) protocol() byte {
	if m.udp {
		return protocolUDP
	}
	return protocolTCP
}

var errPCPMessage = errors.New("PCP: malformed answer")

// parsePCP reads a response to a MAP request. An error that a gateway reports is a *pcpError.
func parsePCP(b []byte) (pcpMapping, error) {
	var m pcpMapping
	switch {
	case len(b) < 4 || len(b) > pcpMax || len(b)%4 != 0:
		return m, errPCPMessage
	case b[0] != pcpVersion: // a gateway that knows NAT-PMP alone answers so (appendix A)
		return m, &pcpError{code: pcpUnsupported}
	case b[1] != pcpMap|pcpResponse || len(b) < pcpHeader:
		return m, errPCPMessage
	}
	lifetime := time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Second
	if b[3] != 0 {
		return m, &pcpError{b[3], lifetime}
	}
	if len(b) < pcpHeader+pcpMapSize {
		return m, errPCPMessage
	}
	m.lifetime, m.epoch = lifetime, binary.BigEndian.Uint32(b[8:])
	body := b[pcpHeader:]
	m.nonce = [pcpNonce]byte(body)
	switch body[12] {
	case protocolTCP:
	case protocolUDP:
		m.udp = true
	default:
		return m, errPCPMessage
	}
	m.internal = binary.BigEndian.Uint16(body[16:])
	m.external = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[20:])).Unmap(), binary.BigEndian.Uint16(body[18:]))
	return m, nil
}

// pcp maps ports by PCP.
type pcp struct {
	gateway netip.AddrPort
	// nonces prove to the gateway that a renewal or a deletion is of who made the mapping.
	nonces map[port][pcpNonce]byte
}

func (p *pcp) name() string { return "pcp" }

// mapPort implements mapper.
func (p *pcp) mapPort(ctx context.Context, at port, wish uint16, life time.Duration) (mapping, error) {
	nonce, ok := p.nonces[at]
	if !ok {
		_, _ = rand.Read(nonce[:])
		p.nonces[at] = nonce
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", p.gateway.String())
	if err != nil {
		return mapping{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	local, ok := netip.AddrFromSlice(conn.LocalAddr().(*net.UDPAddr).IP)
	if !ok {
		return mapping{}, fmt.Errorf("PCP: %v has no IP", conn.LocalAddr())
	}
	want := pcpMapping{client: local.Unmap(), nonce: nonce, udp: at.udp, internal: at.number, lifetime: life}
	if wish != 0 {
		want.external = netip.AddrPortFrom(netip.AddrFrom4([4]byte{}), wish)
	}
	if life == 0 { // section 15: the suggestion is zero
		want.external = netip.AddrPort{}
		delete(p.nonces, at)
	}
	got, err := exchangePCP(ctx, conn, &want)
	if err != nil {
		return mapping{}, err
	}
	return mapping{external: got.external, life: got.lifetime}, nil
}

// exchangePCP sends a request until the answer to it is there, or ctx ends. The socket is connected, so that only the
// gateway answers.
func exchangePCP(ctx context.Context, conn net.Conn, want *pcpMapping) (pcpMapping, error) {
	request := want.appendRequest(nil)
	buf := make([]byte, pcpMax+1)
	for wait := pcpFirstRetry; ; wait *= 2 {
		if _, err := conn.Write(request); err != nil {
			return pcpMapping{}, err
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		for {
			if ctx.Err() != nil {
				return pcpMapping{}, ctx.Err()
			}
			n, err := conn.Read(buf)
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				break
			} else if err != nil {
				return pcpMapping{}, err
			}
			got, err := parsePCP(buf[:n])
			if err != nil && !errors.Is(err, errPCPMessage) {
				return got, err
			}
			if err == nil && got.nonce == want.nonce && got.udp == want.udp && got.internal == want.internal {
				return got, nil
			} // else of an earlier request
		}
	}
}
