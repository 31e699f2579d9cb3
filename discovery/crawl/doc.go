// Package crawl maps a network by its own wire: it visits each node as a peer does, asks it once for the addresses that
// it knows (peer exchange), hangs up, and goes on with what it has heard. It needs no host, and no RPC of the nodes.
//
// It is polite. It dials an IP (an IPv6 /64) at most once in 30 s and a public /24 once a second, holds a link for ten
// seconds at most, asks once a link, says goodbye, and states a name by which operators can tell it. It dials no
// private address unless that is allowed, serves nothing and passes nothing on.
//
// It is bounded. An answer counts at most 250 addresses, of which 64 new ones are visited; the rest waits until
// everything else is done, and is visited only if the node that told it has told of nodes that exist. Nodes, addresses
// of a node, dials and time have bounds, too, and what exceeds them is counted.
//
// The journal is the map: one Visit a line. A Crawler that has read the journal of an earlier one (Replay) goes on
// where that stopped, and Read makes a Map of a journal without a network. Map has the writers: JSON lines, CSV, DOT,
// GraphML, a list of peers, and one HTML page.
package crawl

import "time"

// ChannelID is the channel of peer exchange (CometBFT p2p/pex/pex_reactor.go, PexChannel; discovery/pex).
const ChannelID = 0x00

const (
	// maxMessage holds CometBFT's largest answer: it allows 250 addresses of 256 bytes (64,000 bytes).
	maxMessage = 64 << 10
	// maxTaken bounds the addresses that we read from an answer (CometBFT p2p/pex/params.go, maxGetSelection).
	maxTaken = 250

	// DefaultWorkers and MaxWorkers are how many visits are made at once.
	DefaultWorkers = 32
	MaxWorkers     = 64
	// DefaultTimeout bounds a dial, and a handshake.
	DefaultTimeout = 5 * time.Second
	// DefaultMaxDials and DefaultMaxTime end a crawl that nothing else ends.
	DefaultMaxDials = 50_000
	DefaultMaxTime  = time.Hour

	// perIP and perNetwork are the least time between two dials to an IP, and to a public /24 (IPv6: /48).
	perIP      = 30 * time.Second
	perNetwork = time.Second
	// linkTime is how long a link may last. answerTime of it is for the answer.
	linkTime   = 10 * time.Second
	answerTime = 6 * time.Second
	// A visit that fails is tried again after firstPause, then after twice that, until it was tried maxTries times.
	firstPause = perIP
	maxTries   = 3
	// secondDial is the pause before the second dial of the visit that learns the network.
	secondDial = 500 * time.Millisecond

	// newPerSource is how many new addresses of one node are visited, and again of one that tells the truth.
	newPerSource = 64
	// maxNodes bounds the nodes of a map, maxSpots the addresses of a node, maxTells all edges.
	maxNodes = 200_000
	maxSpots = 8
	maxTells = 8_000_000
	// perSourceSpots is how many addresses of one node we take from one answer.
	perSourceSpots = 4
	// A node is a suspect when of suspectTried nodes or more that it told of, at most one in suspectShare exists.
	suspectTried = 16
	suspectShare = 20
)
