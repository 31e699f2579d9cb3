package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// listen listens at an address that is valid. A socket is for the user of this process alone; one that a process has
// left behind is replaced.
func listen(ctx context.Context, address string) (net.Listener, error) {
	network, where, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	var cfg net.ListenConfig
	ln, err := cfg.Listen(ctx, network, where)
	if network != "unix" {
		return ln, err
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		c, derr := new(net.Dialer).DialContext(ctx, network, where)
		if derr == nil {
			_ = c.Close()
		} else if errors.Is(derr, syscall.ECONNREFUSED) && os.Remove(where) == nil {
			ln, err = cfg.Listen(ctx, network, where)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(where, 0o600); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
}
