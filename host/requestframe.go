package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The fields of switchyardpb.RequestFrame. The generated code would copy each body twice, and bodies may be megabytes;
// so frames are written and read here. A test compares both.
const (
	fieldCall     protowire.Number = 1
	frameRequest  protowire.Number = 2
	frameResponse protowire.Number = 3
	frameRefusal  protowire.Number = 4
	frameNotice   protowire.Number = 5
	fieldReason   protowire.Number = 6
)

const (
	maxReason = 256 // bytes of a refusal's reason
	// frameOverhead is the most that a frame adds to a body.
	frameOverhead = 1 + 8 + 1 + 10
)

// requestFrame is a RequestFrame.
type requestFrame struct {
	kind   protowire.Number // that of the one-of; 0: none
	call   uint64
	body   []byte // of all but a refusal; a part of what was parsed
	code   RefusalCode
	reason string
}

// parseFrame reads a frame. As in all protocol buffers the last of a field's values counts, and what is unknown is
// skipped.
func parseFrame(b []byte) (f requestFrame, err error) {
	for len(b) > 0 {
		field, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return f, protowire.ParseError(n)
		}
		if !field.IsValid() {
			return f, fmt.Errorf("there is no field %d", field)
		}
		b = b[n:]
		switch {
		case wire == protowire.Fixed64Type && field == fieldCall:
			f.call, n = protowire.ConsumeFixed64(b)
		case wire == protowire.VarintType && field == frameRefusal:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			f.kind, f.code, f.body = field, RefusalCode(v), nil
		case wire == protowire.BytesType && field >= frameRequest && field <= frameNotice && field != frameRefusal:
			f.kind, f.code = field, 0
			f.body, n = protowire.ConsumeBytes(b)
		case wire == protowire.BytesType && field == fieldReason:
			var v []byte
			v, n = protowire.ConsumeBytes(b)
			if !utf8.Valid(v) {
				return f, errors.New("the reason is not UTF-8")
			}
			f.reason = string(v[:min(len(v), maxReason)])
		default:
			n = protowire.ConsumeFieldValue(field, wire, b)
		}
		if n < 0 {
			return f, protowire.ParseError(n)
		}
		b = b[n:]
	}
	return f, nil
}

// check returns why a frame makes no sense.
func (f *requestFrame) check() error {
	switch {
	case f.kind == 0:
		return errors.New("it is neither a request nor an answer")
	case f.call == 0 && f.kind != frameNotice:
		return errors.New("it names no call")
	}
	return nil
}

// bodyFrame encodes a frame around a message.
func bodyFrame(kind protowire.Number, call uint64, m proto.Message) ([]byte, error) {
	size := proto.Size(m)
	b := make([]byte, 0, frameOverhead+size)
	b = protowire.AppendFixed64(protowire.AppendTag(b, fieldCall, protowire.Fixed64Type), call)
	b = protowire.AppendVarint(protowire.AppendTag(b, kind, protowire.BytesType), uint64(size))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	return b, nil
}

// setCall changes the call that a frame of bodyFrame names.
func setCall(frame []byte, call uint64) { binary.LittleEndian.PutUint64(frame[1:], call) }

// noticeFrame encodes a notice.
func noticeFrame(body []byte) []byte {
	b := make([]byte, 0, frameOverhead+len(body))
	return protowire.AppendBytes(protowire.AppendTag(b, frameNotice, protowire.BytesType), body)
}

// refusalFrame encodes a refusal.
func refusalFrame(call uint64, code RefusalCode, reason string) []byte {
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
	b := protowire.AppendFixed64(protowire.AppendTag(nil, fieldCall, protowire.Fixed64Type), call)
	b = protowire.AppendVarint(protowire.AppendTag(b, frameRefusal, protowire.VarintType), uint64(code))
	if reason != "" {
		b = protowire.AppendString(protowire.AppendTag(b, fieldReason, protowire.BytesType), reason)
	}
	return b
}
