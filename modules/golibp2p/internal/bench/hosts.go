package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

const echoProtocol = "/bench/echo/1.0.0"

// hosts are running hosts.
type hosts []host.Host

// open makes n hosts, each with an address of its own.
func open(make hostkit.Make, n int) (hosts, error) {
	var hs hosts
	for range n {
		h, err := make(hostkit.Options{Via: hostkit.Noise, Listen: hostkit.Noise.Listen(benchkit.FreshIP())})
		if err != nil {
			hs.close()
			return nil, err
		}
		hs = append(hs, h)
	}
	return hs, nil
}

// link connects hosts as a topology says.
func (hs hosts) link(ctx context.Context, links [][2]int) error {
	for _, l := range links {
		if err := hostkit.Connect(ctx, hs[l[0]], hs[l[1]]); err != nil {
			return err
		}
	}
	return nil
}

func (hs hosts) close() {
	var wg sync.WaitGroup
	for _, h := range hs {
		wg.Go(func() { _ = h.Close() })
	}
	wg.Wait()
}

// echoer is two linked hosts, of which the second echoes streams.
type echoer struct{ hosts }

func newEchoer(make hostkit.Make) (*echoer, error) {
	hs, err := open(make, 2)
	if err != nil {
		return nil, err
	}
	e := &echoer{hs}
	hs[1].SetStreamHandler(echoProtocol, func(s network.Stream) {
		var buf [128]byte
		if _, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{s}, buf[:]); err != nil {
			_ = s.Reset()
			return
		}
		_ = s.Close()
	})
	if err := hs.link(context.Background(), [][2]int{{0, 1}}); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// echo opens a stream, sends msg, reads as much back and the end, and closes.
func (e *echoer) echo(msg []byte) error {
	s, err := e.hosts[0].NewStream(context.Background(), e.hosts[1].ID(), echoProtocol)
	if err != nil {
		return err
	}
	if _, err = s.Write(msg); err == nil {
		err = s.CloseWrite()
	}
	var back [128]byte
	if err == nil {
		if _, err = io.ReadFull(s, back[:len(msg)]); err == nil {
			if _, err = s.Read(back[:]); errors.Is(err, io.EOF) {
				return s.Close()
			} else if err == nil {
				err = errors.New("more came back than was sent")
			}
		}
	}
	_ = s.Reset()
	return err
}

// echoes measures the quantile q of echoes in µs, one at a time.
func echoes(make hostkit.Make, q float64) benchkit.Measure {
	return func(d time.Duration) (benchkit.Figure, error) {
		e, err := newEchoer(make)
		if err != nil {
			return benchkit.Figure{}, err
		}
		defer e.close()
		msg := newMessage()
		run := func(d time.Duration) (took []time.Duration, err error) {
			for began := time.Now(); len(took) < 10 || time.Since(began) < d; {
				t := time.Now()
				if err := e.echo(msg); err != nil {
					return nil, err
				}
				took = append(took, time.Since(t))
			}
			return took, nil
		}
		if _, err := run(d / 4); err != nil { // warm
			return benchkit.Figure{}, err
		}
		return benchkit.Counted(func() (int, float64, error) {
			took, err := run(d)
			if err != nil {
				return 0, 0, err
			}
			return len(took), float64(benchkit.Quantile(took, q).Nanoseconds()) / 1000, nil
		})
	}
}

// echoRate measures echoes a second, 16 at once.
func echoRate(make hostkit.Make) benchkit.Measure {
	return func(d time.Duration) (benchkit.Figure, error) {
		e, err := newEchoer(make)
		if err != nil {
			return benchkit.Figure{}, err
		}
		defer e.close()
		if err := e.echo(newMessage()); err != nil {
			return benchkit.Figure{}, err
		}
		return benchkit.Counted(func() (int, float64, error) {
			var n atomic.Int64
			var failed atomic.Pointer[error]
			var wg sync.WaitGroup
			began := time.Now()
			for range benchkit.InFlight {
				wg.Go(func() {
					for msg := newMessage(); time.Since(began) < d && failed.Load() == nil; n.Add(1) {
						if err := e.echo(msg); err != nil {
							failed.Store(&err)
							return
						}
					}
				})
			}
			wg.Wait()
			if err := failed.Load(); err != nil {
				return 0, 0, *err
			}
			return int(n.Load()), float64(n.Load()) / time.Since(began).Seconds(), nil
		})
	}
}

func newMessage() []byte { return make([]byte, 100) }

// held is how many hosts are averaged over.
const held = 20

// holds measures what a host holds that listens, with so many links or none. What the first host of a kind adds for
// all is left out.
func holds(make hostkit.Make, links int, pick func(benchkit.Held) float64) benchkit.Measure {
	return func(time.Duration) (benchkit.Figure, error) {
		first, err := open(make, 2)
		if err == nil {
			err = first.link(context.Background(), [][2]int{{0, 1}})
		}
		defer first.close()
		if err != nil {
			return benchkit.Figure{}, err
		}
		before := benchkit.InUse()
		hs, err := open(make, held)
		if err != nil {
			return benchkit.Figure{}, err
		}
		defer hs.close()
		if links > 0 {
			if err := hs.link(context.Background(), benchkit.Graph(held, links).Links); err != nil {
				return benchkit.Figure{}, err
			}
		}
		time.Sleep(time.Second) // identify and what else follows a link
		return benchkit.Figure{Value: (pick(benchkit.InUse()) - pick(before)) / held}, nil
	}
}
