package hosttest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

type (
	text         = wrapperspb.StringValue
	textRequests = host.Requests[*text, *text]
	textConfig   = host.RequestsConfig[*text, *text]
)

// Requests work alike over every wire: answers of all sizes come to their calls, several at once.
func TestRequestsOverAllWires(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var ends []*textRequests
			var hosts []*host.Host
			for range 2 {
				h, channels := w.slowEnd(t, []muxer.Channel{{ID: 1, Name: "/requests/1", MaxMessage: 4 << 20}})
				r := host.NewRequests(channels[0], textConfig{
					Serve: func(_ context.Context, _ host.Envelope, req *text) (*text, error) {
						return wrapperspb.String(strings.Repeat(req.GetValue(), len(req.GetValue())%100+1)), nil
					}})
				running, stop := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := r.Run(running); err != nil {
						t.Errorf("Run: %v", err)
					}
				})
				t.Cleanup(func() {
					stop()
					wg.Wait()
				})
				ends, hosts = append(ends, r), append(hosts, h)
			}
			if _, err := hosts[0].Dial(ctx, hosts[1].SelfAddresses()[0]); err != nil {
				t.Fatal(err)
			}
			up := hosts[1].Subscribe(ctx)
			wantUpdate(t, ctx, up, host.PeerUp)
			up.Close()
			var calls sync.WaitGroup
			for end := range 2 {
				for caller := range 4 {
					calls.Go(func() {
						for i := range 50 {
							text := fmt.Sprint(end, caller, strings.Repeat("x", i*40))
							got, err := ends[end].Call(ctx, hosts[1-end].Self(), wrapperspb.String(text), 0)
							if err != nil || got.GetValue() != strings.Repeat(text, len(text)%100+1) {
								t.Errorf("call %d: %d bytes, %v", i, len(got.GetValue()), err)
								return
							}
						}
					})
				}
			}
			calls.Wait()
			for _, r := range ends {
				if s := r.Stats(); s.Answered != 200 || s.Served != 200 || s.Waiting+s.Handling > 0 || s.Misdeeds > 0 {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// Whatever becomes of the links, the answers and the callers, each call ends once and in its time, with its own answer
// or an error that says why; no honest peer is blamed, and nothing is left.
func TestRequestsUnderChaos(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { requestsUnderChaos(t, seed) })
		})
	}
}

func requestsUnderChaos(t *testing.T, seed uint64) {
	const nodes, callers, each = 4, 6, 40
	rnd := rand.New(rand.NewPCG(seed, 3))
	all := make([]*textRequests, nodes)
	var mu sync.Mutex // guards rnd and all
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(n)
	}
	end := func(i int) *textRequests {
		mu.Lock()
		defer mu.Unlock()
		return all[i]
	}
	serve := func(ctx context.Context, _ host.Envelope, req *text) (*text, error) {
		switch draw(10) {
		case 0:
			return nil, &host.RefusalError{Code: host.RefusedLacking}
		case 1:
			return nil, errors.New("broken")
		case 2:
			select { // longer than some callers wait
			case <-time.After(time.Duration(draw(5000)) * time.Millisecond):
			case <-ctx.Done():
			}
		}
		return wrapperspb.String("re " + req.GetValue()), nil
	}
	net := hosttest.New(t, hosttest.Options{Nodes: nodes, Seed: seed + 1, Plain: true,
		Speaks: func(n *hosttest.Node) []string {
			return [][]string{{transport.WireComet}, {transport.WireLibp2p}}[seed%2]
		},
		Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
			ch, err := n.Host.OpenChannel(muxer.Channel{ID: 0x71, MaxMessage: 1 << 20})
			if err != nil {
				return nil, err
			}
			r := host.NewRequests(ch, textConfig{Serve: serve,
				PeerCalls: 8, PeerHandlers: 4})
			mu.Lock()
			all[n.Index] = r
			mu.Unlock()
			return []hosttest.Service{r.Run}, nil
		}})
	for i, n := range net.Nodes {
		for _, m := range net.Nodes[:i] {
			n.Dial(m)
		}
	}
	net.Delay(20*time.Millisecond, 10*time.Millisecond)
	var answered, ended atomic.Int64
	var wg sync.WaitGroup
	for c := range nodes * callers {
		wg.Go(func() {
			for i := range each {
				time.Sleep(time.Duration(draw(500)) * time.Millisecond)
				to := net.Nodes[(c+1+draw(nodes-1))%nodes]
				text := fmt.Sprint(c, " ", i)
				within := time.Duration(1+draw(2000)) * time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+draw(3000))*time.Millisecond)
				began := time.Now()
				got, err := end(c%nodes).Call(ctx, to.ID, wrapperspb.String(text), within)
				cancel()
				if took := time.Since(began); took > within {
					t.Errorf("a call within %v took %v", within, took)
				}
				ended.Add(1)
				_, refused := errors.AsType[*host.RefusalError](err)
				_, failed := errors.AsType[*host.CallError](err)
				switch {
				case err == nil && got.GetValue() == "re "+text:
					answered.Add(1)
				case err == nil:
					t.Errorf("call %q is answered with %q", text, got.GetValue())
				case !refused && !failed:
					t.Errorf("the error is %#v", err)
				}
			}
		})
	}
	dial := func(a, b *hosttest.Node) { // one that another dial has come before is as good
		_, _ = a.Host.Dial(t.Context(), b.Address())
	}
	for range 20 {
		time.Sleep(time.Duration(draw(1000)) * time.Millisecond)
		a, b := net.Nodes[draw(nodes)], net.Nodes[draw(nodes)]
		switch {
		case a == b:
			a.Restart()
			for _, o := range net.Nodes {
				if o != a {
					dial(a, o)
				}
			}
		case a.Has(b):
			net.Break(a, b)
		default:
			dial(a, b)
		}
	}
	wg.Wait()
	time.Sleep(time.Minute)
	for i := range nodes {
		if s := end(i).Stats(); s.Waiting+s.Handling > 0 || s.Misdeeds > 0 {
			t.Errorf("node %d: %+v", i, s)
		}
	}
	if ended.Load() != nodes*callers*each || answered.Load() < nodes*callers*each/4 {
		t.Errorf("%d calls, %d answered", ended.Load(), answered.Load())
	}
}
