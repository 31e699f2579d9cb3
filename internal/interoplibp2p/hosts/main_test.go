// Package hosts tests whole Switchyard nodes, and our program, beside real libp2p peers.
package hosts

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
