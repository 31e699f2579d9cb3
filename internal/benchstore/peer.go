package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
)

// peer is a peer that the books learn. Each book makes its own form of address from it.
type peer struct {
	key    [32]byte // of which ids are made
	ip     netip.Addr
	source int // the peer that reports it
}

// port is the port of all peers.
const port = 26656

// perSource is how many peers one peer reports.
const perSource = 100

// makePeers makes n peers with distinct public addresses, spread evenly over all networks.
func makePeers(n int) []peer {
	peers := make([]peer, 0, n)
	for i := uint32(0); len(peers) < n; i++ {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], i*2654435761) // odd, so no two are equal
		if !public(ip) {
			continue
		}
		peers = append(peers, peer{ip: netip.AddrFrom4(ip), key: sha256.Sum256(ip[:]), source: len(peers) / perSource})
	}
	return peers
}

// public reports whether an address is surely public: its first byte begins no special network.
func public(ip [4]byte) bool {
	switch ip[0] {
	case 0, 10, 100, 127, 169, 172, 192, 198, 203:
		return false
	}
	return ip[0] < 224
}

// hexID is a node id as CometBFT has it.
func (p *peer) hexID() string { return hex.EncodeToString(p.key[:20]) }
