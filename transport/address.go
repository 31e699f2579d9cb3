package transport

import ma "github.com/multiformats/go-multiaddr"

// Address is where a node can be reached, and who is expected there. It is an immutable, comparable value (a map key); the zero
// Address is no address. Its text is a canonical multiaddr whose last component names the node:
// /mconn/<40 hex> asks for the comet wire, /p2p/<peer id> for libp2p, none leaves both open.
type Address struct {
	id   NodeID
	text string
}

// ParseAddress reads a multiaddr, CometBFT's id@host:port, or a URL mconn://id@host:port.
func ParseAddress(s string) (Address, error) { panic("unwritten") }

// ID is the node id expected there; "" when the address names none.
func (a Address) ID() NodeID { return a.id }

// String is the canonical multiaddr with the node component; "" for the zero Address.
func (a Address) String() string { return a.text }

// Multiaddr is what a transport dials: the address without the node component.
func (a Address) Multiaddr() ma.Multiaddr { panic("unwritten") }

// IsZero says that this is no address.
func (a Address) IsZero() bool { return a.text == "" }
