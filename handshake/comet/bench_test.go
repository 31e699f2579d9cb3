package comet

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// benchUpgrade does both ends of handshakes over the connections that connect makes.
func benchUpgrade(b *testing.B, inFlight int, connect func() (dialed, accepted transport.Conn)) {
	d, l := newNode(b, 1), newNode(b, 2)
	l.limits.AttemptsPerIP, l.limits.HandshakesPerIP = 1<<30, 1<<20
	du, lu := d.upgrader(b), l.upgrader(b)
	addr := l.address(b)
	b.ReportAllocs()
	var failed atomic.Value
	one := func(in chan transport.Conn, done chan error) {
		x, y := connect()
		in <- y
		link, err := du.Outbound(context.Background(), x, addr, 0)
		if err == nil {
			_ = link.Session.Close(muxer.CodeRequested, "")
			err = <-done
		}
		if err != nil {
			failed.Store(err)
		}
	}
	b.SetParallelism(max(inFlight/2, 1)) // of 2 cores
	b.RunParallel(func(pb *testing.PB) {
		in, done := make(chan transport.Conn), make(chan error, 1)
		go func() {
			for y := range in {
				ticket, err := lu.Admit(y)
				if err != nil {
					done <- err
					continue
				}
				link, err := lu.Inbound(context.Background(), y, ticket)
				if err == nil {
					_ = link.Session.Close(muxer.CodeRequested, "")
				}
				done <- err
			}
		}()
		for pb.Next() {
			one(in, done)
		}
		close(in)
	})
	if err := failed.Load(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSetUpPipe is the set-up of both ends in memory.
func BenchmarkSetUpPipe(b *testing.B) {
	benchUpgrade(b, 1, func() (transport.Conn, transport.Conn) {
		x, y := handshaketest.Pipe(dialerAddr, listenerAddr)
		return x, y
	})
}

// loopback is a connection of package net.
type loopback struct{ manet.Conn }

func (loopback) RemoteIP() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// BenchmarkSetUpTCP is the set-up of both ends over loopback, with the connect, 2 and 16 in flight.
func BenchmarkSetUpTCP(b *testing.B) {
	for name, inFlight := range map[string]int{"2": 2, "16": 16} {
		b.Run(name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			accepted := make(chan net.Conn, 64)
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					accepted <- c
				}
			}()
			wrap := func(c net.Conn) transport.Conn {
				_ = c.(*net.TCPConn).SetLinger(0)
				m, err := manet.WrapNetConn(c)
				if err != nil {
					b.Fatal(err)
				}
				return loopback{m}
			}
			// Which accepted connection belongs to which dial does not matter: every handshake has both ends.
			benchUpgrade(b, inFlight, func() (transport.Conn, transport.Conn) {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				return wrap(c), wrap(<-accepted)
			})
		})
	}
}
