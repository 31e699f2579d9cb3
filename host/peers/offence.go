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
// the IP of a banned peer is charged as well.
const (
	disconnectAt = 50  // points at which each further misdeed ends the link
	banAt        = 100 // points at which the peer is banned
	ipPoints     = 34  // what each banned peer costs its IP: the third one within three hours bans the IP

	firstBan    = 24 * time.Hour // of a peer; each further ban is twice as long as the one before
	firstIPBan  = time.Hour      // of an IP, which many may share
	longestBan  = 30 * 24 * time.Hour
	forgiveness = 30 * 24 * time.Hour // after the end of a ban, the next one counts as the first
	maxOffences = 512                 // peers and IPs that are remembered; those with the least go first
)

// offence is what a peer or an IP has done.
type offence struct {
	points int
	since  time.Time // up to when their decay is accounted for
	bans   int       // in a row, each before the last one was forgiven
	until  time.Time // when the last one ends
}

// offences are remembered by node id or IP.
type offences map[string]*offence

// misdeed counts a misdeed and does what follows: it ends the link, and returns the bans that are due.
func (m *Manager) misdeed(id transport.NodeID, points int, b Behaviour, now time.Time) []peerstore.Ban {
	if o := m.offences[string(id)]; o != nil && o.until.After(now) {
		return nil // it is banned, and its link about to end
	}
	o := m.offences.add(string(id), points, now)
	if m.exempt(id) || o.points < banAt && b.Severity < Ban {
		if b.Severity >= Disconnect || o.points >= disconnectAt {
			if m.evictor.request(id, &DisconnectError{Code: muxer.CodeMisbehaved, Reason: b.Reason}) {
				m.offences.save(m.store, now)
			}
		}
		return nil
	}
	bans := []peerstore.Ban{{Target: peerstore.Target{ID: id}, Until: o.ban(firstBan, now), Reason: b.Reason}}
	if p := m.peers[id]; p != nil && p.preferred != nil {
		if ip, _, ok := ipKeys(p.preferred.ip); ok && !m.holdsExempt(ip) {
			if o := m.offences.add(ip.String(), ipPoints, now); o.points >= banAt {
				bans = append(bans, peerstore.Ban{Target: peerstore.Target{Prefix: ip},
					Until: o.ban(firstIPBan, now), Reason: "several peers from there were banned"})
			}
		}
	}
	m.offences.save(m.store, now)
	return bans
}

// holdsExempt reports whether a trusted or unconditional peer is linked from the network, or known to be there.
func (t *table) holdsExempt(net netip.Prefix) bool {
	for _, ids := range []idSet{t.trusted, t.unconditional} {
		for id := range ids {
			if p := t.peers[id]; p != nil && p.preferred != nil && net.Contains(p.preferred.ip.Unmap()) {
				return true
			}
			rec, _ := t.store.Get(id)
			for _, a := range rec.Addresses {
				if ip, ok := a.Address.IP(); ok && net.Contains(ip.Unmap()) {
					return true
				}
			}
		}
	}
	return false
}

// add counts points, saturating at banAt. If there is no room, the least offence is forgotten.
func (s offences) add(key string, points int, now time.Time) *offence {
	o := s[key]
	if o == nil {
		if len(s) >= maxOffences {
			delete(s, slices.MinFunc(slices.Sorted(maps.Keys(s)), func(a, b string) int {
				return cmp.Compare(s[a].weight(now), s[b].weight(now))
			}))
		}
		o = &offence{}
		s[key] = o
	}
	o.points, o.since = decay(o.points, o.since, now)
	o.points = min(o.points+min(points, banAt), banAt)
	return o
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
	Points int   `json:"p,omitempty"`
	Since  int64 `json:"s,omitempty"`
	Bans   int   `json:"b,omitempty"`
	Until  int64 `json:"u,omitempty"`
}

// save writes the offences into the store. It is called when a link ends or a ban begins for one: losing the last few
// points is no harm.
func (s offences) save(store peerstore.Store, now time.Time) {
	saved := make(map[string]savedOffence, len(s))
	for key, o := range s {
		if o.weight(now) > 0 {
			saved[key] = savedOffence{o.points, o.since.Unix(), o.bans, o.until.Unix()}
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
			bans: min(max(s.Bans, 0), 100), until: time.Unix(s.Until, 0)}
		if o.weight(now) > 0 && len(out) < maxOffences {
			out[key] = o
		}
	}
	return out
}
