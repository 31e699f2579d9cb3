package muxer

import (
	"fmt"
	"sync/atomic"
)

const (
	// DefaultSharedPartial is the default of SharedPartial, in bytes.
	DefaultSharedPartial = 256 << 20
	// partialDue is what each session may hold, whatever all of them hold.
	partialDue = 256 << 10
)

// MessageOverhead is what a waiting message counts against a budget beside the capacity of its buffer: a slice header
// in an array that has grown to twice its need (48 bytes), and what the allocator rounds up. So a peer that sends empty
// messages, or millions of one byte, fills a budget before it fills the memory.
const MessageOverhead = 64

// SharedPartial is the memory that the messages which many sessions are receiving hold together. A session that needs
// more ends. The zero value has the default limit, and a nil one has none.
type SharedPartial struct {
	Limit int64 // bytes; 0 means DefaultSharedPartial
	used  atomic.Int64
}

// Used returns how many bytes are held.
func (s *SharedPartial) Used() int64 { return s.used.Load() }

// Partial is the memory that the messages which a session is receiving hold: the capacity of their buffers. Methods may
// be called concurrently.
type Partial struct {
	Limit  int // bytes
	Shared *SharedPartial
	used   atomic.Int64
}

// Used returns how many bytes are held.
func (p *Partial) Used() int { return int(p.used.Load()) }

// Claim counts n bytes more. The error, which ends the session, says whose limit is reached; nothing is counted then.
func (p *Partial) Claim(n int) error {
	used := p.used.Add(int64(n))
	if used > int64(p.Limit) {
		p.used.Add(-int64(n))
		return &CloseError{Code: CodeMessageTooBig,
			Reason: fmt.Sprintf("unfinished messages hold more than %d bytes", p.Limit)}
	}
	s := p.Shared
	if s == nil {
		return nil
	}
	limit := s.Limit
	if limit == 0 {
		limit = DefaultSharedPartial
	}
	if all := s.used.Add(int64(n)); all > limit && used > partialDue {
		p.Release(n)
		return &CloseError{Code: CodeOverflow,
			Reason: fmt.Sprintf("unfinished messages of all peers hold more than %d bytes", limit)}
	}
	return nil
}

// Release counts n bytes less.
func (p *Partial) Release(n int) {
	if n == 0 {
		return
	}
	p.used.Add(-int64(n))
	if p.Shared != nil {
		p.Shared.used.Add(-int64(n))
	}
}
