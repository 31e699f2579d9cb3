package cometbft

import (
	"testing"
	"testing/synctest"
	"time"
)

// A dial hears that a link of the peer has just ended, so that it can leave the peer the first try for a moment.
func TestAwaitAfterAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tb table
		tb.init()
		tb.ended["a"] = time.Now()
		for _, want := range []bool{true, false} {
			w, ended := tb.await("a")
			if w == nil || ended != want {
				t.Fatalf("await: %v, ended %v, want %v", w, ended, want)
			}
			if again, _ := tb.await("a"); again != nil {
				t.Fatal("two dials wait for one peer")
			}
			tb.forget("a", w)
			time.Sleep(justEnded)
		}
		if _, ended := tb.await("b"); ended {
			t.Error("a peer that was never up has just ended")
		}
	})
}
