package muxertest

import (
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Run proves that the sessions of a factory keep the contract of muxer.Session.
func Run(t *testing.T, traits Traits, f Factory) {
	s := Suite{traits, f}
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"RoundTrip", s.testRoundTrip},
		{"Order", s.testOrder},
		{"ManySenders", s.testManySenders},
		{"SharedBuffer", s.testSharedBuffer},
		{"SendBeforeRun", s.testSendBeforeRun},
		{"Priority", s.testPriority},
		{"LateLane", s.testLateLane},
		{"Backpressure", s.testBackpressure},
		{"QueuesAreSeparate", s.testQueuesAreSeparate},
		{"OversizedForTheQueue", s.testOversizedForTheQueue},
		{"EmptyMessagesAreBounded", s.testEmptyMessagesAreBounded},
		{"SendHonoursContext", s.testSendHonoursContext},
		{"WaitersInOrder", s.testWaitersInOrder},
		{"UnknownChannel", s.testUnknownChannel},
		{"TooLargeToSend", s.testTooLargeToSend},
		{"TooLargeToReceive", s.testTooLargeToReceive},
		{"CloseFlushes", s.testCloseFlushes},
		{"CloseFlushesUnderASlowHandler", s.testCloseFlushesUnderASlowHandler},
		{"CloseOfAStuckRemote", s.testCloseOfAStuckRemote},
		{"CloseAtOnce", s.testCloseAtOnce},
		{"CloseTwice", s.testCloseTwice},
		{"CloseBeforeRun", s.testCloseBeforeRun},
		{"CloseInDeliver", s.testCloseInDeliver},
		{"CloseWakesEverybody", s.testCloseWakesEverybody},
		{"ContextEndsRun", s.testContextEndsRun},
		{"HandlerErrorEndsRun", s.testHandlerErrorEndsRun},
		{"SlowHandler", s.testSlowHandler},
		{"IdleForADay", s.testIdleForADay},
		{"Ping", s.testPing},
		{"Stats", s.testStats},
		{"Everything", s.testEverything},
		{"SlowChannel", s.testSlowChannel},
		{"Streams", s.testStreams},
		{"StreamsWaitForNobody", streamEnds(s).testStreamsWaitForNobody},
		{"SilentNegotiation", streamEnds(s).testSilentNegotiation},
		{"Resets", streamEnds(s).testResets},
		{"LostStreams", streamEnds(s).testLostStreams},
		{"CloseRead", streamEnds(s).testCloseRead},
	} {
		t.Run(c.name, c.test)
	}
}

func one(c muxer.Channel) []muxer.Channel { return []muxer.Channel{c} }
