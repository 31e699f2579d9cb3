package handshake

import (
	"bytes"
	"context"
	"fmt"

	"github.com/mr-tron/base58"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/internal/protofields"
)

// A signed peer record is what a libp2p node says of its own addresses in a form that others can pass on: a PeerRecord
// in an Envelope with the node's signature (libp2p/specs, RFC 0002 and 0003).

// PeerRecord is what a signed peer record says.
type PeerRecord struct {
	Key       PublicKey // of the node that has signed it
	Seq       uint64    // the record with the highest one is the latest
	Addresses []ma.Multiaddr
}

// Bounds of a peer record that OpenPeerRecord takes: those of an identify message, in which it comes.
const (
	MaxSignedRecord    = 8 << 10 // bytes of the envelope
	MaxRecordAddresses = 128
)

// RecordError reports why an envelope is no peer record that its node has signed.
type RecordError struct {
	Why string
	Err error // the cause underneath; may be nil
}

func (e *RecordError) Error() string {
	if e.Err != nil {
		return "signed peer record: " + e.Why + ": " + e.Err.Error()
	}
	return "signed peer record: " + e.Why
}

func (e *RecordError) Unwrap() error { return e.Err }

// Fields of the Envelope, the PeerRecord and its AddressInfo.
const (
	fieldEnvelopeKey       = 1
	fieldEnvelopeType      = 2
	fieldEnvelopePayload   = 3
	fieldEnvelopeSignature = 5

	fieldRecordID      = 1
	fieldRecordSeq     = 2
	fieldRecordAddress = 3

	fieldMultiaddr = 1
)

// recordType is the type of an envelope's payload that is a peer record; PeerRecordPrefix has it, too.
var recordType = []byte{0x03, 0x01}

// SealPeerRecord makes a signed peer record of the identity's node. It asks for one signature.
func SealPeerRecord(ctx context.Context, id Identity, seq uint64, addrs []ma.Multiaddr) ([]byte, error) {
	if len(addrs) > MaxRecordAddresses {
		return nil, &RecordError{Why: fmt.Sprintf("%d addresses, at most %d", len(addrs), MaxRecordAddresses)}
	}
	key, err := id.PublicKey(ctx)
	if err != nil {
		return nil, &RecordError{"our own key", err}
	}
	peer, err := base58.Decode(key.PeerID())
	if err != nil {
		return nil, &RecordError{"our own peer id", err}
	}
	record := appendField(nil, fieldRecordID, peer)
	record = protowire.AppendTag(record, fieldRecordSeq, protowire.VarintType)
	record = protowire.AppendVarint(record, seq)
	for _, a := range addrs {
		record = appendField(record, fieldRecordAddress, appendField(nil, fieldMultiaddr, a.Bytes()))
	}
	sig, err := id.Sign(ctx, SignPeerRecord, AppendPeerRecord(nil, record))
	if err != nil {
		return nil, &RecordError{"our signature", err}
	}
	b := appendField(nil, fieldEnvelopeKey, key.AppendProto(nil))
	b = appendField(b, fieldEnvelopeType, recordType)
	b = appendField(b, fieldEnvelopePayload, record)
	b = appendField(b, fieldEnvelopeSignature, sig)
	if len(b) > MaxSignedRecord {
		return nil, &RecordError{Why: fmt.Sprintf("%d bytes, at most %d", len(b), MaxSignedRecord)}
	}
	return b, nil
}

func appendField(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// OpenPeerRecord reads a signed peer record and checks that the node which it names has signed it. Addresses of a kind
// that we do not know are left out. Its errors are *RecordError.
func OpenPeerRecord(envelope []byte) (PeerRecord, error) {
	var out PeerRecord
	if len(envelope) > MaxSignedRecord {
		return out, &RecordError{Why: fmt.Sprintf("%d bytes, at most %d", len(envelope), MaxSignedRecord)}
	}
	var key, kind, payload, sig []byte
	err := protofields.Each(envelope, func(field protowire.Number, _ protowire.Type, v []byte, _ uint64) error {
		switch field {
		case fieldEnvelopeKey:
			key = v
		case fieldEnvelopeType:
			kind = v
		case fieldEnvelopePayload:
			payload = v
		case fieldEnvelopeSignature:
			sig = v
		}
		return nil
	})
	switch {
	case err != nil:
		return out, &RecordError{"malformed envelope", err}
	case !bytes.Equal(kind, recordType):
		return out, &RecordError{Why: fmt.Sprintf("a payload of another type (%.16x)", kind)}
	}
	if out.Key, err = ParsePublicKey(key); err != nil {
		return PeerRecord{}, &RecordError{"its key", err}
	}
	if !out.Key.Verify(AppendPeerRecord(nil, payload), sig) {
		return PeerRecord{}, &RecordError{Why: "the signature is not that of its key"}
	}
	if err := out.read(payload); err != nil {
		return PeerRecord{}, err
	}
	return out, nil
}

// read reads the payload of a signed peer record, whose key is known.
func (r *PeerRecord) read(payload []byte) error {
	var id []byte
	n := 0
	err := protofields.Each(payload, func(field protowire.Number, _ protowire.Type, v []byte, number uint64) error {
		switch field {
		case fieldRecordID:
			id = v
		case fieldRecordSeq:
			r.Seq = number
		case fieldRecordAddress:
			if n++; n > MaxRecordAddresses {
				return nil
			}
			_ = protofields.Each(v, func(field protowire.Number, _ protowire.Type, v []byte, _ uint64) error {
				if field != fieldMultiaddr {
					return nil
				}
				if a, err := ma.NewMultiaddrBytes(v); err == nil && len(a) > 0 {
					r.Addresses = append(r.Addresses, a)
				}
				return nil
			})
		}
		return nil
	})
	switch {
	case err != nil:
		return &RecordError{"malformed record", err}
	case n > MaxRecordAddresses:
		return &RecordError{Why: fmt.Sprintf("%d addresses, at most %d", n, MaxRecordAddresses)}
	case base58.Encode(id) != r.Key.PeerID():
		return &RecordError{Why: "it is that of another node than its key"}
	}
	return nil
}
