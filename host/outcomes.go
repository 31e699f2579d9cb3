package host

import (
	"cmp"
	"strings"
	"sync"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// outcomes counts the connections that did not become links.
type outcomes struct {
	mu      sync.Mutex
	refused map[outcome]uint64 // inbound ones, refused or failed
	failed  map[outcome]uint64 // dials, of addresses
}

// outcome is why a connection did not become a link. Its values are a closed set: what a remote says in its own words
// is left out.
type outcome struct {
	stage string
	cause string // a code's name
	limit string // the configuration key of our limit that refused; else ""
}

func outcomeOf(e *Event) outcome {
	o := outcome{stage: cmp.Or(e.Stage, "unknown"), cause: e.Reason.Code.String()}
	if strings.HasPrefix(o.cause, "code-") { // a remote's number without a name
		o.cause = muxer.CodeUnknown.String()
	}
	if !e.Reason.Remote {
		o.limit = e.Reason.Limit
	}
	return o
}

// count counts an event, if it is about such a connection.
func (c *outcomes) count(e *Event) {
	if e.Kind != EventRefused && e.Kind != EventDialFailed {
		return
	}
	o := outcomeOf(e)
	c.mu.Lock()
	defer c.mu.Unlock()
	into := &c.failed
	if e.Inbound {
		into = &c.refused
	}
	if *into == nil {
		*into = map[outcome]uint64{}
	}
	(*into)[o]++
}
