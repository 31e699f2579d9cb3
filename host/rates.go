package host

import (
	"math"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// rateWindow is over how long a rate forgets: of what was so long ago, 1/e still counts.
const rateWindow = 10 * time.Second

// ChannelInfo is what passed one channel of a link, in all and lately.
type ChannelInfo struct {
	muxer.ChannelStats
	SendRate, ReceiveRate float64 // bytes a second, as in PeerInfo
}

// meter makes rates of a link's counters, so that no message pays for a rate. What passed between two readings, at most
// a pulse apart, counts as if it had been spread evenly.
type meter struct {
	mu       sync.Mutex // guards what follows
	read     time.Time  // the last reading; at first the link's beginning
	sent     rate
	received rate
	channels []channelRates // in the order of the session's
}

type channelRates struct{ sent, received rate }

// rate is a number of bytes a second, decayed.
type rate struct {
	bytes uint64 // at the last reading
	value float64
}

// observe reads the counters of a link now. It fills in what PeerInfo says about rates and channels.
func (m *meter) observe(l *link, p *PeerInfo) {
	channels, now := l.session.ChannelStats(), time.Now()
	p.PerChannel = make([]ChannelInfo, len(channels))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.read.IsZero() {
		m.read, m.channels = l.made, make([]channelRates, len(channels))
	}
	elapsed := now.Sub(m.read).Seconds()
	if elapsed > 0 {
		m.read = now
	}
	keep := math.Exp(-elapsed / rateWindow.Seconds())
	count := func(r *rate, bytes uint64) float64 {
		if elapsed > 0 && bytes >= r.bytes { // another reader may have been later
			r.value = r.value*keep + float64(bytes-r.bytes)/elapsed*(1-keep)
			r.bytes = bytes
		}
		return r.value
	}
	p.SendRate, p.ReceiveRate = count(&m.sent, p.Stats.SentBytes), count(&m.received, p.Stats.ReceivedBytes)
	for i, c := range channels {
		r := &m.channels[i]
		p.PerChannel[i] = ChannelInfo{c, count(&r.sent, c.SentBytes), count(&r.received, c.ReceivedBytes)}
	}
}
