package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Bounds of what is told of the known peers.
const (
	mostWaiting  = 1000
	mostGroups   = 50
	mostNodes    = 200
	mostEdges    = 2000
	scanPatience = 30 * time.Second // for a look at all known peers, and at most for another one before it

	forgetPatience = 5 * time.Second // for the end of the link of a peer that is forgotten
)

// Kinds of Waiting.
const (
	WaitBackoff    = "backoff"
	WaitQuarantine = "quarantine"
)

// Waiting is a peer that is not dialed for now: one entry of GET /v1/waiting.
type Waiting struct {
	NodeID   transport.NodeID `json:"node_id"`
	Address  string           `json:"address"`
	Kind     string           `json:"kind"` // WaitBackoff, or WaitQuarantine: it is not advertised either
	Code     string           `json:"code"` // as in Reason, as far as it is known
	Reason   string           `json:"reason"`
	Failures uint32           `json:"failures"` // dials in a row
	Until    time.Time        `json:"until"`
}

// waitingOf returns how a peer waits at now; false if it does not.
func waitingOf(rec *peerstore.Record, now time.Time) (w Waiting, ok bool) {
	until := peers.NextTry(rec)
	if rec.Busy || !until.After(now) || len(rec.Addresses) == 0 {
		return w, false
	}
	latest := slices.MaxFunc(rec.Addresses, func(a, b peerstore.AddressRecord) int {
		return a.LastDialed.Compare(b.LastDialed)
	})
	w = Waiting{NodeID: rec.ID, Address: latest.Address.String(), Kind: WaitBackoff, Reason: oneLine(latest.LastError),
		Failures: max(rec.Failures, latest.Failures), Until: until}
	if rec.Quarantined.After(now) {
		w.Kind, w.Reason = WaitQuarantine, oneLine(rec.QuarantineReason)
	}
	w.Code = codeIn(w.Reason, w.Kind)
	return w, true
}

// codeIn finds the code of a reason in a text of the store, which has no more than that.
func codeIn(text, kind string) string {
	for word := range strings.SplitSeq(text, ": ") {
		if slices.Contains(codeNames, word) && word != handshakeTransport {
			return word
		}
	}
	switch {
	case strings.Contains(text, "not done within") || strings.Contains(text, "i/o timeout") ||
		strings.Contains(text, "deadline exceeded"):
		return muxer.CodeTimeout.String()
	case strings.Contains(text, "hung up"):
		return muxer.CodeRemoteClosed.String()
	case strings.HasPrefix(text, handshakeTransport):
		return muxer.CodeTransport.String()
	case kind == WaitQuarantine:
		return muxer.CodeWrongNetwork.String()
	}
	return muxer.CodeUnknown.String()
}

// handshakeTransport is the name of a stage and of a code.
const handshakeTransport = "transport"

var codeNames = func() (names []string) {
	for c := muxer.CodeUnknown; c <= muxer.CodeNoSignature; c++ {
		names = append(names, c.String())
	}
	return names
}()

// scan calls fn with all known peers, one scan at a time: a store may have a million. It reports false if the reader
// has gone, or has been told that others scan.
func (s reads) scan(w http.ResponseWriter, r *http.Request, fn func(*peerstore.Record) bool) bool {
	ctx, cancel := context.WithTimeout(r.Context(), scanPatience)
	defer cancel()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scanPatience + requestTimeout))
	select {
	case s.scans <- struct{}{}:
		defer func() { <-s.scans }()
	case <-ctx.Done():
		Fail(w, http.StatusServiceUnavailable, errors.New("other requests look at all known peers; try again"))
		return false
	}
	n := 0
	s.node.Store.Range(func(rec peerstore.Record) bool {
		n++
		return (n%1024 != 0 || ctx.Err() == nil) && fn(&rec)
	})
	if ctx.Err() != nil {
		Fail(w, http.StatusServiceUnavailable, errors.New("the look at all known peers took too long"))
		return false
	}
	return true
}

func (s reads) waiting(w http.ResponseWriter, r *http.Request) {
	now, list, total := time.Now(), []Waiting{}, 0
	soonest := func(a, b Waiting) int { return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.NodeID, b.NodeID)) }
	cut := func() {
		slices.SortFunc(list, soonest)
		list = list[:min(len(list), mostWaiting)]
	}
	if !s.scan(w, r, func(rec *peerstore.Record) bool {
		if it, ok := waitingOf(rec, now); ok {
			total++
			if list = append(list, it); len(list) == 4*mostWaiting {
				cut()
			}
		}
		return true
	}) {
		return
	}
	cut()
	w.Header().Set(totalCount, strconv.Itoa(total))
	Reply(w, http.StatusOK, list)
}

// clear ends a peer's backoff and quarantine.
func (s *Server) clear(w http.ResponseWriter, r *http.Request) {
	var in disconnectRequest
	if !read(w, r, &in) {
		return
	}
	id, err := transport.ParseNodeID(in.NodeID)
	switch {
	case err != nil:
		Fail(w, http.StatusBadRequest, err)
	case !s.node.Peers.Clear(id):
		Fail(w, http.StatusNotFound, fmt.Errorf("no peer %s is known", id))
	default:
		Reply(w, http.StatusOK, disconnectRequest{NodeID: string(id)})
	}
}

// forget removes a peer from the store; first it ends the peer's link, if the request says so.
func (s *Server) forget(w http.ResponseWriter, r *http.Request) {
	var in forgetRequest
	if !read(w, r, &in) {
		return
	}
	id, err := transport.ParseNodeID(in.Peer)
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	if status, err := s.mayForget(id); err != nil {
		Fail(w, status, err)
		return
	}
	if st, _ := s.node.Peers.Status(id); in.Disconnect && st.LinkID != 0 {
		s.node.Links.Disconnect(id, muxer.CodeRequested, "an operator lets the node forget it")
		ctx, cancel := context.WithTimeout(r.Context(), forgetPatience)
		_ = s.node.Links.WaitDown(ctx, id) // if it is still there, that is said now
		cancel()
	}
	if st, _ := s.node.Peers.Status(id); st.LinkID != 0 || st.State == peers.StateDialing {
		Fail(w, http.StatusConflict, fmt.Errorf("%s is linked or being dialed: end that first", id))
		return
	}
	s.node.Store.Remove(id)
	Reply(w, http.StatusOK, in)
}

// mayForget returns why a peer is not forgotten, whether it is linked or not, with the HTTP status of that.
func (s *Server) mayForget(id transport.NodeID) (int, error) {
	rec, known := s.node.Store.Get(id)
	switch {
	case !known:
		return http.StatusNotFound, fmt.Errorf("no peer %s is known", id)
	case rec.Trusted || rec.Unconditional || rec.Private:
		return http.StatusConflict, fmt.Errorf("%s has a role: take it back first (switchyard protect --off, or "+
			"DELETE /v1/protect/ID), or out of the configuration", id)
	case slices.ContainsFunc(rec.Addresses, func(a peerstore.AddressRecord) bool { return a.Source.Configured() }):
		return http.StatusConflict, fmt.Errorf("%s is named by the configuration, which would bring it back", id)
	}
	return 0, nil
}
