//go:build cometbft038

package cometbft

// gaugeQueue reports what waits to be sent to a peer.
func (y *yard) gaugeQueue(p *peer, bytes, messages int) {
	y.metrics.PeerPendingSendBytes.With("peer_id", string(p.ID())).Set(float64(messages))
}
