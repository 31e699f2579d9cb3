package badger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Peers are written in pages, in the order of time: what a key of the database costs is shared by some hundred peers, and nothing has to be sorted. A page is a StoredPage
// under its number. Of several pages that name a peer the last holds.

// pageSize is how long a page becomes before another one begins, in bytes.
const pageSize = 32 << 10

// maxPage bounds a page that is unpacked, in bytes: it is well above pageSize and the largest record.
const maxPage = 128 << 10

// The tags of StoredPage, and that of the field of StoredPeer that only pages have.
const (
	pagePeer   = 1<<3 | length
	pageGone   = 2<<3 | length
	pagePacked = 3<<3 | length
	peerNode   = 16<<3 | length
)

// keyOfPage is the key of the page with a number.
func keyOfPage(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte{pageKey}, number) }

// numberOfPage is that of the page with a key; false when it is none.
func numberOfPage(key []byte) (number uint64, ok bool) {
	if len(key) != 1+8 || key[0] != pageKey {
		return 0, false
	}
	return binary.BigEndian.Uint64(key[1:]), true
}

// content is a page that was read; all of it is part of the page, or of room.
type content struct {
	nodes [][]byte // of peers
	peers [][]byte // their StoredPeers
	gone  [][]byte // nodes
	room  []byte   // memory for a page that is unpacked
}

// read takes a page apart, a packed one too. It says nothing of what the peers' fields are.
func (c *content) read(page []byte) error {
	c.nodes, c.peers, c.gone = c.nodes[:0], c.peers[:0], c.gone[:0]
	if f, rest, err := next(page); err == nil && f.tag == pagePacked && len(rest) == 0 {
		if c.room, err = unpack(c.room, f.bytes); err != nil {
			return err
		}
		page = c.room
	}
	for len(page) > 0 {
		var f field
		var err error
		if f, page, err = next(page); err != nil {
			return err
		}
		switch f.tag {
		case pagePeer:
			node, err := nodeOf(f.bytes)
			if err != nil {
				return err
			}
			c.nodes, c.peers = append(c.nodes, node), append(c.peers, f.bytes)
		case pageGone:
			if err := checkNode(f.bytes); err != nil {
				return err
			}
			c.gone = append(c.gone, f.bytes)
		case pagePacked:
			return errors.New("a packed page is not alone")
		}
	}
	return nil
}

// packPage appends a page as it is written, packed if that makes it smaller: what a page costs to write grows with its bytes. It returns room, its memory, too.
func packPage(dst, page, room []byte) (packed, used []byte) {
	if len(page) > maxPage { // of a peer with a great many addresses: unpack would refuse it
		return append(dst, page...), room
	}
	block := s2.Encode(room[:cap(room)], page)
	if len(block) >= len(page) {
		return append(dst, page...), block
	}
	return protowire.AppendBytes(protowire.AppendVarint(dst, pagePacked), block), block
}

// unpack reads a packed page into room, as far as that is large enough.
func unpack(room, block []byte) ([]byte, error) {
	n, err := s2.DecodedLen(block)
	if err == nil && n > maxPage {
		err = fmt.Errorf("%d bytes unpacked, want %d at most", n, maxPage)
	}
	if err == nil {
		room, err = s2.Decode(room[:cap(room)], block)
	}
	if err != nil {
		return nil, fmt.Errorf("a packed page: %w", err)
	}
	return room, nil
}

// nodeOf is the node of a StoredPeer in a page. As a rule it is the first field; as in each message the last one of several counts.
func nodeOf(peer []byte) (node []byte, err error) {
	for first := true; len(peer) > 0; first = false {
		var f field
		if f, peer, err = next(peer); err != nil {
			return nil, err
		}
		if f.tag == peerNode {
			node = f.bytes
			if first {
				break
			}
		}
	}
	return node, checkNode(node)
}

// checkNode says what is wrong with a node as it stands in keys.
func checkNode(node []byte) error {
	switch {
	case len(node) == 0:
		return errors.New("no node id")
	case node[0] == hexNode && len(node) == 1+transport.NodeIDSize, node[0] == textNode && len(node) > 1:
		return nil
	}
	return fmt.Errorf("not a node id: %d bytes %.8x", len(node), node)
}

// appendPeerTo appends a peer to a page.
func appendPeerTo(page, peer []byte) []byte {
	return protowire.AppendBytes(protowire.AppendVarint(page, pagePeer), peer)
}

// appendGone appends to a page that a node is gone.
func appendGone(page, node []byte) []byte {
	return protowire.AppendBytes(protowire.AppendVarint(page, pageGone), node)
}
