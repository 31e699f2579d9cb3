package host

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/muxer"
)

var (
	descChannelBytes = prometheus.NewDesc("switchyard_channel_bytes_total",
		"Bytes of messages of each channel over all links since the start, without framing.",
		[]string{"channel", "direction"}, nil)
	descChannelMessages = prometheus.NewDesc("switchyard_channel_messages_total",
		"Messages of each channel over all links since the start.", []string{"channel", "direction"}, nil)
	descChannelQueued = prometheus.NewDesc("switchyard_channel_queued_bytes",
		"Bytes of messages of each channel that wait: to be sent, or for the service that receives them.",
		[]string{"channel", "direction"}, nil)
)

// inboxBytes returns what waits for the services of a host, by Channel.index.
func (c *collector) inboxBytes() []int64 {
	h := c.h
	h.memory.mu.Lock()
	boxes := make([]*mailbox, 0, len(h.memory.boxes))
	for _, b := range h.memory.boxes {
		boxes = append(boxes, b)
	}
	h.memory.mu.Unlock()
	bytes := make([]int64, len(h.channels))
	for i, chn := range h.channels {
		chn.mu.Lock()
		for _, b := range boxes {
			if ib := b.inboxes[i]; ib != nil {
				bytes[i] += ib.bytes
			}
		}
		chn.mu.Unlock()
	}
	return bytes
}

// collectChannels sends the metrics of each channel.
func (c *collector) collectChannels(sum map[byte]muxer.ChannelStats, ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	inboxes := c.inboxBytes()
	for i, chn := range c.h.channels {
		id, s := fmt.Sprintf("0x%02x", chn.desc.ID), sum[chn.desc.ID]
		send(descChannelBytes, prometheus.CounterValue, float64(s.SentBytes), id, "sent")
		send(descChannelBytes, prometheus.CounterValue, float64(s.ReceivedBytes), id, "received")
		send(descChannelMessages, prometheus.CounterValue, float64(s.SentMessages), id, "sent")
		send(descChannelMessages, prometheus.CounterValue, float64(s.ReceivedMessages), id, "received")
		send(descChannelQueued, prometheus.GaugeValue, float64(s.SendQueue), id, "sent")
		send(descChannelQueued, prometheus.GaugeValue, float64(inboxes[i]), id, "received")
		send(descDropped, prometheus.CounterValue, float64(chn.dropped.Load()), id, "inbox-full")
		send(descDropped, prometheus.CounterValue, float64(chn.refused.Load()), id, "send-queue-full")
	}
}
