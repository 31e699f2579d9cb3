package cometbft

import (
	"net"
	"reflect"

	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
)

// closeStock closes the listener of the node's own transport, which nothing uses once Switchyard has replaced it. The
// node would rather close it when it stops, and logs then that it is closed already. The way there leads over private
// fields; if a later CometBFT has others, the transport goes on listening on loopback, and closeStock reports false.
//
// The transport's accept loop ends once its error is taken, on a goroutine of spawn, which ends with the transport at
// the latest: the node closes it when it stops.
func closeStock(n *node.Node, spawn func(func())) bool {
	f := inside(reflect.ValueOf(n).Elem().FieldByName("transport"))
	if !f.IsValid() || f.Type() != reflect.TypeFor[*p2p.MultiplexTransport]() || f.IsNil() {
		return false
	}
	stock := (*p2p.MultiplexTransport)(f.UnsafePointer())
	l := inside(f.Elem().FieldByName("listener"))
	if l.IsValid() && l.Kind() == reflect.Pointer && l.Elem().Kind() == reflect.Struct &&
		l.Type() != reflect.TypeFor[*net.TCPListener]() {
		l = inside(l.Elem().FieldByName("Listener")) // one that bounds connections
	}
	if !l.IsValid() || l.Type() != reflect.TypeFor[*net.TCPListener]() || l.IsNil() {
		return false
	}
	_ = (*net.TCPListener)(l.UnsafePointer()).Close()
	spawn(func() { drain(p2p.Transport.Accept, stock) })
	return true
}

// inside returns what is in an interface.
func inside(v reflect.Value) reflect.Value {
	if v.IsValid() && v.Kind() == reflect.Interface {
		return v.Elem()
	}
	return v
}

// drain takes the error of a transport whose listener was closed.
func drain[C any](accept func(p2p.Transport, C) (p2p.Peer, error), t p2p.Transport) {
	defer func() { _ = recover() }() // of a peer that was faster: CometBFT wants more of C then
	var none C
	_, _ = accept(t, none)
}
