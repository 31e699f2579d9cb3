package comet

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// decoder walks over the fields of one message. After next it stands on a field, of which text, uint or message take the value; one of another wire
// type is an error, and so is anything that is no field. Strings share s.
type decoder struct {
	b []byte // what is left
	s string // the same bytes

	field protowire.Number
	typ   protowire.Type
	value []byte // of a field with bytes: its part of b
	str   string // and of s
	num   uint64 // of a field with a varint
	err   error
}

var (
	errWireType    = errors.New("a field has the wrong wire type")
	errFieldNumber = errors.New("a field number is above the largest")
)

// next steps to the next field; false says that the end, or an error, is reached.
func (d *decoder) next() bool {
	if d.err != nil || len(d.b) == 0 {
		return false
	}
	field, typ, n := protowire.ConsumeTag(d.b)
	if !d.skip(n) {
		return false
	}
	if field > protowire.MaxValidNumber {
		d.err = errFieldNumber
		return false
	}
	d.field, d.typ, d.value, d.str, d.num = field, typ, nil, "", 0
	switch typ {
	case protowire.VarintType:
		d.num, n = protowire.ConsumeVarint(d.b)
	case protowire.BytesType:
		d.value, n = protowire.ConsumeBytes(d.b)
		if n > 0 {
			d.str = d.s[n-len(d.value) : n]
		}
	default:
		n = protowire.ConsumeFieldValue(field, typ, d.b)
	}
	return d.skip(n)
}

// skip steps over n bytes; a negative n is protowire's error.
func (d *decoder) skip(n int) bool {
	if n < 0 {
		d.err = protowire.ParseError(n)
		return false
	}
	d.b, d.s = d.b[n:], d.s[n:]
	return true
}

func (d *decoder) want(typ protowire.Type) {
	if d.typ != typ && d.err == nil {
		d.err = errWireType
	}
}

func (d *decoder) text() string {
	d.want(protowire.BytesType)
	return d.str
}

func (d *decoder) uint() uint64 {
	d.want(protowire.VarintType)
	return d.num
}

func (d *decoder) message() *decoder {
	d.want(protowire.BytesType)
	return &decoder{b: d.value, s: d.str}
}

// join takes over the error of a message within this one.
func (d *decoder) join(sub *decoder) {
	if d.err == nil {
		d.err = sub.err
	}
}
