package hosttest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// patience is how long a benchmark waits for a link to come or go before it fails.
const patience = 10 * time.Second

// Pair is two running hosts with a link between them and a channel open on both, for benchmarks: messages go from
// service to service.
type Pair struct {
	A, B       *host.Host
	FromA, AtB *host.Channel
	End        func() // stops both hosts

	ctx    context.Context
	cancel context.CancelFunc
	echo   sync.WaitGroup
	echoes bool
}

// Link dials B at the address from A, and returns when both ends are ready.
func (p *Pair) Link(to transport.Address) error {
	p.ctx, p.cancel = context.WithCancel(context.Background())
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	up := p.B.Subscribe(ctx)
	if _, err := p.A.Dial(ctx, to); err != nil {
		return err
	}
	for {
		if _, ok := p.B.Peer(p.A.Self()); ok {
			return nil
		}
		if _, err := up.Next(ctx); err != nil {
			return errors.New("the listening end did not become ready")
		}
	}
}

// Stream sends msg n times from A's service to B's and returns when all have arrived.
func (p *Pair) Stream(msg []byte, n int) error {
	var arrival sync.WaitGroup
	var failed error
	arrival.Go(func() {
		for range n {
			e, err := p.AtB.Receive(p.ctx)
			if err != nil {
				failed = err
				return
			}
			e.Release()
		}
	})
	to := p.B.Self()
	for range n {
		if err := p.FromA.Send(p.ctx, to, msg); err != nil {
			p.cancel()
			arrival.Wait()
			return err
		}
	}
	arrival.Wait()
	return failed
}

// RoundTrip sends msg to B's service, which from then on sends back what it receives, and returns when it is back.
func (p *Pair) RoundTrip(msg []byte) error {
	if !p.echoes {
		p.echoes = true
		p.echo.Go(func() {
			for {
				e, err := p.AtB.Receive(p.ctx)
				if err != nil || p.AtB.Send(p.ctx, e.From, e.Message) != nil {
					return
				}
			}
		})
	}
	if err := p.FromA.Send(p.ctx, p.B.Self(), msg); err != nil {
		return err
	}
	_, err := p.FromA.Receive(p.ctx)
	return err
}

// Close stops both hosts.
func (p *Pair) Close() {
	p.cancel()
	p.echo.Wait()
	p.End()
}
