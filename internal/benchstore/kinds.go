package main

// kinds are the books, ours first: in memory, and then on disk, which the others are compared with.
var kinds = []kind{
	{name: "ours in memory", ours: true, most: 1 << 30, open: openMemory, lacks: set(opWritten, opSave, opLoad)},
	{name: "ours", ours: true, most: 1 << 30, disk: true, open: openBadger, lacks: set(opSave)},
	{name: "CometBFT v0.40.0", most: 1 << 30, open: openComet, lacks: set(opWritten)},
	{name: "btcd v0.26.2", most: 1 << 30, open: openBtcd, lacks: set(opWritten)},
	{name: "Tendermint v0.35.9", most: 1 << 30, visit: visitTendermint},
	{name: "go-libp2p v0.51.0 in memory", most: 1 << 30, open: openLibp2pMemory,
		lacks: set(opCycle, opPick, opAdvertise, opWritten, opSave, opLoad)},
	{name: "go-libp2p v0.51.0 on LevelDB", most: 100_000, disk: true, open: openLibp2pStore,
		lacks: set(opCycle, opPick, opAdvertise, opWritten, opSave)},
}

func set(names ...string) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		out[n] = true
	}
	return out
}
