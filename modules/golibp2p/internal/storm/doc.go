// Package storm tests hosts of ours together with hosts of go-libp2p's own, with the programs that people run over
// them: all connect to all at once, peers hang up and dial again, gossipsub crosses rings of both kinds, a DHT looks up
// over several hops, bitswap moves 100 MB. `make golibp2p-storm` runs the long forms.
package storm
