package memory

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Factory{New: func(_ testing.TB, l peerstore.Limits, seed uint64) peerstore.Store {
		return NewSeeded(l, seed)
	}})
}
