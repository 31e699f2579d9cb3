package mconn

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The wire, as proto/tendermint/p2p/conn.proto of CometBFT defines it: packets, each behind its length as a varint.
//
//	Packet    { oneof sum { Ping ping = 1; Pong pong = 2; Msg msg = 3 } }
//	Msg       { int32 channel_id = 1; bool eof = 2; bytes data = 3 }
const (
	tagPing    = 1<<3 | byte(protowire.BytesType)
	tagPong    = 2<<3 | byte(protowire.BytesType)
	tagMsg     = 3<<3 | byte(protowire.BytesType)
	tagEnd     = 15<<3 | byte(protowire.BytesType) // ours: see drain
	tagChannel = 1<<3 | byte(protowire.VarintType)
	tagEOF     = 2<<3 | byte(protowire.VarintType)
	tagData    = 3<<3 | byte(protowire.BytesType)
)

// Whole packets without a payload, with their length.
var (
	pingPacket = []byte{2, tagPing, 0}
	pongPacket = []byte{2, tagPong, 0}
	endPacket  = []byte{2, tagEnd, 0}
)

// maxHeader is the longest header that parseHeader reads: three varints of at most 10 bytes, three tags, a
// channel id of at most 2 bytes and an eof, each with its tag.
const maxHeader = 3*binary.MaxVarintLen64 + 3 + 3 + 2

// packetOverhead is how much longer than its payload a packet is at most, its length prefix and unknown fields aside.
const packetOverhead = 32

type kind uint8

const (
	kindPing kind = iota + 1
	kindPong
	kindMsg
	kindEnd // of all that the remote sends: see drain
	// kindOther is a packet that does not have its fields in the usual order: its body must be collected whole for
	// decodePacket.
	kindOther
)

// header is what stands before a packet's payload.
type header struct {
	kind    kind
	last    bool // eof: the packet ends its message
	channel int  // as it stands in the packet, perhaps no valid id
	data    int  // bytes of payload that follow; for kindOther, bytes of the body
}

var (
	errNoSum     = errors.New("packet is neither ping, pong nor message")
	errMalformed = errors.New("malformed packet")
)

type packetSizeError struct{ size, limit uint64 }

func (e *packetSizeError) Error() string {
	return fmt.Sprintf("packet of %d bytes is longer than %d", e.size, e.limit)
}

// parseHeader reads the header of the packet that starts b, up to its payload. n is the header's length, 0 when b holds
// too little of it. No packet may be longer than limit.
//
// It understands packets as every protobuf library writes them: fields in order, none twice, the payload last. Of any
// other only the length is read, and it is left to decodePacket.
func parseHeader(b []byte, limit int) (h header, n int, err error) {
	size, n := binary.Uvarint(b)
	switch {
	case n < 0:
		return h, 0, fmt.Errorf("%w: length prefix overflows", errMalformed)
	case n == 0:
		return h, 0, nil
	case size > uint64(limit):
		return h, 0, &packetSizeError{size, uint64(limit)}
	case size == 0:
		return h, 0, errNoSum
	case len(b) == n:
		return h, 0, nil
	}
	other := header{kind: kindOther, data: int(size)}
	switch b[n] {
	case tagMsg:
	case tagPing, tagPong, tagEnd:
		if size != 2 {
			return other, n, nil
		}
		if len(b) < n+2 {
			return h, 0, nil
		}
		if b[n+1] != 0 {
			return other, n, nil
		}
		switch h.kind = kindPing; b[n] {
		case tagPong:
			h.kind = kindPong
		case tagEnd:
			h.kind = kindEnd
		}
		return h, n + 2, nil
	default:
		return other, n, nil
	}

	end := n + int(size) // where the packet ends in b, or would
	length, k := binary.Uvarint(b[n+1:])
	if k == 0 && len(b) < end {
		return h, 0, nil
	}
	i := n + 1 + k
	if k <= 0 || i > end || length != uint64(end-i) {
		return other, n, nil
	}
	h.kind = kindMsg
	// Each field may be there or not. At every step the packet may end (i == end), or what we have of it (i == len(b)).
	if i < end && i < len(b) && b[i] == tagChannel {
		switch {
		case end < i+2:
			return other, n, nil
		case len(b) < i+2:
			return h, 0, nil
		case b[i+1] < 0x80:
			h.channel = int(b[i+1])
			i += 2
		case end < i+3:
			return other, n, nil
		case len(b) < i+3:
			return h, 0, nil
		case b[i+2] < 0x80:
			h.channel = int(b[i+1]&0x7f) | int(b[i+2])<<7
			i += 3
		default:
			return other, n, nil
		}
	}
	if i < end && i < len(b) && b[i] == tagEOF {
		switch {
		case end < i+2:
			return other, n, nil
		case len(b) < i+2:
			return h, 0, nil
		case b[i+1] > 1:
			return other, n, nil
		}
		h.last = b[i+1] == 1
		i += 2
	}
	switch {
	case i == end:
		return h, i, nil
	case i == len(b):
		return h, 0, nil
	case b[i] != tagData:
		return other, n, nil
	}
	length, k = binary.Uvarint(b[i+1:])
	if k == 0 && len(b) < end {
		return h, 0, nil
	}
	i += 1 + k
	if k <= 0 || i > end || length != uint64(end-i) {
		return other, n, nil
	}
	h.data = int(length)
	return h, i, nil
}

// decodePacket reads a packet's whole body as CometBFT reads it: fields in any order, unknown ones are skipped, of a
// field that is there twice the last one counts. data is a part of body.
func decodePacket(body []byte) (h header, data []byte, err error) {
	err = eachField(body, func(num protowire.Number, typ protowire.Type, field []byte) error {
		if num < 1 || num > 3 {
			return nil
		}
		if typ != protowire.BytesType {
			return fmt.Errorf("%w: field %d has wire type %d", errMalformed, num, typ)
		}
		inner, n := protowire.ConsumeBytes(field)
		if n < 0 {
			return errMalformed
		}
		h, data = header{kind: kind(num)}, nil
		if num == 3 {
			h, data, err = decodeMsg(inner)
			return err
		}
		return eachField(inner, func(protowire.Number, protowire.Type, []byte) error { return nil })
	})
	if err == nil && h.kind == 0 {
		err = errNoSum
	}
	return h, data, err
}

func decodeMsg(b []byte) (h header, data []byte, err error) {
	h.kind = kindMsg
	err = eachField(b, func(num protowire.Number, typ protowire.Type, field []byte) error {
		switch {
		case num > 3:
			return nil
		case num == 3 && typ == protowire.BytesType:
			data, _ = protowire.ConsumeBytes(field)
			return nil
		case num != 3 && typ == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(field)
			if num == 1 {
				h.channel = int(int32(v))
			} else {
				h.last = v != 0
			}
			return nil
		}
		return fmt.Errorf("%w: field %d of a message has wire type %d", errMalformed, num, typ)
	})
	h.data = len(data)
	return h, data, err
}

// eachField calls f with each field's number, type and whole value.
func eachField(b []byte, f func(protowire.Number, protowire.Type, []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
		}
		if num > protowire.MaxValidNumber {
			return fmt.Errorf("%w: field number %d is above the largest", errMalformed, num)
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
		}
		if err := f(num, typ, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// appendHeader appends the length and the header of a message packet whose payload has n bytes. The payload must
// follow.
func appendHeader(b []byte, channel byte, last bool, n int) []byte {
	inner := 0
	if channel != 0 {
		inner += 2
		if channel >= 0x80 {
			inner++
		}
	}
	if last {
		inner += 2
	}
	if n > 0 {
		inner += 1 + protowire.SizeBytes(n)
	}
	b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(inner)))
	b = append(b, tagMsg)
	b = protowire.AppendVarint(b, uint64(inner))
	if channel != 0 {
		b = append(b, tagChannel)
		b = protowire.AppendVarint(b, uint64(channel))
	}
	if last {
		b = append(b, tagEOF, 1)
	}
	if n > 0 {
		b = append(b, tagData)
		b = protowire.AppendVarint(b, uint64(n))
	}
	return b
}
