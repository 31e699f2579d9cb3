package host

import (
	"net"
	"strconv"
	"strings"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// learn remembers where a peer that dialed us says that it can be dialed, so that it can be found again and told to others. It is a claim until
// a dial has proved it.
func (h *Host) learn(l *link) {
	if l.shake.Remote.Guest { // nobody's business
		return
	}
	const most = 4 // addresses of one peer's claim
	for i, text := range l.shake.Remote.Listen {
		if i == most {
			return
		}
		if a, ok := claimed(l, text); ok {
			h.peers.Add(a, peerstore.Source{Kind: "inbound", From: l.peer})
		}
	}
}

// claimed reads one listen address of a remote: host:port, with or without a scheme (CometBFT's form), or a multiaddr. A node that listens everywhere says
// 0.0.0.0 and means the IP that it came from. Names are not resolved and not kept: they would be looked up on the remote's behalf.
func claimed(l *link, text string) (transport.Address, bool) {
	if strings.HasPrefix(text, "/") {
		m, err := transport.ParseListen(text)
		if err != nil {
			return transport.Address{}, false
		}
		a, err := transport.NewAddress(m, string(l.peer))
		ip, ok := a.IP()
		return a, err == nil && ok && !ip.IsUnspecified() && a.Port() != 0
	}
	if _, after, ok := strings.Cut(text, "://"); ok {
		text = after
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return transport.Address{}, false
	}
	if host == "0.0.0.0" || host == "::" {
		if !l.ip.IsValid() {
			return transport.Address{}, false
		}
		host = l.ip.String()
	}
	if net.ParseIP(host) == nil {
		return transport.Address{}, false
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 {
		return transport.Address{}, false
	}
	a, err := transport.CometAddress(l.peer, host, uint16(n))
	return a, err == nil
}
