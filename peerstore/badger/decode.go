package badger

import (
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

// decodePeer reads a peer from its key (without its letter) and value into r, all of which it sets; it reuses the memory of r's addresses. Addresses that cannot be
// read are left out and counted.
func decodePeer(r *peerstore.Record, key, value []byte) (bad int, err error) {
	*r = peerstore.Record{Addresses: r.Addresses[:0]}
	if r.ID, err = parseNode(key); err != nil {
		return 0, err
	}
	if r.ID == "" {
		return 0, errors.New("no node id")
	}
	for len(value) > 0 {
		var f field
		if f, value, err = next(value); err != nil {
			return 0, err
		}
		switch f.tag {
		case peerAddress:
			ok, err := decodeAddress(r, key, f.bytes)
			if err != nil {
				return 0, err
			}
			if !ok {
				bad++
			}
		case peerFirstSeen:
			r.FirstSeen = unstamp(f.n)
		case peerTrusted:
			r.Trusted = f.n != 0
		case peerUnconditional:
			r.Unconditional = f.n != 0
		case peerPrivate:
			r.Private = f.n != 0
		case peerScore:
			score := int32(protowire.DecodeZigZag(f.n & math.MaxUint32))
			r.Score = int16(min(max(score, peerstore.MinScore), peerstore.MaxScore))
		case peerScored:
			r.Scored = unstamp(f.n)
		case peerHeight:
			r.Height = f.n
		case peerLastConnected:
			r.LastConnected = unstamp(f.n)
		case peerLastDisconnected:
			r.LastDisconnected = unstamp(f.n)
		case peerFailures:
			r.Failures = uint32(f.n)
		case peerNotBefore:
			r.NotBefore = unstamp(f.n)
		case peerQuarantined:
			r.Quarantined = unstamp(f.n)
		case peerQuarantineReason:
			if r.QuarantineReason, err = f.text(); err != nil {
				return 0, err
			}
		case peerInTried:
			r.InTried = f.n != 0
		}
	}
	return bad, nil
}

// decodeAddress adds an address to r, whose key it is told; false when the message can be read and the address in it cannot.
func decodeAddress(r *peerstore.Record, key, value []byte) (ok bool, err error) {
	var a peerstore.AddressRecord
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
			a.FirstHeard = unstamp(f.n)
		case addrLastHeard:
			a.LastHeard = unstamp(f.n)
		case addrLastDialed:
			a.LastDialed = unstamp(f.n)
		case addrLastSuccess:
			a.LastSuccess = unstamp(f.n)
		case addrFailures:
			a.Failures = uint32(f.n)
		case addrNotBefore:
			a.NotBefore = unstamp(f.n)
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
	if a.Source.From, err = parseNode(from); err != nil {
		return false, nil
	}
	a.Source.IP, _ = netip.AddrFromSlice(fromIP)
	if len(ip) == 0 {
		a.Address, err = transport.ParseAddress(text)
		ok = err == nil && a.Address.ID() == r.ID
	} else if ok = key[0] == hexNode && (len(ip) == 4 || len(ip) == 16) && 0 < port && port <= math.MaxUint16; ok {
		p := transport.Packed{Node: [transport.NodeIDSize]byte(key[1:]), Port: uint16(port)}
		copy(p.IP[:], mapped4)
		copy(p.IP[len(p.IP)-len(ip):], ip)
		a.Address = p.Address()
	}
	if ok {
		r.Addresses = append(r.Addresses, a)
	}
	return ok, nil
}
