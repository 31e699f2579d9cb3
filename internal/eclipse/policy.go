package eclipse

import (
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
)

// Policy is how the victim keeps and chooses peers. The zero Policy has all countermeasures.
type Policy struct {
	Name string
	Flat flat // a baseline instead of our store, with no countermeasure of the peer manager either; 0 is ours

	AnyGroup, NoAnchors, NoFeelers, NoChurn bool // countermeasures of the peer manager that are switched off
}

// Policies returns the compared policies, ours first and the baselines last.
func Policies() []Policy {
	return []Policy{
		{Name: "all countermeasures"},
		{Name: "without one link a group", AnyGroup: true},
		{Name: "without anchors", NoAnchors: true},
		{Name: "without feelers", NoFeelers: true},
		{Name: "without churn", NoChurn: true},
		{Name: "random, no buckets", Flat: flatRandom},
		{Name: "rank first", Flat: flatRanked},
	}
}

// store makes the victim's store.
func (p Policy) store(seed uint64) peerstore.Store {
	if p.Flat != 0 {
		return newFlatStore(p.Flat, seed)
	}
	return memory.NewSeeded(peerstore.Limits{}, seed)
}

// config returns the peer manager's configuration.
func (p Policy) config() peers.Config {
	var cfg peers.Config
	if p.Flat != 0 || p.AnyGroup {
		cfg.OutboundPerGroup = -1
	}
	if p.Flat != 0 || p.NoAnchors {
		cfg.Anchors = -1
	}
	if p.Flat != 0 || p.NoFeelers {
		cfg.Feelers = -1
	}
	if p.Flat != 0 || p.NoChurn {
		cfg.Churn = -1
	}
	return cfg
}
