package cometbft

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/cometbft/cometbft/proxy"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// query asks the application.
type query = proxy.AppConnQuery

// filterTimeout bounds a question to the application, as CometBFT's does (p2p/transport.go).
const filterTimeout = 5 * time.Second

// gate returns the gate that keeps allow_duplicate_ip and filter_peers. It asks once the remote's key is proven, on the
// connection's own goroutine.
func (y *yard) gate() handshake.Gate {
	return func(v handshake.Visitor) error {
		if v.At != handshake.AtKey {
			return nil
		}
		if !y.config.P2P.AllowDuplicateIP && y.hasIP(v.IP, v.ID) {
			return &handshake.Refusal{Code: muxer.CodeTooManyPeers, Limit: "p2p.allow_duplicate_ip",
				Reason: fmt.Sprintf("another peer is connected from %v", v.IP)}
		}
		if !y.config.FilterPeers {
			return nil
		}
		ip, port, ok := hostPort(v.Remote)
		if ok {
			at := net.JoinHostPort(ip.String(), fmt.Sprint(port))
			if err := y.ask("/p2p/filter/addr/" + at); err != nil {
				return err
			}
		}
		return y.ask("/p2p/filter/id/" + string(v.ID))
	}
}

// hasIP reports whether another node is connected from an IP.
func (y *yard) hasIP(ip netip.Addr, but transport.NodeID) bool {
	if !ip.IsValid() {
		return false
	}
	for _, p := range y.peers.all() {
		if p.id != but && !p.ending() && p.socket.IP.Equal(ip.AsSlice()) {
			return true
		}
	}
	return false
}

// ask asks the application about a peer.
func (y *yard) ask(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), filterTimeout)
	defer cancel()
	res, err := y.query.Query(ctx, &queryRequest{Path: path})
	if err == nil && !res.IsErr() {
		return nil
	}
	r := &handshake.Refusal{Code: muxer.CodeFiltered, Limit: "filter_peers", Reason: "the application refuses the peer"}
	if err != nil {
		r.Reason = fmt.Sprintf("the application cannot be asked about the peer: %v", err)
	}
	return r
}
