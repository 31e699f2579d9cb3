package host

import "context"

// Subscription delivers the latest state per peer, coalesced: a peer that went down and up again since the last Next is reported once (as a
// down followed by an up if the subscriber had seen it up). A slow subscriber delays nobody and costs at most one entry a peer.
type Subscription struct{}

// Next waits for the next update. It returns an error when ctx, or the context of Subscribe, ends.
func (s *Subscription) Next(ctx context.Context) (PeerUpdate, error) { panic("unwritten") }

// Close ends the subscription; it may be called twice.
func (s *Subscription) Close() {}
