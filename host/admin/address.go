package admin

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// DefaultAddress is the default listen address.
const DefaultAddress = "127.0.0.1:26670"

// maxSocketPath is the longest path of a socket that all systems take, in bytes.
const maxSocketPath = 103

// ParseAddress splits the address of an API: host:port, or unix:///path of a socket. The network is "tcp" or "unix". Of
// an address that is not valid the error says only what is wrong.
func ParseAddress(address string) (network, where string, err error) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		switch {
		case !filepath.IsAbs(path):
			return "", "", errors.New("want unix:///path, with an absolute path")
		case len(path) > maxSocketPath:
			return "", "", fmt.Errorf("a path of %d bytes, a socket's has at most %d", len(path), maxSocketPath)
		}
		return "unix", path, nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", "", errors.New("want host:port such as " + DefaultAddress + ", or unix:///path of a socket")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", fmt.Errorf("%q is not a port (0 to 65535)", port)
	}
	return "tcp", address, nil
}

// Remote reports whether a server at host:port can be reached from other machines. Of a host name, that is not known
// before it listens.
func Remote(hostport string) bool {
	name, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(name)
	return name == "" || err == nil && !ip.Unmap().IsLoopback()
}

// reachable returns where to connect to a server that listens at host:port: one that listens everywhere is here, too.
func reachable(hostport string) string {
	name, port, _ := net.SplitHostPort(hostport)
	if ip, err := netip.ParseAddr(name); err == nil && ip.IsUnspecified() {
		name = "127.0.0.1"
		if ip.Is6() {
			name = "::1"
		}
	}
	return net.JoinHostPort(name, port)
}
