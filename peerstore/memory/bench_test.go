package memory

import (
	"testing"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, storetest.Factory{New: func(_ testing.TB, l peerstore.Limits, _ uint64) peerstore.Store {
		return New(l)
	}})
}
