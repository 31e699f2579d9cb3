package host

import "time"

// Limits bound what peers may cost. A zero field means its default.
type Limits struct {
	MessageMemory int64         // bytes of messages held for all peers; 0 means an eighth of the memory, at least 64 MiB
	PeerOverflow  int64         // bytes beyond its channels' ReceiveQueues that one peer may fill before its connection pauses; 0 means 1 MiB
	Dials         int           // handshakes that we start, in flight at once; 0 means 16
	DialTimeout   time.Duration // TCP connect; 0 means 5 s
	DialStagger   time.Duration // between two addresses of one peer; 0 means 250 ms
	Grace         time.Duration // before a link without an accept message counts as ready; 0 means 500 ms
}
