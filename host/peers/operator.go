package peers

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// operator holds the peers that the configuration names. It does not change after New.
type operator struct {
	trusted, unconditional, private map[transport.NodeID]bool
}

func newOperator(cfg *Config, self transport.NodeID) operator {
	o := operator{map[transport.NodeID]bool{}, map[transport.NodeID]bool{}, map[transport.NodeID]bool{}}
	for _, a := range cfg.Persistent {
		o.trusted[a.ID()] = true
	}
	for _, id := range cfg.Unconditional {
		o.unconditional[id] = true
	}
	for _, id := range cfg.Private {
		o.private[id] = true
	}
	delete(o.trusted, self) // operators give one list to all their nodes
	return o
}

// exempt reports whether no limit refuses the peer and only an explicit request evicts it.
func (o *operator) exempt(id transport.NodeID) bool { return o.trusted[id] || o.unconditional[id] }

// configure brings the store's flags into line with the configuration. Trusted peers become due at once.
func (t *table) configure(now time.Time) {
	known := map[transport.NodeID]bool{}
	for _, set := range []map[transport.NodeID]bool{t.trusted, t.unconditional, t.private} {
		for id := range set {
			known[id] = true
		}
	}
	for _, id := range splitIDs(t.store.Meta(metaConfigured)) {
		if !known[id] {
			t.store.Update(id, func(rec *peerstore.Record) {
				rec.Trusted, rec.Unconditional, rec.Private = false, false, false
			})
		}
	}
	ids := slices.Sorted(maps.Keys(known))
	for _, id := range ids {
		t.store.Ensure(id, now, func(rec *peerstore.Record) {
			rec.Trusted, rec.Unconditional, rec.Private = t.trusted[id], t.unconditional[id], t.private[id]
			if !rec.Trusted {
				return
			}
			// configured ones first, so that they stay if the store keeps only so many
			var addrs []peerstore.AddressRecord
			for _, a := range t.cfg.Persistent {
				if a.ID() == id {
					addrs = append(addrs, configured(rec, a, now))
				}
			}
			for _, a := range rec.Addresses {
				if !slices.Contains(t.cfg.Persistent, a.Address) {
					addrs = append(addrs, a)
				}
			}
			rec.Addresses = addrs
			rec.NotBefore, rec.Quarantined = time.Time{}, time.Time{}
		})
	}
	t.store.SetMeta(metaConfigured, joinIDs(ids))
}

// configured returns the record of a configured address, due at once, with what is known of it already.
func configured(rec *peerstore.Record, a transport.Address, now time.Time) peerstore.AddressRecord {
	ar := peerstore.AddressRecord{Address: a, FirstHeard: now}
	if old := addressOf(rec, a); old != nil {
		ar = *old
	}
	ar.Source, ar.LastHeard, ar.NotBefore = peerstore.Source{Kind: peerstore.SourceConfig}, now, time.Time{}
	return ar
}

// Names of the values that a Manager keeps in the store.
const (
	// ids with configured flags, to take the flags back when the configuration changes
	metaConfigured = "host/configured"
	metaAnchors    = "host/anchors"  // anchors.saved
	metaGuests     = "host/guests"   // guests.named
	metaOffences   = "host/offences" // offences
)

func splitIDs(b []byte) []transport.NodeID {
	var out []transport.NodeID
	for line := range strings.Lines(string(b)) {
		if id, err := transport.ParseNodeID(strings.TrimSpace(line)); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// joinIDs writes one id a line, as many as a value in the store may hold.
func joinIDs(ids []transport.NodeID) []byte {
	const most = 60 << 10 // bytes; peerstore.Store.SetMeta takes 64 KiB
	var b []byte
	for _, id := range ids {
		if len(b)+len(id)+1 > most {
			break
		}
		b = append(append(b, id...), '\n')
	}
	return b
}
