package echo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

var (
	// ErrBusy reports that the peer has not answered as many calls as may be outstanding.
	ErrBusy = errors.New("too many echo calls to that peer wait for a reply")
	// ErrEmpty reports an empty payload: wires do not carry empty messages.
	ErrEmpty = errors.New("nothing to echo: the payload is empty")
)

// remember is how long an abandoned call is remembered. Its late reply must not be taken for a request, which the peer
// would answer in turn, and so on. No link stays up for so long without an answer to its keep-alives.
const remember = 10 * time.Minute

// Echo sends payload to a peer, waits until the same bytes come back, and returns the round trip. It fails with ctx's
// error, ErrBusy, ErrEmpty or an error of host.Channel.Send. The service must be running. Do not change the payload
// before Echo returns or, if it returns an error, before the peer has gone.
func (s *Service) Echo(ctx context.Context, to transport.NodeID, payload []byte) (time.Duration, error) {
	if len(payload) == 0 {
		return 0, ErrEmpty
	}
	c, err := s.calls.add(to, payload, time.Now())
	if err != nil {
		return 0, err
	}
	if err := s.ch.Send(ctx, to, payload); err != nil {
		s.calls.remove(to, c)
		return 0, fmt.Errorf("echo %s: %w", to.Short(), err)
	}
	select {
	case rtt := <-c.done:
		return rtt, nil
	case <-ctx.Done():
		s.calls.giveUp(c, time.Now())
		return 0, fmt.Errorf("echo %s: no reply: %w", to.Short(), ctx.Err())
	}
}

// call is one payload that has not come back. calls.mu guards it.
type call struct {
	payload []byte // nil once the call is abandoned; sum and size remain
	sum     uint64 // of the payload, under calls.seed
	size    int
	sent    time.Time
	givenUp time.Time
	done    chan time.Duration // receives the round trip; has room for it
}

// calls holds the waiting calls by peer, in the order in which they were sent. add forgets empty queues.
type calls struct {
	most int

	seed maphash.Seed // random, so that no remote can find two payloads with the same sum

	mu      sync.Mutex
	waiting map[transport.NodeID][]*call
}

func (cs *calls) add(to transport.NodeID, payload []byte, now time.Time) (*call, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for id, queue := range cs.waiting { // few: the peers that we called
		queue = slices.DeleteFunc(queue,
			func(c *call) bool { return c.payload == nil && now.Sub(c.givenUp) > remember })
		if cs.waiting[id] = queue; len(queue) == 0 {
			delete(cs.waiting, id)
		}
	}
	if len(cs.waiting[to]) >= cs.most {
		return nil, fmt.Errorf("echo %s: %w", to.Short(), ErrBusy)
	}
	c := &call{payload: payload, size: len(payload), sent: now, done: make(chan time.Duration, 1)}
	cs.waiting[to] = append(cs.waiting[to], c)
	return c, nil
}

// replied reports whether a message is a reply, and ends its call. Replies arrive in the order of the calls, but the
// peer may have dropped some, so the first call with the same bytes counts.
func (cs *calls) replied(from transport.NodeID, msg []byte, now time.Time) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	queue := cs.waiting[from]
	i := slices.IndexFunc(queue, func(c *call) bool {
		if c.size != len(msg) {
			return false
		}
		if c.payload != nil {
			return bytes.Equal(c.payload, msg)
		}
		return c.sum == maphash.Bytes(cs.seed, msg)
	})
	if i < 0 {
		return false
	}
	queue[i].done <- now.Sub(queue[i].sent)
	cs.waiting[from] = slices.Delete(queue, i, i+1)
	return true
}

// giveUp replaces the payload of a call by its sum.
func (cs *calls) giveUp(c *call, now time.Time) {
	sum := maphash.Bytes(cs.seed, c.payload) // only its caller changes it, so no lock is needed
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.sum, c.payload, c.givenUp = sum, nil, now
}

func (cs *calls) remove(to transport.NodeID, c *call) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.waiting[to] = slices.DeleteFunc(cs.waiting[to], func(other *call) bool { return other == c })
}
