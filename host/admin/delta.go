package admin

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Bounds of what one message of GET /v1/stream has in it.
const (
	mostAttempts   = 60 // attempts
	mostPastEvents = 50 // events of a snapshot
)

// Snapshot is the first message of GET /v1/stream.
type Snapshot struct {
	Seq     uint64  `json:"seq"`
	BootID  string  `json:"boot_id"`
	Status  Status  `json:"status"`
	Peers   []Peer  `json:"peers"` // in order of node id, without channel_stats
	Dials   Dials   `json:"dials"` // the latest 60 attempts
	Events  []Event `json:"events"`
	Traffic Traffic `json:"traffic"`
}

// Delta is what has changed since the message before. What is not there has not changed.
type Delta struct {
	Seq    uint64         `json:"seq"`
	Status map[string]any `json:"status,omitempty"` // keys that have changed; never uptime_s
	// Peers have node_id and the fields that have changed, a new one all of them; never connected_s (see since).
	Peers    []map[string]any   `json:"peers,omitempty"`
	Gone     []transport.NodeID `json:"gone,omitempty"`
	Dialing  []Dialing          `json:"dialing,omitzero"` // all, if one has changed
	Attempts []Attempt          `json:"attempts,omitempty"`
	Traffic  *TrafficPoint      `json:"traffic,omitempty"` // each 5 s
	LeftOut  int                `json:"left_out,omitempty"`
}

// StreamEvent is an event of GET /v1/stream. Events beyond 50 a second are left out and counted by the next delta.
type StreamEvent struct {
	Seq   uint64 `json:"seq"`
	Event Event  `json:"event"`
}

// Ping says each 5 s that the node is well enough to say so.
type Ping struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
}

// view is what readers of the stream have been told.
type view struct {
	status   Status
	peers    map[transport.NodeID]Peer
	dialing  []Dialing
	attempts uint64 // the number of the latest
}

// lookNow returns the state of the node.
func (s reads) lookNow(now time.Time) *view {
	infos := s.node.Links.Peers()
	v := &view{status: s.statusNow(now, infos), peers: make(map[transport.NodeID]Peer, len(infos))}
	for i := range infos {
		p := peerOf(&infos[i], now)
		p.ChannelStats = nil // GET /v1/peers has them
		v.peers[p.NodeID] = p
	}
	return v
}

// snapshot returns a view as the first message of a reader, with the events up to heard. What is later is told next.
func (s reads) snapshot(v *view, seq, heard uint64) Snapshot {
	out := Snapshot{Seq: seq, BootID: s.boot, Status: v.status, Peers: make([]Peer, 0, len(v.peers)),
		Dials: s.dialsNow(0, mostAttempts), Traffic: s.feed.history.view(s.node.Links.Channels())}
	for _, id := range slices.Sorted(maps.Keys(v.peers)) {
		out.Peers = append(out.Peers, v.peers[id])
	}
	out.Dials.Seq, out.Dials.Dialing = v.attempts, v.dialing
	out.Dials.Attempts = slices.DeleteFunc(out.Dials.Attempts, func(a Attempt) bool { return a.Seq > v.attempts })
	past, _ := s.node.Watch.Journal().Since(0)
	past = slices.DeleteFunc(past, func(e host.Event) bool { return e.Seq > heard })
	out.Events = eventsOf(past[max(len(past)-mostPastEvents, 0):])
	return out
}

// delta returns what v says that was does not.
func (v *view) delta(was *view) (d Delta) {
	d.Status = changed(&was.status, &v.status)
	for _, id := range slices.Sorted(maps.Keys(v.peers)) {
		p := v.peers[id]
		before, known := was.peers[id]
		if !known {
			before = Peer{}
		}
		fields := changed(&before, &p)
		if !known {
			fields = allOf(&p)
		}
		if fields != nil {
			fields["node_id"] = id
			d.Peers = append(d.Peers, fields)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(was.peers)) {
		if _, here := v.peers[id]; !here {
			d.Gone = append(d.Gone, id)
		}
	}
	if !slices.Equal(was.dialing, v.dialing) {
		d.Dialing = v.dialing
	}
	return d
}

func (d *Delta) isEmpty() bool {
	return d.Status == nil && d.Peers == nil && d.Gone == nil && d.Dialing == nil && d.Attempts == nil &&
		d.Traffic == nil && d.LeftOut == 0
}

// uncounted are fields that change with the clock alone.
var uncounted = map[string]bool{"uptime_s": true, "connected_s": true}

// changed returns the fields of now, a struct, that differ from those of before, by their JSON names; nil for none.
func changed[T any](before, now *T) (out map[string]any) {
	a, b := reflect.ValueOf(before).Elem(), reflect.ValueOf(now).Elem()
	for name, i := range fieldsOf(a.Type()) {
		if x := b.Field(i).Interface(); !uncounted[name] && !reflect.DeepEqual(a.Field(i).Interface(), x) {
			if out == nil {
				out = map[string]any{}
			}
			out[name] = x
		}
	}
	return out
}

// allOf returns all fields of a peer.
func allOf(p *Peer) map[string]any {
	out, v := map[string]any{}, reflect.ValueOf(p).Elem()
	for name, i := range fieldsOf(v.Type()) {
		if name != "channel_stats" {
			out[name] = v.Field(i).Interface()
		}
	}
	return out
}
