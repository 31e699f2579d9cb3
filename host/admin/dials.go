package admin

import (
	"net/http"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Dials is the answer of GET /v1/dials.
type Dials struct {
	Seq      uint64    `json:"seq"` // of the latest event
	Dialing  []Dialing `json:"dialing"`
	Attempts []Attempt `json:"attempts"` // oldest first
}

// Dialing is a dial in progress.
type Dialing struct {
	Address string           `json:"address"`
	NodeID  transport.NodeID `json:"node_id"`
	Stage   string           `json:"stage"` // as in Stage: the one that it is in
	Since   time.Time        `json:"since"`
	Source  string           `json:"source"` // where the address is from, as in KnownAddress
}

// Attempt is a dial, or a connection that came in.
type Attempt struct {
	Seq     uint64           `json:"seq"` // of its event
	Time    time.Time        `json:"time"`
	Kind    host.EventKind   `json:"kind"`
	Address string           `json:"address"`
	NodeID  transport.NodeID `json:"node_id,omitempty"` // left out if it is not known
	Inbound bool             `json:"inbound"`
	OK      bool             `json:"ok"`
	Stage   string           `json:"stage,omitempty"` // where it failed
	Reason  *Reason          `json:"reason,omitempty"`
	MS      float64          `json:"ms"`
	Stages  []Stage          `json:"stages"`           // as far as they are known; of a failure, the last one failed
	Source  string           `json:"source,omitempty"` // of a dial
	Remedy  string           `json:"remedy,omitempty"` // what to do about a failure
}

func attemptOf(e *host.Event) Attempt {
	out := Attempt{Seq: e.Seq, Time: e.Time, Kind: e.Kind, Address: e.Address, NodeID: e.ID, Inbound: e.Inbound,
		OK: e.Kind.Worked(), MS: millis(e.Duration), Stages: stagesOf(e.Stages), Source: e.Source}
	if len(e.Stages) > 0 && out.OK { // their sum, as the duration also has the answer to the handshake in it
		out.MS = 0
		for _, s := range out.Stages {
			out.MS += s.MS
		}
	}
	if !out.OK {
		out.Stage, out.Reason = e.Stage, reasonOf(e.Reason)
		out.Remedy = remedyFor(e.Reason, e.Inbound)
	}
	return out
}

// dialsNow returns the attempts after a number, at most the latest most of them; 0 means all.
func (s reads) dialsNow(since uint64, most int) Dials {
	journal := s.node.Watch.Journal()
	list, seq := journal.Attempts(since)
	if most > 0 {
		list = list[max(len(list)-most, 0):]
	}
	out := Dials{Seq: seq, Dialing: []Dialing{}, Attempts: make([]Attempt, len(list))}
	for i := range list {
		out.Attempts[i] = attemptOf(&list[i])
	}
	for _, d := range journal.Dialing() {
		out.Dialing = append(out.Dialing, Dialing{Address: d.Address, NodeID: d.ID, Stage: d.Stage, Since: d.Since,
			Source: d.Source})
	}
	return out
}

func (s reads) dials(w http.ResponseWriter, r *http.Request) {
	since, _, err := sinceIn(r)
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	Reply(w, http.StatusOK, s.dialsNow(since, 0))
}
