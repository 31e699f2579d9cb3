package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Bounds of a listing: the store may have a million peers.
const (
	defaultListed = 100
	mostListed    = 10_000
)

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	now, cancel := context.WithCancel(r.Context())
	cancel()
	if err := s.node.Watch.WaitListening(now); err != nil {
		Fail(w, http.StatusServiceUnavailable, errors.New("the node does not listen yet"))
		return
	}
	Reply(w, http.StatusOK, map[string]bool{"ok": true})
}

func (s reads) status(w http.ResponseWriter, r *http.Request) {
	out := s.statusNow(time.Now(), s.node.Links.Peers())
	out.Writes = s.writes(r)
	Reply(w, http.StatusOK, out)
}

// statusNow returns the state of the node, whose links are infos. Writes is each reader's own.
func (s reads) statusNow(now time.Time, infos []host.PeerInfo) Status {
	about, stats, budgets := s.node.About, peerstore.Totals(s.node.Store, now), s.node.Peers.Tally()
	recent := s.node.Watch.Journal().Recent()
	out := Status{
		NodeID: about.Self(), PeerID: about.PublicKey().PeerID(), Network: about.Network(), Moniker: about.Moniker(),
		Version: s.cfg.Version, BootID: s.boot,
		Listen: []string{}, Uptime: int64(now.Sub(s.started) / time.Second), Goroutines: runtime.NumGoroutine(),
		Store: StoreCounts{Known: stats.Known, Tried: stats.Tried, New: stats.New, Banned: stats.Banned},
		Limits: Limits{MaxInbound: budgets.MaxInbound, MaxOutbound: budgets.MaxOutbound, Guests: budgets.Guests,
			DialedGuests: budgets.DialedGuests},
		Recent:   Recent{Refused: recent.Refused, DialsFailed: recent.DialsFailed, Dials: recent.Dials},
		Observed: []Observed{}, Reachability: host.ReachabilityUnknown.String(), Findings: s.findings(now),
		Services: append([]string{}, slices.Sorted(maps.Keys(s.node.Services))...),
	}
	if s.node.Reachability != nil {
		out.Reachability = s.node.Reachability().String()
	}
	if s.node.Observed != nil {
		out.Observed = append(out.Observed, s.node.Observed()...)
	}
	out.Down, out.Quarantined = []Down{}, []Quarantined{}
	down, quarantined := s.node.Peers.Down(), s.node.Peers.Quarantined()
	out.Peers.Down, out.Store.Quarantined = len(down), len(quarantined)
	for i := range down[:min(len(down), maxAway)] {
		out.Down = append(out.Down, downOf(&down[i]))
	}
	for _, id := range quarantined[:min(len(quarantined), maxAway)] {
		st, _ := s.node.Peers.Status(id)
		out.Quarantined = append(out.Quarantined, Quarantined{id, st.Quarantined, st.Reason})
	}
	for _, a := range s.node.Watch.ListenAddrs() {
		out.Listen = append(out.Listen, a.String())
	}
	for _, p := range infos {
		if p.Inbound {
			out.Peers.Inbound++
		} else {
			out.Peers.Outbound++
		}
		if p.Trusted {
			out.Peers.Trusted++
		}
		if p.Guest {
			out.Peers.Guests++
		}
		out.Rates.Receive += p.ReceiveRate
		out.Rates.Send += p.SendRate
	}
	out.Rates = Rates{round(out.Rates.Receive), round(out.Rates.Send)}
	return out
}

func (s reads) peers(w http.ResponseWriter, r *http.Request) {
	q, err := peerQueryOf(r.URL.Query())
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	now, infos := time.Now(), s.node.Links.Peers()
	out := make([]Peer, len(infos))
	for i := range infos {
		out[i] = peerOf(&infos[i], now)
	}
	out, total := q.apply(out)
	w.Header().Set(totalCount, strconv.Itoa(total))
	Reply(w, http.StatusOK, out)
}

func (s reads) store(w http.ResponseWriter, r *http.Request) {
	limit := defaultListed
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostListed {
			Fail(w, http.StatusBadRequest, fmt.Errorf("limit %.20q: want a number from 1 to %d", text, mostListed))
			return
		}
		limit = n
	}
	now, out := time.Now(), []KnownPeer{}
	s.node.Store.Range(func(rec peerstore.Record) bool {
		out = append(out, knownOf(&rec, now))
		return len(out) < limit
	})
	Reply(w, http.StatusOK, out)
}

// bans lists all bans; the store bounds their number.
func (s reads) bans(w http.ResponseWriter, _ *http.Request) {
	out := []Ban{}
	for _, b := range s.node.Store.Bans(time.Now()) {
		out = append(out, banOf(b))
	}
	Reply(w, http.StatusOK, out)
}

func (s *Server) dial(w http.ResponseWriter, r *http.Request) {
	var in dialRequest
	if !read(w, r, &in) {
		return
	}
	a, err := transport.ParseAddress(in.Address)
	if err == nil && a.ID() == "" {
		err = fmt.Errorf("address %.200q names no node: put its id before an @, or /mconn/ID or /p2p/ID at the end",
			in.Address)
	}
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(dialTimeout + requestTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), dialTimeout)
	defer cancel()
	info, err := s.node.Links.Dial(ctx, a)
	if err != nil {
		Fail(w, http.StatusBadGateway, fmt.Errorf("dial %s: %w", a, err))
		return
	}
	for _, p := range s.node.Links.Peers() { // with why it is kept
		if p.ID == info.ID {
			info.Kept = p.Kept
		}
	}
	Reply(w, http.StatusOK, peerOf(&info, time.Now()))
}

func (s *Server) disconnect(w http.ResponseWriter, r *http.Request) {
	var in disconnectRequest
	if !read(w, r, &in) {
		return
	}
	id, err := transport.ParseNodeID(in.NodeID)
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	for _, p := range s.node.Links.Peers() {
		if p.ID == id {
			s.node.Links.Disconnect(id, muxer.CodeRequested, "an operator asked for it")
			Reply(w, http.StatusOK, disconnectRequest{NodeID: string(id)})
			return
		}
	}
	Fail(w, http.StatusNotFound, fmt.Errorf("%s: %w", id, host.ErrNotConnected))
}

func (s *Server) ban(w http.ResponseWriter, r *http.Request) {
	var in banRequest
	if !read(w, r, &in) {
		return
	}
	target, err := peerstore.ParseTarget(in.Target)
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	if err := s.forcible(target); err != nil && !in.Force {
		Fail(w, http.StatusConflict, err)
		return
	}
	now, until := time.Now(), time.Time{}
	if in.For != "" {
		d, err := time.ParseDuration(in.For)
		if err != nil || d <= 0 {
			Fail(w, http.StatusBadRequest,
				fmt.Errorf("for %.40q: want a duration such as 90m or 24h, or nothing for ever", in.For))
			return
		}
		until = now.Add(d)
	}
	if err := s.node.Peers.Ban(target, until, in.Reason); err != nil {
		ip := netip.Addr{}
		if target.Prefix.IsValid() {
			ip = target.Prefix.Addr()
		}
		if _, holds := s.node.Peers.Banned(target.ID, ip); holds { // only the disk failed
			Fail(w, http.StatusInternalServerError,
				fmt.Errorf("the ban holds until the node stops, but it could not be written: %w", err))
		} else {
			Fail(w, http.StatusBadRequest, err)
		}
		return
	}
	Reply(w, http.StatusOK, Ban{Target: target.String(), Since: now, Until: until, Reason: in.Reason})
}

func (s *Server) unban(w http.ResponseWriter, r *http.Request) {
	target, err := peerstore.ParseTarget(r.PathValue("target"))
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	was, err := s.node.Peers.Unban(target)
	switch {
	case err != nil:
		Fail(w, http.StatusInternalServerError,
			fmt.Errorf("the ban is lifted until the node stops, but that could not be written: %w", err))
	case !was:
		Fail(w, http.StatusNotFound, fmt.Errorf("%s is not banned", target))
	default:
		Reply(w, http.StatusOK, map[string]string{"target": target.String()})
	}
}

// reasonIn returns the typed reason in an error.
func reasonIn(err error) *Reason {
	var (
		ended   *host.DisconnectError
		refusal *handshake.Refusal
		failed  *handshake.StageError
	)
	switch {
	case errors.As(err, &ended):
		return reasonOf(ended)
	case errors.As(err, &refusal):
		return &Reason{Code: refusal.Code.String(), Remote: refusal.Remote, Limit: refusal.Limit, Text: err.Error()}
	case errors.As(err, &failed):
		return &Reason{Code: failed.Code.String(), Text: err.Error()}
	}
	return nil
}
