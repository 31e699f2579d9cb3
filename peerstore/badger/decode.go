package badger

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// field is one of a message: its tag, and its value as a number or as bytes, which are part of the message.
type field struct {
	tag   uint64
	n     uint64
	bytes []byte
}

// next cuts the first field off a message. Fields of other wire types than we write are skipped later, as unknown ones are.
func next(b []byte) (f field, rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, protowire.ParseError(n)
	}
	if num > protowire.MaxValidNumber {
		return f, nil, fmt.Errorf("field number %d is above the largest", num)
	}
	f.tag, b = protowire.EncodeTag(num, typ), b[n:]
	switch typ {
	case protowire.VarintType:
		f.n, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.n, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 {
		return f, nil, protowire.ParseError(n)
	}
	return f, b[n:], nil
}

// text is a copy of a field's bytes.
func (f *field) text() (string, error) {
	if !utf8.Valid(f.bytes) {
		return "", errors.New("a text is not UTF-8")
	}
	return string(f.bytes), nil
}

// decoder reads peers. It keeps the node that was read last, as a rule the same one told of the next peer.
type decoder struct {
	key []byte
	id  transport.NodeID
}

// node is parseNode.
func (d *decoder) node(key []byte) (id transport.NodeID, err error) {
	if !bytes.Equal(key, d.key) {
		if id, err = parseNode(key); err != nil {
			return "", err
		}
		d.key, d.id = append(d.key[:0], key...), id
	}
	return d.id, nil
}

// decodePeer is peer for one alone.
func decodePeer(key, value []byte) (r peerstore.Record, bad int, err error) {
	var d decoder
	var p peerstore.Saved
	bad, err = d.peer(&p, key, value)
	return p.Record(), bad, err
}

// peer reads a peer from its key (without its letter) and value into p, all of which it sets; it reuses the memory of p's addresses. Addresses that cannot be
// read are left out and counted.
func (d *decoder) peer(p *peerstore.Saved, key, value []byte) (bad int, err error) {
	*p = peerstore.Saved{Addresses: p.Addresses[:0]}
	if err := checkNode(key); err != nil {
		return 0, err
	}
	if key[0] == hexNode {
		p.Node = [transport.NodeIDSize]byte(key[1:])
	} else {
		p.Name = transport.NodeID(key[1:])
	}
	for len(value) > 0 {
		var f field
		if f, value, err = next(value); err != nil {
			return 0, err
		}
		switch f.tag {
		case peerAddress:
			ok, err := d.address(p, key, f.bytes)
			if err != nil {
				return 0, err
			}
			if !ok {
				bad++
			}
		case peerFirstSeen:
			p.FirstSeen = nanos(f.n)
		case peerTrusted:
			p.Trusted = f.n != 0
		case peerUnconditional:
			p.Unconditional = f.n != 0
		case peerPrivate:
			p.Private = f.n != 0
		case peerScore:
			score := int32(protowire.DecodeZigZag(f.n & math.MaxUint32))
			p.Score = int16(min(max(score, peerstore.MinScore), peerstore.MaxScore))
		case peerScored:
			p.Scored = nanos(f.n)
		case peerHeight:
			p.Height = f.n
		case peerLastConnected:
			p.LastConnected = nanos(f.n)
		case peerLastDisconnected:
			p.LastDisconnected = nanos(f.n)
		case peerFailures:
			p.Failures = uint32(f.n)
		case peerNotBefore:
			p.NotBefore = nanos(f.n)
		case peerQuarantined:
			p.Quarantined = nanos(f.n)
		case peerQuarantineReason:
			if p.QuarantineReason, err = f.text(); err != nil {
				return 0, err
			}
		case peerInTried:
			p.InTried = f.n != 0
		}
	}
	return bad, nil
}

// address adds an address to p, whose key it is told; false when the message can be read and the address in it cannot.
func (d *decoder) address(p *peerstore.Saved, key, value []byte) (ok bool, err error) {
	var a peerstore.SavedAddress
	var from, fromIP, ip []byte
	var text string
	var port uint32
	for len(value) > 0 {
		var f field
		if f, value, err = next(value); err != nil {
			return false, err
		}
		switch f.tag {
		case addrText:
			if text, err = f.text(); err != nil {
				return false, err
			}
		case addrSource:
			if string(f.bytes) == "pex" { // as a rule, and then it needs no memory
				a.Source.Kind = "pex"
			} else if a.Source.Kind, err = f.text(); err != nil {
				return false, err
			}
		case addrFrom:
			from = f.bytes
		case addrFirstHeard:
			a.FirstHeard = nanos(f.n)
		case addrLastHeard:
			a.LastHeard = nanos(f.n)
		case addrLastDialed:
			a.LastDialed = nanos(f.n)
		case addrLastSuccess:
			a.LastSuccess = nanos(f.n)
		case addrFailures:
			a.Failures = uint32(f.n)
		case addrNotBefore:
			a.NotBefore = nanos(f.n)
		case addrLastError:
			if a.LastError, err = f.text(); err != nil {
				return false, err
			}
		case addrFromIP:
			fromIP = f.bytes
		case addrIP:
			ip = f.bytes
		case addrPort:
			port = uint32(f.n)
		}
	}
	if a.Source.From, err = d.node(from); err != nil {
		return false, nil
	}
	a.Source.IP, _ = netip.AddrFromSlice(fromIP)
	if len(ip) == 0 {
		where, err := transport.ParseAddress(text)
		ok = err == nil && sameNode(where, key)
		if packed, plain := where.Pack(); plain {
			a.Packed = packed
		} else {
			a.Other = where
		}
	} else if ok = key[0] == hexNode && (len(ip) == 4 || len(ip) == 16) && 0 < port && port <= math.MaxUint16; ok {
		a.Packed.Node, a.Packed.Port = p.Node, uint16(port)
		copy(a.Packed.IP[:], mapped4)
		copy(a.Packed.IP[len(a.Packed.IP)-len(ip):], ip)
	}
	if ok {
		p.Addresses = append(p.Addresses, a)
	}
	return ok, nil
}

// sameNode says that an address names the node with a key.
func sameNode(a transport.Address, key []byte) bool {
	id, err := parseNode(key)
	return err == nil && a.Is(id)
}
