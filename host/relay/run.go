package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/relaypb"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Run relays until ctx ends, when it returns nil, or until the host stops. It returns after all its goroutines have.
func (r *Relay) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer r.finish()
	defer wg.Wait()
	defer stop()
	failed := make(chan error, 2)
	wg.Go(func() { failed <- r.receive(ctx) })
	wg.Go(func() { failed <- r.follow(ctx) })

	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.flush()
		r.launch(ctx, &wg)
		r.arm(timer)
		select {
		case <-r.wake:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("relay: topic %s: %w", r.cfg.Topic, err)
		}
	}
}

// arm sets the timer to when the machine has something to do.
func (r *Relay) arm(timer *time.Timer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	due, ok := r.m.due()
	if r.armed = due; !ok {
		r.armed = 0
		timer.Stop()
		return
	}
	timer.Reset(max(time.Duration(due-time.Now().UnixNano()), 0))
}

// launch starts the goroutines for which others have asked: one for each peer whose send queue is full, and validators.
func (r *Relay) launch(ctx context.Context, wg *sync.WaitGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.blocked {
		wg.Go(func() { r.send(ctx, b) })
	}
	r.blocked = nil
	for n := len(r.unjudged); n > 0 && r.validating < r.cfg.Validators; n-- {
		r.validating++
		wg.Go(func() { r.validate(ctx) })
	}
}

// send sends a message whose peer has a full queue, and waits for that.
func (r *Relay) send(ctx context.Context, b blockedSend) {
	err := b.to.Send(ctx, r.ch, b.msg)
	r.mu.Lock()
	if err != nil { // the peer has gone, or we are going
		r.peerDown(b.to)
	} else if p := r.m.peers[b.to.Number()]; p != nil {
		r.m.room(p)
	}
	r.unlock()
	r.flush()
}

// validate judges items until none waits.
func (r *Relay) validate(ctx context.Context) {
	for {
		r.mu.Lock()
		if len(r.unjudged) == 0 || ctx.Err() != nil {
			r.validating--
			r.mu.Unlock()
			return
		}
		e := r.unjudged[0]
		r.unjudged[0] = effect{}
		if r.unjudged = r.unjudged[1:]; len(r.unjudged) == 0 {
			r.unjudged = nil
		}
		r.mu.Unlock()

		err := r.ask(ctx, e.from, e.body)
		v, why := accepted, ""
		switch {
		case err == nil:
		case errors.Is(err, ErrPassing) || ctx.Err() != nil:
			v = postponed
		default:
			v, why = refused, err.Error()
		}
		if err != nil {
			r.log.Debug("an item is not accepted", slog.String("id", e.id.String()), slog.Any("error", err))
		}
		r.mu.Lock()
		r.m.judged(e.id, v, why)
		r.unlock()
		r.flush()
	}
}

// ask calls Validate. A panic is an error that passes: the fault is not the item's, as far as we know.
func (r *Relay) ask(ctx context.Context, from transport.NodeID, item []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("Validate panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("%w: Validate panicked: %v", ErrPassing, p)
		}
	}()
	return r.cfg.Validate(ctx, from, item)
}

// finish closes what waits for the relay.
func (r *Relay) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	for s := range r.subs.open {
		s.end()
	}
}

// peerUp is the host's hook.
func (r *Relay) peerUp(p *host.Peering) {
	info := p.Info()
	served := false
	for _, c := range info.Channels {
		served = served || c == r.cfg.Channel
	}
	if !served {
		return
	}
	r.mu.Lock()
	if old := r.byID[p.ID()]; old != nil {
		r.peerDown(old)
	}
	r.byID[p.ID()], r.peerings[p.Number()] = p, p
	r.m.peerUp(p.Number(), p.ID(), !info.Inbound, info.Wire == transport.WireComet)
	r.unlock()
	r.signal()
}

// peerDown forgets a peering. mu is held.
func (r *Relay) peerDown(p *host.Peering) {
	r.m.peerDown(p.Number())
	delete(r.peerings, p.Number())
	if r.byID[p.ID()] == p {
		delete(r.byID, p.ID())
	}
}

// follow forgets peerings that have ended. It looks at all of them, as one that was up for a moment may not be told of.
func (r *Relay) follow(ctx context.Context) error {
	sub := r.host.Subscribe(ctx)
	defer sub.Close()
	for {
		u, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		r.mu.Lock()
		for id, p := range r.byID {
			if p.Reason() != nil || u.Status == host.PeerDown && id == u.ID && p.Number() <= u.Peering {
				r.peerDown(p)
			}
		}
		r.unlock()
		r.signal()
	}
}

// burst is how many messages are handled before answers are sent.
const burst = 64

// receive handles messages.
func (r *Relay) receive(ctx context.Context) error {
	over, cancel := context.WithCancel(ctx)
	cancel() // Receive with over takes only what is there
	in := &reader{relay: r}
	for {
		e, err := r.ch.Receive(ctx)
		if err != nil {
			return err
		}
		for n := 0; err == nil && n < burst; n++ {
			in.handle(e)
			if n < burst-1 {
				e, err = r.ch.Receive(over)
			}
		}
		r.flush()
	}
}

// reader decodes messages for the machine. The goroutine of receive has it.
type reader struct {
	relay    *Relay
	msg      relaypb.Message
	ids      []ID
	requests []*request
}

// handle gives a message to the machine.
func (in *reader) handle(e host.Envelope) {
	r := in.relay
	if err := in.msg.Decode(e.Message); err != nil {
		r.host.Report(e.From, host.Behaviour{Points: -10, Severity: host.Disconnect, Reason: err.Error()})
		return
	}
	switch in.msg.Kind {
	case relaypb.KindItems:
		in.items(e)
		return
	case relaypb.KindPush:
		in.push(e)
		return
	}
	in.ids = in.ids[:0]
	for b := in.msg.IDs; len(b) > 0; b = b[len(ID{}):] {
		in.ids = append(in.ids, ID(b[:len(ID{})]))
	}
	r.mu.Lock()
	if p := r.m.peers[e.Peering]; p != nil {
		switch in.msg.Kind {
		case relaypb.KindAnnounce:
			r.m.announced(p, in.ids, in.msg.Sizes, in.msg.More)
		case relaypb.KindRequest:
			r.m.requested(p, in.ids)
		case relaypb.KindMore:
			r.m.moreWanted(p)
		case relaypb.KindMissing:
			r.m.missing(p, in.msg.Count)
		}
	}
	r.unlock()
	e.Release()
}

// items handles answers: what the machine wants of them is hashed without its lock.
func (in *reader) items(e host.Envelope) {
	r := in.relay
	in.requests = in.requests[:0]
	r.mu.Lock()
	p := r.m.peers[e.Peering]
	for _, body := range in.msg.Items {
		if p == nil {
			break
		}
		in.requests = append(in.requests, r.m.claim(p, len(body)))
	}
	r.unlock()
	in.ids = in.ids[:0]
	sole := false // the message itself is kept
	for i, request := range in.requests {
		body := in.msg.Items[i]
		if in.ids = append(in.ids, ID{}); request == nil {
			continue
		}
		in.ids[i] = IDOf(body)
		if len(in.msg.Items) > 1 || len(body) < soleItem {
			in.msg.Items[i] = append(make([]byte, 0, len(body)), body...)
		} else {
			sole = true
		}
	}
	r.mu.Lock()
	for i, request := range in.requests {
		if request != nil {
			r.m.received(request, in.ids[i], in.msg.Items[i], wireForm(e.Message, in.msg.Items[i], sole))
		}
	}
	r.unlock()
	clear(in.requests)
	clear(in.msg.Items)
	if !sole {
		e.Release()
	}
}

// wireForm returns msg if it is what we would make of an item that is alone in it.
func wireForm(msg, body []byte, sole bool) []byte {
	if !sole || len(msg) != relaypb.SizeOfOne(len(body)) {
		return nil
	}
	return msg
}

// push handles items that came unasked.
func (in *reader) push(e host.Envelope) {
	r := in.relay
	in.ids = in.ids[:0]
	for i, body := range in.msg.Items {
		if len(body) > maxPush {
			r.host.Report(e.From, host.Behaviour{Points: -10, Severity: host.Disconnect,
				Reason: fmt.Sprintf("it pushed an item of %d bytes, above %d", len(body), maxPush)})
			return
		}
		in.ids = append(in.ids, IDOf(body))
		in.msg.Items[i] = append(make([]byte, 0, len(body)), body...)
	}
	r.mu.Lock()
	if p := r.m.peers[e.Peering]; p != nil {
		for i, id := range in.ids {
			r.m.pushed(p, id, in.msg.Items[i])
		}
	}
	r.unlock()
	clear(in.msg.Items)
	e.Release()
}
