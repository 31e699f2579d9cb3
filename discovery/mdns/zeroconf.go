package mdns

import (
	"context"
	"errors"
	"net"

	"github.com/libp2p/zeroconf/v2"
)

// This file is all that knows the library. It keeps every service that it has heard of until the service's own time is
// over, so a browse must not go on for ever: see maxEntries and browseTime.

const (
	service = "_p2p._udp"
	domain  = "local"
	// port stands in the SRV record. libp2p's nodes read the TXT records alone.
	port = 4001
)

var errNoMulticast = errors.New("no network interface takes multicasts of mDNS (224.0.0.251 or ff02::fb, port 5353)")

// families returns for which IP versions the machine lets us listen.
func families() zeroconf.IPType {
	var which zeroconf.IPType
	for network, f := range map[string]struct {
		group string
		kind  zeroconf.IPType
	}{"udp4": {"224.0.0.0", zeroconf.IPv4}, "udp6": {"ff02::", zeroconf.IPv6}} {
		if conn, err := net.ListenUDP(network, &net.UDPAddr{IP: net.ParseIP(f.group), Port: 5353}); err == nil {
			_ = conn.Close()
			which |= f.kind
		}
	}
	return which
}

// interfaces returns those that are up and take multicasts.
func interfaces() []net.Interface {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var out []net.Interface
	for _, i := range all {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagMulticast != 0 {
			out = append(out, i)
		}
	}
	return out
}

// announce answers the queries of others with records until stop is called, which waits for its goroutines.
func announce(name string, ips, records []string) (stop func(), err error) {
	on := interfaces()
	if len(on) == 0 || families() == 0 {
		return nil, errNoMulticast
	}
	server, err := zeroconf.RegisterProxy(name, service, domain, port, name, ips, records, on)
	if err != nil {
		return nil, err
	}
	return server.Shutdown, nil
}

// browse asks for services and passes their records on, until ctx ends. heard is called by this goroutine alone.
func browse(ctx context.Context, heard func(records []string)) error {
	on, which := interfaces(), families()
	if len(on) == 0 || which == 0 {
		return errNoMulticast
	}
	entries, returned := make(chan *zeroconf.ServiceEntry), make(chan error, 1)
	go func() {
		returned <- zeroconf.Browse(ctx, service, domain, entries, zeroconf.SelectIPTraffic(which),
			zeroconf.SelectIfaces(on))
	}()
	for {
		select {
		case e, ok := <-entries:
			if !ok { // Browse has closed it, and is about to return
				return <-returned
			}
			heard(e.Text)
		case err := <-returned: // it closes nothing if it could not begin
			return err
		}
	}
}
