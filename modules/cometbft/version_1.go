//go:build cometbft1

package cometbft

import (
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/version"
)

// Version is the version of CometBFT that this build has.
const Version = version.CMTSemVer

type queryRequest = abci.QueryRequest

// peerCount is empty: CometBFT 1.0 does not count by peer.
type peerCount struct{}

func (*yard) countPeer(*peer, byte, bool, int) {}

// gaugeQueue reports what waits to be sent to a peer.
func (y *yard) gaugeQueue(p *peer, bytes, messages int) {
	y.metrics.PeerPendingSendBytes.With("peer_id", string(p.ID())).Set(float64(bytes))
}
