package book

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// TestContestAfterClockWasSetBack wants a contest not to wait until the clock is where it was once more.
func TestContestAfterClockWasSetBack(t *testing.T) {
	x := contest{&entry{table: peerstore.New}, &entry{table: peerstore.Tried}, Nano(t0)}
	if _, decided := x.verdict(Nano(t0.Add(-time.Minute))); decided {
		t.Error("a minute is no matter")
	}
	if won, decided := x.verdict(Nano(t0.Add(-24 * time.Hour))); won || !decided {
		t.Error(won, decided)
	}
}
