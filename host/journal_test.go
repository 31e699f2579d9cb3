package host

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// The journal keeps the latest events, and the latest attempts whatever else happens.
func TestJournalKeepsTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j Journal
		if list, last := j.Since(0); list != nil || last != 0 {
			t.Fatalf("%v, %d in an empty journal", list, last)
		}
		j.Add(Event{Kind: EventUp, Address: "first"})
		_, first := j.Since(0)
		if first != uint64(time.Now().UnixMicro()) {
			t.Fatalf("the first number is %d", first)
		}
		for i := range 2000 {
			j.Add(Event{Kind: EventDown, Address: fmt.Sprint(i), Reason: &DisconnectError{}})
		}
		list, last := j.Since(0)
		if len(list) != journalSize || last != first+2000 || list[0].Seq != last-511 || list[511].Address != "1999" {
			t.Fatalf("%d events, from %d to %d", len(list), list[0].Seq, last)
		}
		for i := range list {
			if list[i].Seq != list[0].Seq+uint64(i) {
				t.Fatalf("event %d has the number %d", i, list[i].Seq)
			}
		}
		if list, _ := j.Attempts(0); len(list) != 1 || list[0].Address != "first" {
			t.Errorf("the attempts are %v", list)
		}
		for i := range 600 {
			j.Add(Event{Kind: EventRefused, Inbound: true, Address: fmt.Sprint(i), Reason: &DisconnectError{}})
		}
		tried, last := j.Attempts(last)
		if len(tried) != journalSize || tried[0].Address != "88" || tried[511].Seq != last {
			t.Errorf("%d attempts, from %v to %d", len(tried), tried[0], last)
		}
		if list, _ := j.Since(last); list != nil {
			t.Errorf("%d events after the last one", len(list))
		}
		if list, _ := j.Since(last + 1); len(list) != journalSize {
			t.Errorf("%d events for a reader of an earlier run", len(list))
		}
	})
}

// What is replayed and what comes then is everything, once.
func TestJournalFollow(t *testing.T) {
	var j Journal
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 300 {
			j.Add(Event{Kind: EventUp})
		}
	}()
	past, next := j.Follow(ctx, 0)
	<-done
	cancel()
	seen := uint64(len(past))
	for range next {
		seen++
	}
	if want := min(300, len(past)+eventBuffer); seen != uint64(want) {
		t.Errorf("%d events (%d of them past), want %d", seen, len(past), want)
	}
}

// The counts of the last 10 minutes forget what is older.
func TestJournalRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j Journal
		reason := &DisconnectError{Code: muxer.CodeTimeout}
		for range 40 { // 20 minutes
			j.Add(Event{Kind: EventDialFailed, Reason: reason})
			j.Add(Event{Kind: EventUp})
			j.Add(Event{Kind: EventUp, Inbound: true})
			j.Add(Event{Kind: EventRefused, Inbound: true, Reason: reason})
			j.Add(Event{Kind: EventBan, Reason: reason})
			time.Sleep(30 * time.Second)
		}
		if got := j.Recent(); got != (Recent{Refused: 20, Dials: 40, DialsFailed: 20}) {
			t.Errorf("%+v", got)
		}
		time.Sleep(recentWindow + recentStep)
		if got := j.Recent(); got != (Recent{}) {
			t.Errorf("%+v when all is old", got)
		}
	})
}
