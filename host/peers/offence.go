package peers

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Misdeeds are counted in points, which are forgotten at the pace of scores: one in five minutes. Keys cost nothing, so
// the IP of a banned peer is charged as well. But many honest peers may share it (a NAT, a proxy, a container bridge),
// so it is never banned: while it is suspect, few links of keys that we do not know are taken from there at once.
const (
	disconnectAt = 50           // points at which each further misdeed ends the link
	banAt        = 100          // points at which the peer is banned
	ipPoints     = 34           // what each banned peer costs its IP
	suspectAt    = 2 * ipPoints // points at which an IP is suspect
	newcomers    = 2            // links of new peers at once from a suspect IP
	newFor       = 5 * time.Minute

	firstBan    = 24 * time.Hour // of a peer; each further ban is twice as long as the one before
	longestBan  = 30 * 24 * time.Hour
	forgiveness = 30 * 24 * time.Hour // after the end of a ban, the next one counts as the first
	maxOffences = 448                 // peers and IPs that are remembered: see offences.makeRoom
)

// offence is what a peer or an IP has done.
type offence struct {
	group  string    // the network group that it came from; "" without an IP
	first  time.Time // zero: in an earlier run
	points int
	since  time.Time // up to when their decay is accounted for
	bans   int       // in a row, each before the last one was forgiven
	until  time.Time // when the last one ends
}

// offences are remembered by node id or IP.
type offences map[string]*offence

// misdeed counts a misdeed and does what follows: it ends the link, and returns the ban that is due.
func (m *Manager) misdeed(id transport.NodeID, points int, b Behaviour, now time.Time) (ban peerstore.Ban, due bool) {
	if o := m.offences[string(id)]; o != nil && o.until.After(now) {
		return ban, false // it is banned, and its link about to end
	}
	var ip, group netip.Prefix
	hasIP := false
	if p := m.peers[id]; p != nil && p.preferred != nil {
		ip, group, hasIP = ipKeys(p.preferred.ip)
	}
	o := m.offences.add(string(id), group, points, now)
	if m.exempt(id) || o.points < banAt && b.Severity < Ban {
		if b.Severity >= Disconnect || o.points >= disconnectAt {
			if m.evictor.request(id, &DisconnectError{Code: muxer.CodeMisbehaved, Reason: b.Reason}) {
				m.offences.save(m.store, now)
			}
		}
		return ban, false
	}
	ban = peerstore.Ban{Target: peerstore.Target{ID: id}, Until: o.ban(firstBan, now), Reason: b.Reason}
	if hasIP && !m.cfg.shares(ip) {
		m.offences.add(ip.String(), group, ipPoints, now)
	}
	m.offences.save(m.store, now)
	return ban, true
}

// shares reports whether the operator says that many share an IP.
func (c *Config) shares(ip netip.Prefix) bool {
	return slices.ContainsFunc(c.SharedNetworks, ip.Overlaps)
}

// checkSuspect refuses one newcomer too many from a suspect IP.
func (ad *admission) checkSuspect(a Arrival, now time.Time) *DisconnectError {
	ip, _, ok := ipKeys(a.IP)
	o := ad.offences[ip.String()]
	if !ok || o == nil {
		return nil
	}
	if points, _ := decay(o.points, o.since, now); points < suspectAt {
		return nil
	}
	if rec, _ := ad.store.Get(a.ID); !rec.LastConnected.IsZero() {
		return nil
	}
	n := 0
	for _, l := range ad.links {
		if l.newcomer && now.Sub(l.arrived) < newFor && ip.Contains(l.ip.Unmap().WithZone("")) {
			n++
		}
	}
	if n < newcomers {
		return nil
	}
	return &DisconnectError{Code: muxer.CodeTooManyPeers, Limit: "peers.shared_networks",
		Reason: "peers from " + ip.String() + " were banned, so few new ones from there are taken at once"}
}

// add counts points, saturating at banAt.
func (s offences) add(key string, group netip.Prefix, points int, now time.Time) *offence {
	o := s[key]
	if o == nil {
		if len(s) >= maxOffences {
			s.makeRoom(now)
		}
		o = &offence{first: now}
		s[key] = o
	}
	if group.IsValid() {
		o.group = group.String()
	}
	o.points, o.since = decay(o.points, o.since, now)
	o.points = min(o.points+min(points, banAt), banAt)
	return o
}

// makeRoom forgets what is past, or else the latest offence of the network group that has the most: so no number of
// throwaway keys washes away what an older one has done, nor keeps those of other groups out.
func (s offences) makeRoom(now time.Time) {
	maps.DeleteFunc(s, func(_ string, o *offence) bool { return o.weight(now) == 0 })
	if len(s) < maxOffences {
		return
	}
	perGroup := map[string]int{}
	for _, o := range s {
		perGroup[o.group]++
	}
	delete(s, slices.MaxFunc(slices.Sorted(maps.Keys(s)), func(a, b string) int {
		return cmp.Or(cmp.Compare(perGroup[s[a].group], perGroup[s[b].group]), s[a].first.Compare(s[b].first))
	}))
}

// ban counts a ban and returns its end. It pays the points.
func (o *offence) ban(first time.Duration, now time.Time) time.Time {
	if now.Sub(o.until) > forgiveness {
		o.bans = 0
	}
	length := longestBan
	if o.bans < 10 { // 2^10 days are beyond it
		length = min(first<<o.bans, longestBan)
	}
	o.bans++
	o.points, o.until = 0, now.Add(length)
	return o.until
}

// weight orders offences; one of 0 is forgotten.
func (o *offence) weight(now time.Time) int {
	points, _ := decay(o.points, o.since, now)
	if now.Sub(o.until) > forgiveness {
		return points
	}
	return points + o.bans*banAt
}

// drop forgets the offences of a target whose ban an operator lifts. It reports whether there were any.
func (s offences) drop(t peerstore.Target) bool {
	key := string(t.ID)
	if t.Prefix.IsValid() {
		key = t.Prefix.String()
	}
	_, had := s[key]
	delete(s, key)
	return had
}

// savedOffence is an offence as the store has it; times are Unix seconds.
type savedOffence struct {
	Points int    `json:"p,omitempty"`
	Since  int64  `json:"s,omitempty"`
	Bans   int    `json:"b,omitempty"`
	Until  int64  `json:"u,omitempty"`
	Group  string `json:"g,omitempty"`
}

// save writes the offences into the store. It is called when a link ends or a ban begins for one: losing the last few
// points is no harm.
func (s offences) save(store peerstore.Store, now time.Time) {
	saved := make(map[string]savedOffence, len(s))
	for key, o := range s {
		if o.weight(now) > 0 {
			saved[key] = savedOffence{o.points, o.since.Unix(), o.bans, o.until.Unix(), o.group}
		}
	}
	b, _ := json.Marshal(saved) // numbers and strings cannot fail
	store.SetMeta(metaOffences, b)
}

// readOffences reads what save wrote. What cannot be read is forgotten.
func readOffences(b []byte, now time.Time) offences {
	var saved map[string]savedOffence
	out := offences{}
	if json.Unmarshal(b, &saved) != nil {
		return out
	}
	for _, key := range slices.Sorted(maps.Keys(saved)) {
		s := saved[key]
		o := &offence{points: min(max(s.Points, 0), banAt), since: time.Unix(s.Since, 0),
			bans: min(max(s.Bans, 0), 100), until: time.Unix(s.Until, 0), group: s.Group}
		if o.weight(now) > 0 && len(out) < maxOffences {
			out[key] = o
		}
	}
	return out
}
