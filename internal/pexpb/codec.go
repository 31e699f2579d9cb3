// Package pexpb holds the messages of peer exchange and a codec that bounds what a remote can make us hold.
package pexpb

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of PexMessage and PexResponse.
const (
	fieldRequest   = 1
	fieldResponse  = 2
	fieldAddresses = 1
)

var (
	// ErrEmpty reports a message that is neither a request nor a response.
	ErrEmpty = errors.New("pex message: neither a request nor a response")
	// ErrTwice reports a message with more than one request or response.
	ErrTwice = errors.New("pex message: more than one request or response")
)

// EncodeRequest encodes a request that also asks for multiaddrs.
func EncodeRequest() []byte {
	return encode(&PexMessage{Sum: &PexMessage_Request{Request: &PexRequest{Multiaddrs: true}}})
}

// EncodeResponse encodes a response.
func EncodeResponse(addresses []*PexAddress) []byte {
	return encode(&PexMessage{Sum: &PexMessage_Response{Response: &PexResponse{Addresses: addresses}}})
}

func encode(m *PexMessage) []byte {
	b, err := proto.Marshal(m)
	if err != nil { // only a string that is not UTF-8 can fail, and all ours are ASCII
		panic(fmt.Sprintf("pex message: %v", err))
	}
	return b
}

// Decode decodes a message and keeps at most maxAddresses of its addresses, so that this bound and not the remote
// decides how much heap a message costs. left counts the addresses that it dropped unparsed. Unknown fields are
// ignored.
func Decode(msg []byte, maxAddresses int) (m *PexMessage, left int, err error) {
	known := 0
	var body []byte
	var which protowire.Number
	err = eachField(msg, func(num protowire.Number, val []byte, bytes bool) error {
		if num != fieldRequest && num != fieldResponse {
			return nil
		}
		if !bytes {
			return fmt.Errorf("pex message: field %d has the wrong type", num)
		}
		known++
		which, body = num, val
		return nil
	})
	switch {
	case err != nil:
		return nil, 0, err
	case known == 0:
		return nil, 0, ErrEmpty
	case known > 1:
		return nil, 0, ErrTwice
	case which == fieldRequest:
		request := &PexRequest{}
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, request); err != nil {
			return nil, 0, fmt.Errorf("pex request: %w", err)
		}
		return &PexMessage{Sum: &PexMessage_Request{Request: request}}, 0, nil
	}
	response := &PexResponse{}
	err = eachField(body, func(num protowire.Number, val []byte, bytes bool) error {
		if num != fieldAddresses {
			return nil
		}
		if !bytes {
			return errors.New("pex response: field 1 has the wrong type")
		}
		if len(response.Addresses) >= maxAddresses {
			left++
			return nil
		}
		a := &PexAddress{}
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(val, a); err != nil {
			return fmt.Errorf("pex address: %w", err)
		}
		response.Addresses = append(response.Addresses, a)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return &PexMessage{Sum: &PexMessage_Response{Response: response}}, left, nil
}

// eachField calls fn with each field of a message, in order. val is nil unless the field has the type bytes.
func eachField(b []byte, fn func(num protowire.Number, val []byte, bytes bool) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("pex message: %w", protowire.ParseError(n))
		}
		if num > protowire.MaxValidNumber {
			return fmt.Errorf("pex message: field number %d is above the largest, %d", num, protowire.MaxValidNumber)
		}
		b = b[n:]
		var val []byte
		if typ == protowire.BytesType {
			val, n = protowire.ConsumeBytes(b)
		} else {
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return fmt.Errorf("pex message: %w", protowire.ParseError(n))
		}
		if err := fn(num, val, typ == protowire.BytesType); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
