package storetest_test

import (
	"testing"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// The test of a store: what each must do, in subtests, and random operations beside a model.
func Example() {
	_ = func(t *testing.T) { // func TestStore(t *testing.T)
		storetest.Run(t, storetest.Factory{
			New: func(_ testing.TB, l peerstore.Limits, seed uint64) peerstore.Store {
				return memory.NewSeeded(l, seed)
			},
		})
	}
	// Output:
}
