package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// router makes the host's links and ends them: its loops accept, dial and evict as the peer manager decides.
type router struct {
	host     *Host
	upgrader *handshake.Upgrader
}

// acceptPause keeps an accept loop from spinning on an error that may pass (too many open files).
const acceptPause = 50 * time.Millisecond

// acceptLoop takes connections from a listener until it is closed. A connection's error never ends it.
func (r *router) acceptLoop(ctx context.Context, ln transport.Listener) {
	h := r.host
	warnings := allowance{burst: 1, every: time.Minute, since: time.Now()}
	for {
		raw, ticket, err := ln.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, transport.ErrListenerClosed) {
				return
			}
			if unsaid, ok := warnings.take(time.Now()); ok {
				h.log.Warn("accept failed, trying again", withUnsaid([]any{
					slog.String("listener", ln.Addr().String()), slog.Any("error", err)}, unsaid)...)
			}
			if !sleep(ctx, acceptPause) {
				return
			}
			continue
		}
		began := time.Now()
		h.tasks.wg.Go(func() {
			ip := raw.RemoteIP()
			shake, err := r.upgrader.Inbound(ctx, raw, ticket)
			if err != nil {
				r.refuse(raw, stageOf(err), err, began)
				return
			}
			newLink(h, shake, ip).handOver(ctx)
		})
	}
}

// admitConn is the transport.Admit of our listeners.
func (r *router) admitConn(raw transport.Conn) (transport.Ticket, error) {
	began := time.Now()
	ticket, err := r.upgrader.Admit(raw)
	if err != nil {
		r.refuse(raw, handshake.StageTransport, err, began)
	}
	return ticket, err
}

// refuse counts and reports an inbound connection that did not become a link.
func (r *router) refuse(raw transport.Conn, stage string, err error, began time.Time) {
	r.host.emit(Event{
		Kind: EventRefused, Address: remoteText(raw), Inbound: true, Stage: stage, Reason: asReason(err),
		Duration: time.Since(began), Stages: stagesOf(err),
	})
}

// dialLoop dials the peers that the peer manager names. The manager bounds how many at once.
func (r *router) dialLoop(ctx context.Context) {
	h := r.host
	for {
		d, err := h.peers.DialNext(ctx)
		if err != nil {
			return
		}
		h.tasks.wg.Go(func() {
			if d.Replaces != 0 {
				r.move(ctx, d)
				return
			}
			if l, _ := r.dialPeer(ctx, d); l != nil {
				l.handOver(ctx)
			}
		})
	}
}

// dialPeer dials a peer's addresses. It tells the peer manager of a failure; of a link the caller does, with handOver.
func (r *router) dialPeer(ctx context.Context, d peers.Dial) (*link, error) {
	h := r.host
	began := time.Now()
	l, failures := r.race(ctx, d)
	if l != nil {
		return l, nil
	}
	h.peers.DialFailed(d.ID, failures)
	if h.joins.waiting.Load() > 0 {
		h.joins.wake(d.ID)
	}
	var last error = &DisconnectError{Code: muxer.CodeShuttingDown}
	for _, f := range failures {
		last = f.Err
		h.emit(Event{Kind: EventDialFailed, ID: d.ID, Address: f.Address.String(), Stage: stageOf(f.Err),
			Reason: asReason(f.Err), Duration: time.Since(began), Stages: stagesOf(f.Err),
			Source: sourceOf(&d, f.Address)})
	}
	h.noteFull(d.ID, asReason(last))
	return nil, last
}

// race dials a peer's addresses, the next one after a small stagger or as soon as one has failed, and keeps the first
// that comes up (RFC 8305's idea).
func (r *router) race(ctx context.Context, d peers.Dial) (*link, []peers.DialFailure) {
	if len(d.Addresses) == 1 { // the usual case needs no goroutine
		l, err := r.dialAddress(ctx, &d, 0)
		if err != nil {
			return nil, []peers.DialFailure{{Address: d.Addresses[0], Err: err}}
		}
		return l, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		l *link
		f peers.DialFailure
	}
	results := make(chan result, len(d.Addresses))
	var wg sync.WaitGroup
	stagger := time.NewTimer(0)
	defer stagger.Stop()
	var failures []peers.DialFailure
	var won *link
	started, ended := 0, 0
	for won == nil && ended < len(d.Addresses) {
		due := stagger.C
		if started == len(d.Addresses) {
			due = nil
		}
		select {
		case <-due:
			i := started
			started++
			wg.Go(func() {
				l, err := r.dialAddress(ctx, &d, i)
				results <- result{l, peers.DialFailure{Address: d.Addresses[i], Err: err}}
			})
			stagger.Reset(r.host.cfg.Limits.DialStagger)
		case r := <-results:
			ended++
			if won = r.l; won == nil {
				failures = append(failures, r.f)
				stagger.Reset(0)
			}
		}
	}
	cancel()
	wg.Wait()
	close(results)
	for r := range results { // others that came up lose
		if r.l != nil {
			r.l.end(&DisconnectError{Code: muxer.CodeDuplicate})
			_ = r.l.session.Run(context.Background(), r.l)
			r.l.host.memory.leave(r.l.box)
		}
	}
	return won, failures
}

// dialAddress dials one address of a peer and does the handshake.
func (r *router) dialAddress(ctx context.Context, d *peers.Dial, i int) (*link, error) {
	h, addr := r.host, d.Addresses[i]
	j, m := &h.journal, addr.Multiaddr()
	now := &Dialing{ID: d.ID, Address: addr.String(), Since: time.Now(), Stage: handshake.StageTransport,
		addr: addr}
	if i < len(d.Sources) {
		now.Source = d.Sources[i]
	}
	j.mu.Lock()
	if j.dialing == nil {
		j.dialing = map[*Dialing]struct{}{}
	}
	j.dialing[now] = struct{}{}
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		delete(j.dialing, now)
		j.mu.Unlock()
	}()
	ip, literal := addr.IP()
	if err := r.upgrader.CheckDial(addr, ip); err != nil {
		return nil, err
	}
	for _, t := range h.cfg.Transports {
		if !t.CanDial(m) {
			continue
		}
		began := time.Now()
		dctx, cancel := context.WithTimeout(ctx, h.cfg.Limits.DialTimeout)
		if !literal { // a name may lead to an IP that the gates refuse
			dctx = transport.WithIPCheck(dctx, func(ip netip.Addr) error { return r.upgrader.CheckDial(addr, ip) })
		}
		raw, err := t.Dial(dctx, m)
		cancel()
		if err != nil {
			code := muxer.CodeTransport
			switch {
			case handshake.IsOwnFault(err): // of a transport that secures its connections
				code = muxer.CodeNoSignature
			case errors.Is(err, context.DeadlineExceeded):
				code = muxer.CodeTimeout
			}
			return nil, r.unlessStalled(began, &handshake.StageError{Stage: handshake.StageTransport, Code: code,
				Err: err, Stages: [4]handshake.Stage{{Name: handshake.StageTransport, Took: time.Since(began)}}})
		}
		j.mu.Lock()
		now.Stage = handshake.StageSecurity
		j.mu.Unlock()
		ip := raw.RemoteIP()
		shake, err := r.upgrader.Outbound(ctx, raw, addr, time.Since(began))
		if err != nil {
			return nil, r.unlessStalled(began, err)
		}
		l := newLink(h, shake, ip)
		l.source = now.Source
		return l, nil
	}
	return nil, handshake.Fail(handshake.StageTransport, muxer.CodeIncompatible,
		fmt.Errorf("%w: %s", transport.ErrNoTransport, addr))
}

// stall is how much longer than its timeouts a dial must take for us to have stood still (stopped, suspended).
const stall = 3 * time.Second

// unlessStalled returns err, or that we have given up: the remote has nothing to do with it that we stood still.
func (r *router) unlessStalled(began time.Time, err error) error {
	took := time.Since(began)
	if took < r.host.cfg.Limits.DialTimeout+r.host.cfg.Handshake.Timeout+stall {
		return err
	}
	return handshake.Fail(stageOf(err), muxer.CodeRequested,
		fmt.Errorf("our node stood still: it took %s: %v", took.Round(time.Second), err))
}

// evictLoop ends the links that the peer manager names. It does not wait for their goodbyes.
func (r *router) evictLoop(ctx context.Context) {
	h := r.host
	for {
		e, err := h.peers.EvictNext(ctx)
		if err != nil {
			return
		}
		if l := h.links.numbered(e.LinkID); l != nil {
			h.tasks.spawn(func() { l.end(e.Reason) }) // once the host stops, all links end anyway
		}
	}
}

// sleep waits for d. It reports false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func stageOf(err error) string {
	if s, ok := errors.AsType[*handshake.StageError](err); ok {
		return s.Stage
	}
	if r, ok := errors.AsType[*handshake.Refusal](err); ok {
		return r.Stage
	}
	return ""
}

// stagesOf returns how long the stages of a failed handshake took.
func stagesOf(err error) (out []handshake.Stage) {
	var stages [4]handshake.Stage
	if s, ok := errors.AsType[*handshake.StageError](err); ok {
		stages = s.Stages
	} else if r, ok := errors.AsType[*handshake.Refusal](err); ok {
		stages = r.Stages
	}
	for _, s := range stages {
		if s.Name != "" {
			out = append(out, s)
		}
	}
	return out
}

// sourceOf returns where an address of a dial is from.
func sourceOf(d *peers.Dial, a transport.Address) string {
	if i := slices.Index(d.Addresses, a); i >= 0 && i < len(d.Sources) {
		return d.Sources[i]
	}
	return ""
}

func remoteText(c transport.Conn) string {
	if m := c.RemoteMultiaddr(); m != nil {
		return m.String()
	}
	return ""
}
