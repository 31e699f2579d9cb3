package admin

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
)

// The history of the traffic: 15 minutes. For 16 channels, which is the most, its points take 23 kB.
const (
	historyStep   = 5 * time.Second
	historyPoints = 180
)

// Traffic is the answer of GET /v1/traffic.
type Traffic struct {
	Step     float64          `json:"step_s"`        // between two points
	From     time.Time        `json:"from,omitzero"` // of the first point; left out before there is one
	Channels []ChannelTraffic `json:"channels"`
}

// ChannelTraffic is what went over a channel, of all links. Points are bytes a second, each the mean of the step before
// it. What a link carried in its last step may be missing.
type ChannelTraffic struct {
	ID          int       `json:"id"`
	Name        string    `json:"name"`    // pex of /pex/1.0.0
	Receive     []float64 `json:"receive"` // up to 180 points, oldest first
	Send        []float64 `json:"send"`
	ReceiveRate float64   `json:"receive_rate"` // the latest point
	SendRate    float64   `json:"send_rate"`
	Queued      int       `json:"queued_bytes"` // that wait to be sent
	Dropped     uint64    `json:"dropped"`      // messages, since the start, at full queues
}

// TrafficPoint is the latest point, as GET /v1/stream sends it.
type TrafficPoint struct {
	Time     time.Time      `json:"time"`
	Channels []ChannelPoint `json:"channels"`
}

// ChannelPoint is a point of a channel.
type ChannelPoint struct {
	ID      int     `json:"id"`
	Receive float64 `json:"receive"`
	Send    float64 `json:"send"`
	Queued  int     `json:"queued_bytes"`
	Dropped uint64  `json:"dropped"`
}

// history holds the latest points of each channel.
type history struct {
	mu    sync.Mutex
	taken int       // points so far
	at    time.Time // of the latest; at first the beginning
	lanes map[byte]*lane
	links map[uint64][]passed // of each link, by the order of its channels, at the latest point
}

// lane holds the points of a channel; number n is at n % historyPoints.
type lane struct {
	receive, send [historyPoints]float32
	queued        int
}

// passed is how many bytes went over a channel of a link.
type passed struct{ received, sent uint64 }

func newHistory(now time.Time) *history {
	return &history{at: now, lanes: map[byte]*lane{}, links: map[uint64][]passed{}}
}

// sample takes a point. The clock may have jumped: the time that has passed is what the ticker says.
func (h *history) sample(now time.Time, infos []host.PeerInfo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	elapsed := now.Sub(h.at).Seconds()
	if elapsed <= 0 {
		return
	}
	sums := map[byte]*passed{}
	links := make(map[uint64][]passed, len(infos))
	for _, l := range h.lanes {
		l.queued = 0
	}
	for i := range infos {
		p := &infos[i]
		before := h.links[p.LinkID]
		counts := make([]passed, len(p.PerChannel))
		for k, c := range p.PerChannel {
			counts[k] = passed{c.ReceivedBytes, c.SentBytes}
			sum, l := sums[c.ID], h.lanes[c.ID]
			if l == nil && len(h.lanes) < handshake.MaxChannels {
				l = &lane{}
				h.lanes[c.ID] = l
			}
			if l == nil {
				continue
			}
			if sum == nil {
				sum = &passed{}
				sums[c.ID] = sum
			}
			l.queued += c.SendQueue
			sum.received += c.ReceivedBytes
			sum.sent += c.SentBytes
			if k < len(before) {
				sum.received -= before[k].received
				sum.sent -= before[k].sent
			}
		}
		links[p.LinkID] = counts
	}
	n := h.taken % historyPoints
	for id, l := range h.lanes {
		l.receive[n], l.send[n] = 0, 0
		if sum := sums[id]; sum != nil {
			l.receive[n] = float32(round(float64(sum.received) / elapsed))
			l.send[n] = float32(round(float64(sum.sent) / elapsed))
		}
	}
	h.links, h.at = links, now
	h.taken++
}

// view returns the points; channels are those of the node.
func (h *history) view(channels []host.ChannelTotals) Traffic {
	h.mu.Lock()
	defer h.mu.Unlock()
	points := min(h.taken, historyPoints)
	out := Traffic{Step: historyStep.Seconds(), Channels: make([]ChannelTraffic, len(channels))}
	if points > 0 {
		out.From = h.at.Add(-time.Duration(points-1) * historyStep)
	}
	for i, c := range channels {
		t := ChannelTraffic{ID: int(c.ID), Name: plainName(c.Name), Dropped: c.Dropped + c.Refused,
			Receive: make([]float64, points), Send: make([]float64, points)}
		if l := h.lanes[c.ID]; l != nil {
			for k := range points {
				at := (h.taken - points + k) % historyPoints
				t.Receive[k], t.Send[k] = round(float64(l.receive[at])), round(float64(l.send[at]))
			}
			t.Queued = l.queued
		}
		if points > 0 {
			t.ReceiveRate, t.SendRate = t.Receive[points-1], t.Send[points-1]
		}
		out.Channels[i] = t
	}
	return out
}

// plainName returns the name of a channel without what makes a protocol of it: pex of /pex/1.0.0.
func plainName(name string) string {
	name = strings.TrimPrefix(name, "/")
	if i := strings.LastIndexByte(name, '/'); i > 0 && strings.Trim(name[i+1:], "0123456789.") == "" {
		return name[:i]
	}
	return name
}

// latest returns the latest point.
func (h *history) latest(channels []host.ChannelTotals) TrafficPoint {
	t := h.view(channels)
	out := TrafficPoint{Time: h.at, Channels: make([]ChannelPoint, len(t.Channels))}
	for i, c := range t.Channels {
		out.Channels[i] = ChannelPoint{ID: c.ID, Receive: c.ReceiveRate, Send: c.SendRate, Queued: c.Queued,
			Dropped: c.Dropped}
	}
	return out
}

func (s reads) traffic(w http.ResponseWriter, _ *http.Request) {
	Reply(w, http.StatusOK, s.feed.history.view(s.node.Links.Channels()))
}
