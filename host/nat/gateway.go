package nat

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// routes is where Linux tells its IPv4 routes.
const routes = "/proc/net/route"

var errNoGateway = errors.New("no gateway of a private network was found; name it in services.nat.gateway")

// findGateway returns the gateway of the IPv4 default route. Where the system does not tell (all but Linux) it is taken
// to be the first address of a private network of ours, as it mostly is.
func findGateway() (netip.Addr, error) {
	if text, err := os.ReadFile(routes); err == nil {
		if ip, ok := parseRoutes(text); ok {
			return ip, nil
		}
		return netip.Addr{}, errNoGateway
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && p.Addr().IsPrivate() && p.Bits() < 31 {
			return p.Masked().Addr().Next(), nil
		}
	}
	return netip.Addr{}, errNoGateway
}

// parseRoutes returns the gateway of the default route with the lowest metric.
func parseRoutes(text []byte) (best netip.Addr, ok bool) {
	const destination, gateway, flags, metric, mask = 1, 2, 3, 6, 7
	lowest := uint64(1 << 32)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) <= mask || f[destination] != "00000000" || f[mask] != "00000000" {
			continue
		}
		raw, err := strconv.ParseUint(f[gateway], 16, 32)
		up, err2 := strconv.ParseUint(f[flags], 16, 16)
		m, err3 := strconv.ParseUint(f[metric], 10, 32)
		if err != nil || err2 != nil || err3 != nil || up&3 != 3 || raw == 0 || m >= lowest { // RTF_UP, RTF_GATEWAY
			continue
		}
		var b [4]byte // the kernel prints the bytes of the address as one number of this machine
		binary.NativeEndian.PutUint32(b[:], uint32(raw))
		best, ok, lowest = netip.AddrFrom4(b), true, m
	}
	return best, ok
}

// localFor returns the IP of ours that a gateway sees.
func localFor(gateway netip.Addr) (netip.Addr, error) {
	conn, err := net.Dial("udp", netip.AddrPortFrom(gateway, 9).String()) // sends nothing
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	local, ok := netip.AddrFromSlice(conn.LocalAddr().(*net.UDPAddr).IP)
	if !ok {
		return netip.Addr{}, errNoGateway
	}
	return local.Unmap(), nil
}

// distinct adds a port once, within the bound.
func distinct(ports []port, p port) []port {
	if len(ports) < maxMapped && !slices.Contains(ports, p) {
		ports = append(ports, p)
	}
	return ports
}
