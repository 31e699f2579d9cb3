// Package defence names the countermeasures of the peer store against eclipse attacks, so that a simulation can switch off one at a time and show what each is
// worth. (Those of the peer manager are in its configuration.) No user of the library can switch one off: this package is internal, and all are on in its zero value.
package defence

// Off is the set of countermeasures that are switched off. The zero value is what every node runs: none.
type Off struct {
	Buckets         bool // placing addresses in the buckets of their group and source group: without, whoever tells the most addresses has the most places
	Crowds          bool // choosing a network group first, all alike, and then one of its peers: without, whoever has the most peers is chosen the most
	Halves          bool // choosing from tried and new by turns: without, from all alike
	Quotas          bool // the bound on what one source may contribute
	TestBeforeEvict bool // dialing the old address before a new one takes its place in a tried bucket: without, the newer one wins
}
