// Package relaypb holds the messages of package host/relay and a codec that copies nothing and bounds what a remote can
// make us hold.
package relaypb

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/internal/protofields"
)

// Bounds of one message.
const (
	MaxAnnounced = 1024
	MaxRequested = 64 // ids of a request, items of an answer, requests that one Missing answers
)

// Kind is the kind of a message: its field number in RelayMessage.
type Kind uint8

const (
	KindAnnounce Kind = 1
	KindRequest  Kind = 2
	KindItems    Kind = 3
	KindMissing  Kind = 4
	KindPush     Kind = 5
	KindMore     Kind = 6
)

// Field numbers within the kinds.
const (
	fieldIDs   = 1 // of Announce and Request
	fieldSizes = 2 // of Announce
	fieldMore  = 3 // of Announce
	fieldItems = 1 // of Items
	fieldCount = 1 // of Missing
)

// Message is a decoded message.
type Message struct {
	Kind  Kind
	IDs   []byte   // of KindAnnounce and KindRequest, 32 bytes each; part of what was decoded
	Sizes []uint32 // of KindAnnounce, one an id
	More  bool     // of KindAnnounce
	Items [][]byte // of KindItems and KindPush; parts of what was decoded
	Count int      // of KindMissing
}

// Error says why a message is malformed.
type Error struct{ Reason string }

func (e *Error) Error() string { return "relay message: " + e.Reason }

func malformed(format string, args ...any) error { return &Error{Reason: fmt.Sprintf(format, args...)} }

var errWrongType = errors.New("a field has the wrong type")

// Decode decodes b into m, whose slices it reuses. Unknown fields are ignored. Its error is an *Error.
func (m *Message) Decode(b []byte) error {
	*m = Message{Sizes: m.Sizes[:0], Items: m.Items[:0]}
	var body []byte
	err := protofields.Each(b, func(num protowire.Number, typ protowire.Type, val []byte, _ uint64) error {
		if num < protowire.Number(KindAnnounce) || num > protowire.Number(KindMore) {
			return nil
		}
		if m.Kind != 0 {
			return errors.New("more than one message in one")
		}
		if typ != protowire.BytesType {
			return errWrongType
		}
		m.Kind, body = Kind(num), val
		return nil
	})
	if err == nil {
		err = m.decodeBody(body)
	}
	if err != nil {
		return malformed("%v", err)
	}
	return nil
}

func (m *Message) decodeBody(body []byte) error {
	switch m.Kind {
	case KindAnnounce:
		if err := protofields.Each(body, m.announce); err != nil {
			return err
		}
		return m.checkIDs(MaxAnnounced, len(m.Sizes))
	case KindRequest:
		if err := protofields.Each(body, m.request); err != nil {
			return err
		}
		return m.checkIDs(MaxRequested, len(m.IDs)/sha256.Size)
	case KindItems, KindPush:
		if err := protofields.Each(body, m.item); err != nil {
			return err
		}
		if len(m.Items) == 0 {
			return errors.New("items without an item")
		}
		return nil
	case KindMore:
		return protofields.Each(body, func(protowire.Number, protowire.Type, []byte, uint64) error { return nil })
	case KindMissing:
		if err := protofields.Each(body, m.missing); err != nil {
			return err
		}
		if m.Count < 1 || m.Count > MaxRequested {
			return fmt.Errorf("%d missing items, want 1 to %d", m.Count, MaxRequested)
		}
		return nil
	}
	return errors.New("of no known kind")
}

// checkIDs checks that there are 1 to most whole ids, and a size for each.
func (m *Message) checkIDs(most, sizes int) error {
	n := len(m.IDs) / sha256.Size
	switch {
	case len(m.IDs)%sha256.Size != 0:
		return fmt.Errorf("%d bytes of ids, which have %d each", len(m.IDs), sha256.Size)
	case n < 1 || n > most:
		return fmt.Errorf("%d ids, want 1 to %d", n, most)
	case sizes != n:
		return fmt.Errorf("%d sizes for %d ids", sizes, n)
	}
	return nil
}

// request takes a field of Request.
func (m *Message) request(num protowire.Number, typ protowire.Type, val []byte, _ uint64) error {
	switch {
	case num != fieldIDs:
		return nil
	case typ != protowire.BytesType:
		return errWrongType
	}
	m.IDs = val // the last one counts, as with all single fields
	return nil
}

// announce takes a field of Announce.
func (m *Message) announce(num protowire.Number, typ protowire.Type, val []byte, number uint64) error {
	switch {
	case num == fieldMore && typ != protowire.VarintType:
		return errWrongType
	case num == fieldMore:
		m.More = number != 0
		return nil
	case num != fieldSizes:
		return m.request(num, typ, val, number)
	}
	switch typ {
	case protowire.VarintType:
		return m.size(number)
	case protowire.BytesType: // packed
		for len(val) > 0 {
			v, n := protowire.ConsumeVarint(val)
			if n < 0 {
				return protowire.ParseError(n)
			}
			if err := m.size(v); err != nil {
				return err
			}
			val = val[n:]
		}
		return nil
	}
	return errWrongType
}

func (m *Message) size(v uint64) error {
	switch {
	case len(m.Sizes) == MaxAnnounced:
		return fmt.Errorf("more than %d sizes", MaxAnnounced)
	case v == 0 || v > 1<<31-1:
		return fmt.Errorf("a size of %d bytes", v)
	}
	m.Sizes = append(m.Sizes, uint32(v))
	return nil
}

// item takes a field of Items.
func (m *Message) item(num protowire.Number, typ protowire.Type, val []byte, _ uint64) error {
	switch {
	case num != fieldItems:
		return nil
	case typ != protowire.BytesType:
		return errWrongType
	case len(val) == 0:
		return errors.New("an empty item")
	case len(m.Items) == MaxRequested:
		return fmt.Errorf("more than %d items", MaxRequested)
	}
	m.Items = append(m.Items, val)
	return nil
}

// missing takes a field of Missing.
func (m *Message) missing(num protowire.Number, typ protowire.Type, _ []byte, number uint64) error {
	switch {
	case num != fieldCount:
		return nil
	case typ != protowire.VarintType:
		return errWrongType
	}
	m.Count = int(min(number, MaxRequested+1))
	return nil
}
