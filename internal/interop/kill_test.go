package interop

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// TestKilledAgainAndAgain kills the program (SIGKILL) at random moments: while it starts, while it learns peers from
// PEX and from dials, while bans are made and lifted. It must always start again, with every acknowledged ban, no
// lifted ban, and every peer that was known for longer than a write takes.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	const rounds = 20
	_, comets := startComets(t, 3)
	// With so much room no bucket is ever full, so no peer loses its place.
	ours := newNodeDir(t, network, "killed", "peers.max_outbound=3", "peers.max_known=1000000",
		fmt.Sprintf("peers.bootstrap=[%q, %q, %q]", comets[0].Address(), comets[1].Address(), comets[2].Address()))
	l := &ledger{nodeDir: ours, rnd: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1)), known: map[string]bool{},
		bans: map[string]bool{}}
	for _, c := range comets { // what PEX can report
		for range 300 {
			a := l.stranger(t)
			if err := c.Book.AddAddress(a, a); err != nil {
				t.Fatal(err)
			}
		}
	}

	killed := 0 // while starting
	for round := range rounds {
		p := ours.Launch(t)
		if round%5 == 4 { // while it starts, or right after
			pause(time.Duration(l.rnd.Int64N(int64(300 * time.Millisecond))))
			p.Kill()
			killed++
			continue
		}
		ours.Ready(t, p)
		l.check(t, fmt.Sprintf("round %d", round))
		l.work(t, p, 100*time.Millisecond+time.Duration(l.rnd.Int64N(int64(1500*time.Millisecond))))
	}
	p := ours.Start(t)
	l.check(t, "at the end")
	waitFor(t, 20*time.Second, "connected again", func() bool {
		peers, err := ours.client.Peers(t.Context())
		return err == nil && len(peers) >= 3
	})
	p.Stop(t)
	ours.Start(t)
	l.check(t, "after an orderly stop")
	t.Logf("killed %d times, %d of them while starting: %d peers and %d bans are there",
		rounds, killed, len(l.known), len(l.bans))
	if len(l.known) < 100 || len(l.bans) < 20 {
		t.Error("too little happened for this test to mean anything")
	}
}

// pause waits: no event marks the right moment for a kill.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// ledger records what the killed program must not lose.
type ledger struct {
	*nodeDir
	rnd   *rand.Rand
	known map[string]bool // peers that are on disk
	bans  map[string]bool // acknowledged, not lifted
	free  []string        // acknowledged, and lifted with an acknowledgement
}

// stranger returns an address at which no node answers.
func (l *ledger) stranger(t *testing.T) *p2p.NetAddress {
	t.Helper()
	a, err := p2p.NewNetAddressString(fmt.Sprintf("%016x%016x%08x@127.%d.%d.%d:1", l.rnd.Uint64(), l.rnd.Uint64(),
		l.rnd.Uint32(), 1+l.rnd.IntN(250), l.rnd.IntN(250), 1+l.rnd.IntN(250)))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// stored returns the peers that the program knows now.
func (l *ledger) stored(ctx context.Context) (map[string]bool, error) {
	list, err := l.client.Store(ctx, 10_000)
	ids := make(map[string]bool, len(list))
	for _, k := range list {
		ids[string(k.NodeID)] = true
	}
	return ids, err
}

// check compares the program's state after a start with the ledger.
func (l *ledger) check(t *testing.T, when string) {
	t.Helper()
	have, missing := map[string]bool{}, 0
	complete := within(3*time.Second, func() bool {
		ids, err := l.stored(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		maps.Copy(have, ids) // a peer whose rank changes while the list is made may be left out of it
		missing = 0
		for id := range l.known {
			if !have[id] {
				missing++
			}
		}
		return missing == 0
	})
	if !complete {
		t.Errorf("%s: %d of %d known peers are lost", when, missing, len(l.known))
	}
	l.known = have
	list, err := l.client.Bans(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	banned := map[string]bool{}
	for _, b := range list {
		banned[b.Target] = true
	}
	for target := range l.bans {
		if !banned[target] {
			t.Errorf("%s: the acknowledged ban of %s is lost", when, target)
		}
	}
	for _, target := range l.free {
		if banned[target] {
			t.Errorf("%s: the lifted ban of %s is back", when, target)
		}
	}
}

// work lets the program learn peers and makes bans until it kills the program after d. It records what must not be
// lost.
func (l *ledger) work(t *testing.T, p *programtest.Process, life time.Duration) {
	t.Helper()
	// The store promises to write within 100 ms; allow a loaded machine more.
	const written = 500 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	seen := map[string]time.Time{}
	wg.Go(func() { // watch what it learns
		for ctx.Err() == nil {
			ids, err := l.stored(ctx)
			now := time.Now()
			if err != nil {
				return
			}
			for id := range ids {
				if _, ok := seen[id]; !ok {
					seen[id] = now
				}
			}
			pause(20 * time.Millisecond)
		}
	})
	var dials []string
	for range 200 {
		dials = append(dials, l.stranger(t).String()) // each at its own IP: the store keeps only a few ids per IP
	}
	wg.Go(func() { // let it learn by dials that fail
		for _, a := range dials {
			if ctx.Err() != nil {
				return
			}
			_, _ = l.client.Dial(ctx, a)
		}
	})
	wg.Go(func() { // make bans and lift some
		for ctx.Err() == nil {
			target := fmt.Sprintf("10.%d.%d.%d", l.rnd.IntN(250), l.rnd.IntN(250), 1+l.rnd.IntN(250))
			if l.rnd.IntN(2) == 0 {
				target = fmt.Sprintf("%020x%020x", l.rnd.Uint64(), l.rnd.Uint64())
			}
			if _, err := l.client.Ban(ctx, target, 0, "a test"); err != nil {
				return
			}
			l.bans[target] = true
			if l.rnd.IntN(3) == 0 {
				delete(l.bans, target) // not acknowledged: it may be lifted or not
				if l.client.Unban(ctx, target) != nil {
					return
				}
				l.free = append(l.free, target)
			}
			pause(5 * time.Millisecond)
		}
	})
	pause(life)
	now := time.Now()
	p.Kill()
	cancel()
	wg.Wait()
	for id, since := range seen {
		if now.Sub(since) > written {
			l.known[id] = true
		}
	}
}
