// Package protofields walks the fields of a protocol buffer without generated code and without copying, for the codecs
// of wires whose messages strangers send: relay items, signed peer records, AutoNAT.
package protofields

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Each calls fn with each field of a message, in order, until fn fails. val is the value of a protowire.BytesType and
// shares b's memory; number is that of a VarintType or a Fixed64Type. Of other types the value is skipped. Its error is
// fn's, or says why b is malformed.
func Each(b []byte, fn func(num protowire.Number, typ protowire.Type, val []byte, number uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if num > protowire.MaxValidNumber {
			return fmt.Errorf("field number %d is above the largest, %d", num, protowire.MaxValidNumber)
		}
		b = b[n:]
		var val []byte
		var number uint64
		switch typ {
		case protowire.BytesType:
			val, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			number, n = protowire.ConsumeFixed64(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := fn(num, typ, val, number); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
