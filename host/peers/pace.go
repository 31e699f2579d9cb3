package peers

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// pace bounds how often peers are dialed, and how many at once. How many adapts to what completes: on a machine, or a
// network, that has too little for all handshakes in flight, none of them ends in time.
type pace struct {
	interval time.Duration // between two dials, beyond a burst
	whole    time.Time     // when the burst is whole again
	most     int           // dials in flight
	window   int           // those that are allowed now
	ended    int           // of the latest window
	slow     int           // of these, those whose handshake took too long

	away   bool                           // we are offline, as far as the last dial has shown
	resume time.Time                      // no dial before
	tried  map[transport.NodeID]time.Time // what was dialed offline, and until when it is left alone
}

const (
	dialBurst     = 100
	leastDials    = 2
	offlinePause  = 500 * time.Millisecond // between dials while we have no network
	offlinePerID  = 5 * time.Second        // of one peer
	maxOfflineIDs = 64
)

func newPace(cfg *Config) pace {
	p := pace{most: cfg.Dials, window: cfg.Dials, tried: map[transport.NodeID]time.Time{}}
	if cfg.DialRate > 0 {
		p.interval = time.Second / time.Duration(cfg.DialRate)
	}
	return p
}

// due returns when the next dial may begin.
func (p *pace) due() time.Time { return later(p.resume, p.whole.Add(-(dialBurst-1)*p.interval)) }

// begin counts a dial.
func (p *pace) begin(now time.Time) {
	if p.whole = later(p.whole, now).Add(p.interval); p.away {
		p.resume = now.Add(offlinePause)
	}
}

// end takes note of how a dial ended. If most handshakes of a window took too long, the next one is half as large, else
// one larger.
func (p *pace) end(slow bool) {
	p.away = false
	p.ended++
	if slow {
		p.slow++
	}
	if p.ended < p.window {
		return
	}
	if p.slow > p.ended/2 {
		p.window = max(p.window/2, min(leastDials, p.most))
	} else {
		p.window = min(p.window+1, p.most)
	}
	p.ended, p.slow = 0, 0
}

// offline takes note that a dial of a peer showed that we have no network. All dials pause, and the peer for longer, so
// that others have their turn.
func (p *pace) offline(id transport.NodeID, now time.Time) {
	p.away, p.resume = true, now.Add(offlinePause)
	if len(p.tried) >= maxOfflineIDs {
		clear(p.tried)
	}
	p.tried[id] = now.Add(offlinePerID)
}

// skips reports whether a peer was dialed offline just now.
func (p *pace) skips(id transport.NodeID, now time.Time) bool { return p.tried[id].After(now) }

// tookTooLong reports whether a dial got through, but its handshake was not done in time.
func tookTooLong(failures []DialFailure) bool {
	for _, f := range failures {
		s, ok := errors.AsType[*handshake.StageError](f.Err)
		if !ok || s.Code != muxer.CodeTimeout || s.Stage == handshake.StageTransport {
			return false
		}
	}
	return len(failures) > 0
}

// noNetwork reports whether a dial failed at once for want of a network: no route, no address of our own, no name
// server.
func noNetwork(failures []DialFailure) bool {
	for _, f := range failures {
		dns, isDNS := errors.AsType[*net.DNSError](f.Err)
		switch {
		case errors.Is(f.Err, syscall.ENETUNREACH), errors.Is(f.Err, syscall.EHOSTUNREACH),
			errors.Is(f.Err, syscall.ENETDOWN), errors.Is(f.Err, syscall.EADDRNOTAVAIL), isDNS && !dns.IsNotFound:
		default:
			return false
		}
	}
	return len(failures) > 0
}
