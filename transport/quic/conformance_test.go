package quic

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// simulated makes a connection over a network in memory. It works in a testing/synctest bubble.
func simulated(t testing.TB, cfg Config) (*Conn, *Conn) {
	t.Helper()
	var router simnet.Router = &simnet.PerfectRouter{}
	ctx := context.Background()
	sock := func(i byte, id *Transport) *socket {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 1000)
		s := id.newSocket(slow{simnet.NewBlockingSimConn(net.UDPAddrFromAddrPort(at), router), make(chan struct{})}, at)
		s.holders = 1
		id.sockets[s] = struct{}{}
		return s
	}
	dialer, lis := newTransport(t, cfg, dialerKey), newTransport(t, cfg, listenerKey)
	from, to := sock(1, dialer), sock(2, lis)
	l, err := lis.listen(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer from.release()
	a, err := dialer.Dial(ctx, l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return connOf(a), connOf(b)
}

// slow is a link of 1 GB/s in virtual time.
type slow struct {
	*simnet.SimConn
	closed chan struct{}
}

func (c slow) WriteTo(p []byte, to net.Addr) (int, error) {
	t := time.NewTimer(time.Duration(len(p)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.closed:
	}
	return c.SimConn.WriteTo(p, to)
}

func (c slow) Close() error {
	close(c.closed)
	return c.SimConn.Close()
}

func sessions(t testing.TB, a, b []muxer.Channel, ca, cb *Conn) (*lanes.Session, *lanes.Session) {
	t.Helper()
	var out [2]*lanes.Session
	for i, c := range []*Conn{ca, cb} {
		out[i] = lanes.New(c, lanes.Config{})
		if err := out[i].SetChannels([][]muxer.Channel{a, b}[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out[0], out[1]
}

// TestConformance runs the suite of sessions over lanes on QUIC's streams.
func TestConformance(t *testing.T) {
	muxertest.Run(t, muxertest.Traits{CarriesCode: true, CarriesReason: true, AnswersAlways: true, Streams: true,
		StopsSending: true},
		func(t testing.TB, a, b []muxer.Channel) (muxer.Session, muxer.Session) {
			ca, cb := simulated(t, Config{})
			return sessions(t, a, b, ca, cb)
		})
}
