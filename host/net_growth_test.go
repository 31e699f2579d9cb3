package host_test

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// Nodes that know nothing but one seed fill all their slots, and all views agree on it.
func TestNodesThatKnowOneSeedConnectAsTheirLimitsAllow(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 30, KnowFirst: true, Services: withPEX,
		Conditions: memory.Conditions{Latency: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}}, func(t *testing.T, net *hosttest.Network) {
		t.Logf("one network after %v", net.AwaitConnected())
		net.AwaitOutbound(8)
		t.Logf("8 outbound links each after %v", net.Since())
		net.AssertTruth()
	})
}
