package peers

import (
	"time"
)

// Reconfigure changes the settings of a Manager while it works: the roles and budgets of cfg. What is not decided at
// each use stays as it was: Dials, DialRate, the backoffs, Rank and Seed. Peers that become persistent are dialed at
// once; links that are no longer exempt from limits keep their slots; links beyond a budget that has shrunk end by way
// of EvictNext. An error names the setting that is wrong, and changes nothing.
func Reconfigure(m *Manager, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.cfg
	next.Persistent, next.Unconditional, next.Private = cfg.Persistent, cfg.Unconditional, cfg.Private
	next.SharedNetworks = cfg.SharedNetworks
	next.MaxOutbound, next.MaxInbound, next.Guests = cfg.MaxOutbound, cfg.MaxInbound, cfg.Guests
	next.DialedGuests = cfg.DialedGuests
	next.MaxUpgrades, next.OutboundPerGroup, next.Anchors = cfg.MaxUpgrades, cfg.OutboundPerGroup, cfg.Anchors
	next.ConnectionsPerIP, next.ConnectionsPerGroup = cfg.ConnectionsPerIP, cfg.ConnectionsPerGroup
	if next.Feelers != cfg.Feelers {
		next.Feelers = cfg.Feelers
		m.dialer.feelerAt = now.Add(m.dialer.unpredictable(cfg.Feelers))
	}
	if next.Churn != cfg.Churn {
		next.Churn = cfg.Churn
		m.dialer.churnAt = now.Add(m.dialer.unpredictable(cfg.Churn))
	}
	m.cfg = next
	m.operator = newOperator(&next, m.self)
	m.configure(now)
	for _, p := range m.sorted() {
		if m.exempt(p.id) {
			m.giveBack(p)
		}
	}
	m.evictor.fillSlots()
	m.evictor.wake.wake()
	m.dialWake.wake()
	return nil
}
