package main

import (
	"fmt"
	"slices"
)

// kind is what a node speaks. Its letter names it in a case.
type kind byte

const (
	stock  kind = 's' // CometBFT as it is, over MConn
	libp2p kind = 'L' // CometBFT as it is, in its libp2p mode
	mconn  kind = 'm' // ours, over MConn only
	quic   kind = 'q' // ours, over QUIC only
	both   kind = 'b' // ours, over both
)

// mostOfAKind bounds the numbers in a case.
const mostOfAKind = 100

// parseKinds reads the letters of a case, such as ss2b, which is ssbb.
func parseKinds(letters string) ([]kind, error) {
	var kinds []kind
	count := 0
	for _, c := range []byte(letters) {
		switch k := kind(c); k {
		case stock, libp2p, mconn, quic, both:
			kinds = append(kinds, slices.Repeat([]kind{k}, max(count, 1))...)
			count = 0
		case '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			if count = 10*count + int(c-'0'); count > mostOfAKind {
				return nil, fmt.Errorf("%q: more than %d of a kind", letters, mostOfAKind)
			}
		default:
			return nil, fmt.Errorf("%q: the kinds of nodes are s, m, q, b and L, not %q", letters, c)
		}
	}
	return kinds, nil
}

// ours reports whether the node runs our program.
func (k kind) ours() bool { return k == mconn || k == quic || k == both }

// speaksMConn and speaksQUIC report the wires of a kind.
func (k kind) speaksMConn() bool { return k == stock || k == mconn || k == both }
func (k kind) speaksQUIC() bool  { return k == libp2p || k == quic || k == both }

// links reports whether two kinds share a wire.
func (k kind) links(other kind) bool {
	return k.speaksMConn() && other.speaksMConn() || k.speaksQUIC() && other.speaksQUIC()
}
