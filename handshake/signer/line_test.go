package signer

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// nodeKey is the key in the signer of the tests.
var nodeKey = handshake.NewIdentity([handshake.SeedSize]byte{42})

// line is a Remote in memory: a connection to a Keeper that can be cut, hang, and lie.
type line struct {
	mu      sync.Mutex
	keeper  *Keeper
	down    bool
	hangs   int           // how many of the next calls get no answer; -1 for all
	takes   time.Duration // for an answer
	lies    bool
	refuses bool
	changed chan struct{} // closed and renewed at each change
	calls   int
}

func newLine(t testing.TB, key *handshake.NodeKey, allowed ...handshake.Purpose) *line {
	t.Helper()
	if allowed == nil {
		allowed = Default()
	}
	keeper, err := NewKeeper(t.Context(), key, allowed...)
	if err != nil {
		t.Fatal(err)
	}
	return &line{keeper: keeper, changed: make(chan struct{})}
}

// set changes what the line does.
func (l *line) set(change func(*line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *line) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// pass takes a call to the keeper, if it gets there.
func (l *line) pass(ctx context.Context) (lies bool, err error) {
	l.mu.Lock()
	l.calls++
	down, hangs, takes, lies := l.down, l.hangs != 0, l.takes, l.lies
	if l.hangs > 0 {
		l.hangs--
	}
	cut := l.changed
	l.mu.Unlock()
	if down {
		return false, &AbsentError{Why: "no such socket"}
	}
	if hangs {
		select {
		case <-ctx.Done():
			return false, &AbsentError{Why: "it is connected and does not answer", Err: ctx.Err()}
		case <-cut:
			return false, &AbsentError{Why: "the connection broke"}
		}
	}
	if takes > 0 && sleep(ctx, takes) != nil {
		return false, &AbsentError{Why: "too slow", Err: ctx.Err()}
	}
	return lies, nil
}

func (l *line) Describe(ctx context.Context) (Description, error) {
	if _, err := l.pass(ctx); err != nil {
		return Description{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keeper.Describe(), nil
}

func (l *line) Sign(ctx context.Context, r Request) ([]byte, error) {
	lies, err := l.pass(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	keeper, refuses := l.keeper, l.refuses
	l.mu.Unlock()
	if refuses {
		return nil, &RefusedError{Why: "not today"}
	}
	sig, err := keeper.Sign(ctx, r)
	if lies && err == nil {
		sig[3] ^= 1
	}
	return sig, err
}

func (l *line) Ready(ctx context.Context) error {
	for {
		l.mu.Lock()
		down, changed := l.down, l.changed
		l.mu.Unlock()
		if !down {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
