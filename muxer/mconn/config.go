package mconn

import (
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Defaults of Config's zero fields. Those that a remote can notice are CometBFT's (p2p/conn/connection.go).
const (
	DefaultMaxPacketPayload = 1024
	DefaultMaxPacket        = 4<<20 + packetOverhead
	DefaultPingInterval     = 60 * time.Second
	DefaultPongTimeout      = 45 * time.Second
	DefaultWriteTimeout     = 60 * time.Second
	DefaultStallTimeout     = 10 * time.Minute
	DefaultCloseGrace       = time.Second
	// partialReserve is by how much the default MaxPartial is larger than the largest message.
	partialReserve = 32 << 20
	maxPayload     = 1 << 24
)

// Config are the settings of a session. The zero value of every field means its default.
type Config struct {
	// MaxPacketPayload is how many bytes of a message a packet that we send carries. A CometBFT node accepts as much as
	// it is configured to send itself (max_packet_msg_payload_size), 1,024 by default.
	MaxPacketPayload int
	// MaxPacket is the longest packet in bytes that we accept; 0 means 4 MiB of payload.
	MaxPacket int
	// MaxPartial is how many bytes the remote's unfinished messages may hold, in all channels together; a remote that
	// needs more is disconnected. 0 means 32 MiB more than the largest MaxMessage.
	MaxPartial int
	// Shared, if set, bounds that memory over many sessions.
	Shared *muxer.SharedPartial `toml:"-"`

	// PingInterval is the time between our pings, and PongTimeout how long the remote may stay silent after one.
	PingInterval, PongTimeout time.Duration
	// WriteTimeout ends the session when the connection takes nothing for this long while we have something to send,
	// and the remote sends nothing either. A remote that sends something, if only keep-alives, has a slow service: it
	// gets StallTimeout.
	WriteTimeout, StallTimeout time.Duration
	// CloseGrace is how long an orderly Close goes on sending what is queued.
	CloseGrace time.Duration

	// SendRate and ReceiveRate are limits in bytes per second; 0 means none.
	SendRate, ReceiveRate int

	Logger *slog.Logger `toml:"-"` // told at debug level how sessions end; nil discards
}

func (c Config) withDefaults(largest int) Config {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	setTime := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.MaxPacketPayload, DefaultMaxPacketPayload)
	set(&c.MaxPacket, DefaultMaxPacket)
	set(&c.MaxPartial, largest+partialReserve)
	setTime(&c.PingInterval, DefaultPingInterval)
	setTime(&c.PongTimeout, DefaultPongTimeout)
	setTime(&c.WriteTimeout, DefaultWriteTimeout)
	setTime(&c.StallTimeout, DefaultStallTimeout)
	setTime(&c.CloseGrace, DefaultCloseGrace)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns which setting is impossible, or nil.
func (c Config) Validate() error {
	c = c.withDefaults(0)
	for _, f := range []struct {
		name         string
		v, low, high int
	}{
		{"MaxPacketPayload", c.MaxPacketPayload, 2, maxPayload},
		{"MaxPacket", c.MaxPacket, packetOverhead, maxPayload + packetOverhead},
		{"MaxPartial", c.MaxPartial, 1, math.MaxInt},
		{"SendRate", c.SendRate, 0, math.MaxInt},
		{"ReceiveRate", c.ReceiveRate, 0, math.MaxInt},
	} {
		if f.v < f.low || f.v > f.high {
			return fmt.Errorf("mconn: %s is %d, not in %d to %d", f.name, f.v, f.low, f.high)
		}
	}
	for _, f := range []struct {
		name string
		v    time.Duration
	}{
		{"PingInterval", c.PingInterval}, {"PongTimeout", c.PongTimeout},
		{"WriteTimeout", c.WriteTimeout}, {"StallTimeout", c.StallTimeout}, {"CloseGrace", c.CloseGrace},
	} {
		if f.v < time.Millisecond {
			return fmt.Errorf("mconn: %s is %v, less than 1ms", f.name, f.v)
		}
	}
	return nil
}
