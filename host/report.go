package host

import (
	"context"
	"log/slog"
	"strings"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Bounds of the reporter. Together its lines stay well below 1,000 an hour, whatever remotes do.
const (
	checkInterval = 10 * time.Second
	sameCause     = time.Hour // before a cause is said again
	maxCauses     = 200       // that are remembered
)

// reporter tells the log what an operator wants to know of the node's peers: at level info the links and bans that
// begin and end, at level warn what needs attention, once a cause and then hourly.
type reporter struct {
	host   *Host
	log    *slog.Logger
	health *Health

	links, trustedLinks, bans, warnings allowance

	causes  map[string]*cause
	unmoved map[transport.NodeID]bool // peers whose links could not move
}

// cause is what a warning is about.
type cause struct {
	said  time.Time
	times int // that it happened since
}

// allowance lets a few lines pass at once, and then one in a while.
type allowance struct {
	burst  int
	every  time.Duration
	used   int
	since  time.Time // up to when used is accounted for
	unsaid int
}

// take reports whether a line may be written now, and how many were not since the last one.
func (a *allowance) take(now time.Time) (unsaid int, ok bool) {
	if free := int(now.Sub(a.since) / a.every); free > 0 {
		a.used, a.since = max(a.used-free, 0), a.since.Add(time.Duration(free)*a.every)
	}
	if a.used >= a.burst {
		a.unsaid++
		return 0, false
	}
	a.used++
	unsaid, a.unsaid = a.unsaid, 0
	return unsaid, true
}

func newReporter(h *Host) *reporter {
	now := time.Now()
	return &reporter{
		host: h, log: h.log, health: NewHealth(h), causes: map[string]*cause{}, unmoved: map[transport.NodeID]bool{},
		links:        allowance{burst: 60, every: 15 * time.Second, since: now},
		trustedLinks: allowance{burst: 60, every: 30 * time.Second, since: now},
		bans:         allowance{burst: 20, every: time.Minute, since: now},
		warnings:     allowance{burst: 100, every: 30 * time.Second, since: now},
	}
}

// run works until ctx ends.
func (r *reporter) run(ctx context.Context, events <-chan Event) {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	last := time.Now()
	r.resolveNames(ctx, last)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			r.event(&e)
		case <-tick.C:
			now := time.Now()
			r.check(now, now.Sub(last))
			last = now
			r.resolveNames(ctx, now)
		case <-ctx.Done():
			return
		}
	}
}

// event reports what happened to a connection.
func (r *reporter) event(e *Event) {
	r.health.Note(e)
	switch e.Kind {
	case EventUp:
		r.forget("unlinked " + string(e.ID) + " ")
		r.link("peer up", e)
	case EventDown:
		if e.Reason.Code != muxer.CodeDuplicate {
			r.link("peer down", e)
		}
	case EventMoved:
		r.moved(e)
	case EventMoveFailed:
		r.moveFailed(e)
	case EventBan, EventUnban:
		if unsaid, ok := r.bans.take(e.Time); ok {
			attrs := []any{slog.String("target", e.Address)}
			if e.Reason != nil {
				attrs = append(attrs, slog.String("reason", e.Reason.Reason))
			}
			r.log.Info(string(e.Kind), withUnsaid(attrs, unsaid)...)
		}
	case EventDialFailed, EventRefused:
		r.unlinked(e)
	}
}

func (r *reporter) link(msg string, e *Event) {
	allowed := &r.links
	if st, _ := r.host.peers.Status(e.ID); st.Trusted {
		allowed = &r.trustedLinks
	}
	unsaid, ok := allowed.take(e.Time)
	if !ok {
		return
	}
	attrs := []any{slog.String("peer", string(e.ID)), slog.String("address", e.Address),
		slog.Bool("inbound", e.Inbound)}
	if e.Reason != nil {
		attrs = append(attrs, slog.Duration("after", e.Duration.Round(time.Millisecond)), slog.Any("reason", e.Reason))
	}
	r.log.Info(msg, withUnsaid(attrs, unsaid)...)
}

func withUnsaid(attrs []any, unsaid int) []any {
	if unsaid > 0 {
		attrs = append(attrs, slog.Int("lines_left_out", unsaid))
	}
	return attrs
}

// unlinked warns of a configured peer that could not be linked.
func (r *reporter) unlinked(e *Event) {
	rec, known := r.host.cfg.Store.Get(e.ID)
	if !known || !isConfigured(&rec) || r.host.links.of(e.ID) != nil {
		return
	}
	r.warn(e.Time, "unlinked "+string(e.ID)+" "+e.Reason.Code.String(), "a configured peer cannot be linked",
		slog.String("peer", string(e.ID)), slog.String("address", e.Address), slog.Any("reason", e.Reason),
		slog.Time("next_try", peers.NextTry(&rec)))
}

func isConfigured(rec *peerstore.Record) bool {
	if rec.Trusted {
		return true
	}
	for i := range rec.Addresses {
		if rec.Addresses[i].Source.Kind == peerstore.SourceConfig {
			return true
		}
	}
	return false
}

// check looks at what no event tells. passed is the time since the last check, whatever the wall clock says.
func (r *reporter) check(now time.Time, passed time.Duration) {
	n := r.health.look(now, passed)
	switch {
	case n.jump > 0:
		r.warn(now, "ahead", "the clock jumped ahead, or the machine slept", slog.Duration("by", n.jump))
	case n.jump < 0:
		r.warn(now, "back", "the clock jumped back", slog.Duration("by", n.jump))
	}
	if n.twin != "" {
		r.warn(now, "self", "another node uses our key: give it one of its own", slog.String("address", n.twin))
	}
	if !n.alone {
		r.forget("alone")
	} else if d, lastFailure := r.health.lonely(now); d > 0 {
		r.warn(now, "alone", "no peers", slog.Duration("for", d.Round(time.Second)),
			slog.Int("known", r.host.cfg.Store.Stats().Known), slog.String("last_failure", lastFailure))
	}
	if !n.minute {
		return
	}
	if n.known < n.before {
		r.warn(now, "forgotten", "many peers were forgotten", slog.Int("before", n.before), slog.Int("now", n.known))
	}
	for _, d := range r.host.peers.Down() {
		switch {
		case d.Ban.Target != (peerstore.Target{}):
			r.warn(now, "banned "+string(d.ID), "a persistent peer is banned", slog.String("peer", string(d.ID)),
				slog.String("target", d.Ban.Target.String()), slog.Time("until", d.Ban.Until),
				slog.String("reason", d.Ban.Reason))
		case d.Failures == 0 && d.LastError == "" && d.NextTry.After(now): // put off without a dial
			r.warn(now, "unlinked "+string(d.ID)+" untried", "a configured peer cannot be linked",
				slog.String("peer", string(d.ID)), slog.Any("addresses", d.Addresses),
				slog.String("reason", "this node cannot dial its addresses"), slog.Time("next_try", d.NextTry))
		}
	}
	for key, c := range r.causes {
		if now.Sub(c.said) >= 2*sameCause {
			delete(r.causes, key)
		}
	}
}

// resolveNames warns of a name of ours that does not resolve. It asks hourly.
func (r *reporter) resolveNames(ctx context.Context, now time.Time) {
	if !r.log.Enabled(ctx, slog.LevelWarn) {
		return
	}
	for _, m := range r.host.cfg.External {
		name := nameIn(m)
		if key := "name " + name; name != "" && r.due(now, key) {
			look, cancel := context.WithTimeout(ctx, checkInterval/2)
			_, err := transport.Resolve(look, r.host.resolver, "ip", name)
			cancel()
			r.causes[key] = &cause{said: now}
			if err != nil && ctx.Err() == nil {
				r.log.Warn("our own name does not resolve, so peers cannot dial it", slog.String("name", name),
					slog.Any("error", err))
			}
		}
	}
}

// nameIn returns the host name in a multiaddr; "" if it has none.
func nameIn(m ma.Multiaddr) string {
	for _, p := range [...]int{ma.P_DNS, ma.P_DNS4, ma.P_DNS6} {
		if name, err := m.ValueForProtocol(p); err == nil {
			return name
		}
	}
	return ""
}

// due reports whether a cause was not mentioned within the last hour, and there is room to remember it.
func (r *reporter) due(now time.Time, key string) bool {
	c := r.causes[key]
	return c == nil && len(r.causes) < maxCauses || c != nil && now.Sub(c.said) >= sameCause
}

// warn writes a warning unless its cause was mentioned within the last hour.
func (r *reporter) warn(now time.Time, key, msg string, attrs ...any) {
	c := r.causes[key]
	if !r.due(now, key) {
		if c != nil {
			c.times++
		} else {
			r.warnings.unsaid++
		}
		return
	}
	unsaid, ok := r.warnings.take(now)
	if !ok {
		return
	}
	if c != nil && c.times > 0 {
		attrs = append(attrs, slog.Int("times", c.times))
	}
	r.causes[key] = &cause{said: now}
	r.log.Warn(msg, withUnsaid(attrs, unsaid)...)
}

// forget lets the causes that begin so be mentioned at once when they come back.
func (r *reporter) forget(prefix string) {
	for key := range r.causes {
		if strings.HasPrefix(key, prefix) {
			delete(r.causes, key)
		}
	}
}
