package signer

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// Address is where a signer listens.
type Address struct {
	Path string // of a unix socket, absolute; "" for TLS
	Host string // host:port over mutual TLS
}

// maxSocketPath is the longest path of a unix socket on all systems, in bytes (104 on BSD with the zero at the end).
const maxSocketPath = 103

// ParseAddress reads an address: unix:///path/of/socket or tls://host:port. It refuses everything that is not secured,
// such as tcp://.
func ParseAddress(s string) (Address, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return Address{}, fmt.Errorf("%.120q: want unix:///path/of/socket or tls://host:port", s)
	}
	switch scheme {
	case "unix":
		switch {
		case !filepath.IsAbs(rest):
			return Address{}, fmt.Errorf("%.120q: the path of the socket must be absolute: unix:///path", s)
		case len(rest) > maxSocketPath:
			return Address{}, fmt.Errorf("%.120q: the path of the socket has %d bytes, at most %d are possible", s,
				len(rest), maxSocketPath)
		}
		return Address{Path: filepath.Clean(rest)}, nil
	case "tls":
		host, port, err := net.SplitHostPort(rest)
		if err != nil {
			return Address{}, fmt.Errorf("%.120q: want tls://host:port", s)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" && n == 0 {
			return Address{}, fmt.Errorf("%.120q: port %.20q is not a number up to 65535", s, port)
		}
		return Address{Host: rest}, nil
	case "tcp", "http", "grpc":
		return Address{}, errors.New("a signer is never reached over a plain connection: " +
			"want unix:///path/of/socket, or tls://host:port with mutual TLS")
	}
	return Address{}, fmt.Errorf("%.120q: unknown scheme %.20q; want unix:///path/of/socket or tls://host:port", s,
		scheme)
}

// String returns the address as ParseAddress reads it.
func (a Address) String() string {
	if a.Path != "" {
		return "unix://" + a.Path
	}
	return "tls://" + a.Host
}

// TLS reports whether the address is one of mutual TLS.
func (a Address) TLS() bool { return a.Path == "" }
