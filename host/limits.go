package host

import "time"

// Limits bound what peers may cost. A zero field means its default.
type Limits struct {
	// MessageMemory is how many bytes of messages may wait for services, of all peers and of those that have left. When
	// it is spent, the peer that holds most is cut. 0 means 256 MiB.
	MessageMemory int64
	// PeerOverflow is how many bytes beyond the ReceiveQueues of its channels one peer may fill before its connection
	// pauses. 0 means 1 MiB.
	PeerOverflow int64
	Dials        int           // dials and their handshakes in flight at once, at most; 0 means 16
	DialTimeout  time.Duration // of the transport's connect; 0 means 5 s
	DialStagger  time.Duration // between two addresses of one peer; 0 means 250 ms
	// PeerStreams and ProtocolStreams bound the streams that one link of a peer has open with our handlers, in all and
	// of one protocol. 0 means 512 and 256.
	PeerStreams, ProtocolStreams int
	// Grace is how long a link waits for the remote's first packet before it counts as established without one, on
	// wires where the ends do not confirm links. 0 means HandshakeConfig.Timeout, within which a remote refuses. A
	// remote that serves the link answers our first ping within a round trip, so the grace ends for silent ones only.
	Grace time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.MessageMemory <= 0 {
		l.MessageMemory = 256 << 20
	}
	if l.PeerOverflow <= 0 {
		l.PeerOverflow = 1 << 20
	}
	if l.Dials <= 0 {
		l.Dials = 16
	}
	if l.DialTimeout <= 0 {
		l.DialTimeout = 5 * time.Second
	}
	if l.DialStagger <= 0 {
		l.DialStagger = 250 * time.Millisecond
	}
	if l.PeerStreams <= 0 {
		l.PeerStreams = 512
	}
	if l.ProtocolStreams <= 0 {
		l.ProtocolStreams = 256
	}
	return l
}
