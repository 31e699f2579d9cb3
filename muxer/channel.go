package muxer

import "fmt"

// Overflow is what happens when a peer's inbox of a channel is full.
type Overflow uint8

const (
	// Block pauses the peer's connection, once the connection's own overflow budget is spent too. Keep-alives go on.
	Block Overflow = iota
	// Drop drops the newest message and counts it.
	Drop
	// Disconnect ends the link with CodeOverflow.
	Disconnect
)

func (o Overflow) String() string { return [...]string{"block", "drop", "disconnect"}[o%3] }

// Defaults of Channel's zero fields.
const (
	DefaultMaxMessage = 22020096 // bytes; CometBFT's default RecvMessageCapacity (p2p/conn/connection.go)
	DefaultQueue      = 1 << 20  // bytes
	DefaultPriority   = 1
	maxAllowedMessage = 1 << 30
)

// Channel is a lane of whole messages. The zero value of every field but ID means the default.
type Channel struct {
	ID       byte   // on MConn
	Name     string // on streams, such as "/pex/1.0.0"; empty: "/channel/0xNN/1.0.0"
	Priority int    // weight when lanes compete for one connection, 1 to 1000; 0 means 1
	// MaxMessage is the longest message in bytes, either way; a longer one from the remote ends the connection.
	// 0 means DefaultMaxMessage.
	MaxMessage int
	// SendQueue and ReceiveQueue are budgets in bytes per peer; 0 means DefaultQueue. A queue that is empty
	// takes one message of any allowed size, so a message larger than the budget still passes.
	SendQueue, ReceiveQueue int
	Overflow                Overflow // what a full inbox does
	// Guests offers the channel to plain libp2p peers, too, which name no network. Otherwise they cannot know it.
	Guests bool
}

// WithDefaults returns a copy in which every zero field has its default.
func (c Channel) WithDefaults() Channel {
	if c.Name == "" {
		c.Name = fmt.Sprintf("/channel/0x%02x/1.0.0", c.ID)
	}
	if c.Priority == 0 {
		c.Priority = DefaultPriority
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = DefaultMaxMessage
	}
	if c.SendQueue == 0 {
		c.SendQueue = DefaultQueue
	}
	if c.ReceiveQueue == 0 {
		c.ReceiveQueue = DefaultQueue
	}
	return c
}

// Validate returns what is wrong with a channel, or nil.
func (c Channel) Validate() error {
	c = c.WithDefaults()
	switch {
	case c.Priority < 1 || c.Priority > 1000:
		return fmt.Errorf("channel 0x%02x: priority %d is not in 1 to 1000", c.ID, c.Priority)
	case c.MaxMessage < 1 || c.MaxMessage > maxAllowedMessage:
		return fmt.Errorf("channel 0x%02x: max message of %d bytes is not in 1 to %d", c.ID, c.MaxMessage,
			maxAllowedMessage)
	case c.SendQueue < 1 || c.ReceiveQueue < 1:
		return fmt.Errorf("channel 0x%02x: queue budgets must be positive", c.ID)
	case c.Overflow > Disconnect:
		return fmt.Errorf("channel 0x%02x: unknown overflow policy %d", c.ID, c.Overflow)
	}
	return nil
}
