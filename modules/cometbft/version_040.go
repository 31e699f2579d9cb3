//go:build !cometbft038 && !cometbft1

package cometbft

// gaugeQueue reports what waits to be sent to a peer.
func (y *yard) gaugeQueue(p *peer, bytes, messages int) {
	y.metrics.PeerSendQueueSize.With("peer_id", string(p.ID())).Set(float64(messages))
}
