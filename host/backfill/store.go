package backfill

import (
	"context"
	"errors"
	"fmt"

	"github.com/switchyard-p2p/switchyard/host"
)

// ErrNoHeight reports that a store does not have a height.
var ErrNoHeight = errors.New("no such height in the store")

// Store keeps one item a height. Its methods are called concurrently, Put and Has by one goroutine of each Sync or
// Backfill. They must return soon after ctx has ended: Sync, Backfill and Run wait for them.
type Store interface {
	// Has reports whether a height is stored.
	Has(ctx context.Context, height uint64) (bool, error)
	// Get returns the item of a height; ErrNoHeight if it is not stored. The item is not changed.
	Get(ctx context.Context, height uint64) ([]byte, error)
	// Put stores an item, whole or not at all, whatever happens. It may keep item.
	Put(ctx context.Context, height uint64, item []byte) error
	// Range returns what is stored from one height to another, both included, in ascending order. So a run that was
	// stopped goes on where it was, and meets what earlier runs have stored.
	Range(ctx context.Context, from, to uint64) ([]Span, error)
}

// Verify checks the item of a height before it is stored. It is called in the order of the run, when all heights before
// are stored: in a Sync the height below, in a Backfill the one above. Its error is what Bad returns if the item is
// bad: its sender is reported, and another peer asked. Any other error ends the run.
type Verify func(ctx context.Context, height uint64, item []byte) error

// Bad makes the error of a Verify for a bad item: err says what is wrong, severity what becomes of its sender.
func Bad(severity host.Severity, err error) error { return &BadItemError{Severity: severity, Err: err} }

// BadItemError reports a bad item.
type BadItemError struct {
	Severity host.Severity
	Err      error
}

func (e *BadItemError) Error() string { return fmt.Sprintf("bad item: %v", e.Err) }

// Unwrap returns what is wrong.
func (e *BadItemError) Unwrap() error { return e.Err }

// HeightError is why a run has failed: at which height, and why. It unwraps to the error of Verify or the store.
type HeightError struct {
	Run    string // "sync" or "backfill"
	Height uint64
	Tries  int // answers for the height that were bad; 0 if something else is the cause
	Err    error
}

func (e *HeightError) Error() string {
	if e.Tries > 0 {
		return fmt.Sprintf("%s: height %d: %d bad items, the most that are tried (tries); the last: %v", e.Run,
			e.Height, e.Tries, e.Err)
	}
	return fmt.Sprintf("%s: height %d: %v", e.Run, e.Height, e.Err)
}

// Unwrap returns the cause.
func (e *HeightError) Unwrap() error { return e.Err }
