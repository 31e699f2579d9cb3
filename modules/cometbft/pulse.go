package cometbft

import (
	"context"
	"slices"
	"time"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
)

const (
	rolePulse  = time.Second      // how often the Switch's flags of peers are looked at: it tells nobody
	queuePulse = 10 * time.Second // how often the gauges of send queues are set (CometBFT p2p/peer.go)
)

// pulse does what nothing else is the occasion for, until ctx ends.
func (y *yard) pulse(ctx context.Context) {
	roles, queues := time.NewTicker(rolePulse), time.NewTicker(queuePulse)
	defer roles.Stop()
	defer queues.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-roles.C:
			for _, p := range y.peers.all() {
				y.setRole(y.host.Load(), p.id, p.IsPersistent())
			}
		case <-queues.C:
			for _, p := range y.peers.all() {
				bytes, messages := 0, 0
				for _, c := range p.peering.Info().PerChannel {
					bytes, messages = bytes+c.SendQueue, messages+c.SendQueueMessages
				}
				y.gaugeQueue(p, bytes, messages)
			}
		}
	}
}

// Status implements p2p.Peer.
func (p *peer) Status() p2p.ConnectionStatus {
	info := p.peering.Info()
	s := p2p.ConnectionStatus{Duration: time.Since(info.Connected)}
	seconds := max(s.Duration.Seconds(), 1)
	s.SendMonitor.Start, s.RecvMonitor.Start = info.Connected, info.Connected
	s.SendMonitor.Active, s.RecvMonitor.Active = p.IsRunning(), p.IsRunning()
	s.SendMonitor.Duration, s.RecvMonitor.Duration = s.Duration, s.Duration
	s.SendMonitor.Bytes, s.RecvMonitor.Bytes = int64(info.Stats.SentBytes), int64(info.Stats.ReceivedBytes)
	s.SendMonitor.AvgRate = int64(float64(info.Stats.SentBytes) / seconds)
	s.RecvMonitor.AvgRate = int64(float64(info.Stats.ReceivedBytes) / seconds)
	s.SendMonitor.CurRate, s.RecvMonitor.CurRate = int64(info.SendRate), int64(info.ReceiveRate)
	for _, c := range info.PerChannel {
		if ours := p.yard.channels[c.ID]; ours != nil {
			s.Channels = append(s.Channels, conn.ChannelStatus{ID: c.ID, Priority: ours.desc.Priority,
				SendQueueCapacity: ours.desc.SendQueueCapacity, SendQueueSize: c.SendQueueMessages,
				RecentlySent: int64(c.SendRate)})
		}
	}
	slices.SortFunc(s.Channels, func(a, b conn.ChannelStatus) int { return int(a.ID) - int(b.ID) })
	return s
}
