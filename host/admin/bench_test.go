package admin

import (
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// BenchmarkStreamStep is one second of GET /v1/stream at 500 peers whose rates all change, for all readers together.
func BenchmarkStreamStep(b *testing.B) {
	f := newFakeNode(b)
	f.peers = nil
	for i := range 500 {
		f.peers = append(f.peers, host.PeerInfo{ID: transport.NodeID(fmt.Sprintf("%040x", i)), LinkID: uint64(i),
			Wire: "comet", Transport: "tcp", Moniker: "node", Connected: time.Now(), Channels: []byte{0, 0x70, 0x71},
			Address:    fmt.Sprintf("/ip4/1.2.3.%d/tcp/26656/mconn/%040x", i%256, i),
			PerChannel: make([]host.ChannelInfo, 3)})
	}
	s, err := New(Config{}, f.node(), nil)
	if err != nil {
		b.Fatal(err)
	}
	s.feed.running = true
	if _, _, err := s.feed.join(0, false); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	bytes, n := 0, uint64(0)
	for b.Loop() {
		n++
		for i := range f.peers {
			p := &f.peers[i]
			p.SendRate, p.ReceiveRate, p.Score = float64(n), float64(n)+1, int(n)
			p.Stats = muxer.Stats{SentBytes: n, ReceivedBytes: n}
		}
		s.feed.step(1)
		bytes += len(s.feed.messages[len(s.feed.messages)-1].data)
	}
	b.ReportMetric(float64(bytes)/float64(n), "B/message")
}
