package autonat

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/internal/protofields"
)

// Bounds of what a remote may send, and numbers of the protocol (libp2p/specs, autonat/autonat-v2.md).
const (
	maxMessage   = 8 << 10 // bytes of a message
	maxAddress   = 512     // bytes of an address in a request
	maxAddresses = 16      // addresses of a request that the server looks at
	// maxDialData is the most that a server may ask for before it dials another IP than ours, and dataChunk what of it
	// goes into one message.
	maxDialData = 100_000
	dataChunk   = 4000
)

// status is how a server answers a request.
type status uint64

const (
	statusInternal status = 0
	statusRejected status = 100 // no time for that now
	statusRefused  status = 101 // it dials none of the addresses
	statusOK       status = 200
)

// dialStatus is what came of a server's dial.
type dialStatus uint64

const (
	dialUnused    dialStatus = 0
	dialError     dialStatus = 100
	dialBackError dialStatus = 101 // connected, but the stream with the nonce failed
	dialOK        dialStatus = 200
)

// request asks a server to dial the first of the addresses that it can dial.
type request struct {
	addresses [][]byte
	nonce     uint64
}

// response is what came of it.
type response struct {
	status status
	index  uint64 // of the address
	dial   dialStatus
}

// dataRequest asks the client for bytes before the server dials another IP than the client's.
type dataRequest struct{ index, bytes uint64 }

// message is one of the messages of a stream; at most one field is set.
type message struct {
	request     *request
	response    *response
	dataRequest *dataRequest
}

// Fields of a message, and of the messages in it.
const (
	fieldRequest     = 1
	fieldResponse    = 2
	fieldDataRequest = 3
	fieldData        = 4
)

// appendFrame writes a message of one field with its length ahead.
func appendFrame(b []byte, field protowire.Number, body []byte) []byte {
	size := protowire.SizeTag(field) + protowire.SizeBytes(len(body))
	b = binary.AppendUvarint(b, uint64(size))
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, body)
}

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func (r *request) frame() []byte {
	var b []byte
	for _, a := range r.addresses {
		b = protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), a)
	}
	b = protowire.AppendFixed64(protowire.AppendTag(b, 2, protowire.Fixed64Type), r.nonce)
	return appendFrame(nil, fieldRequest, b)
}

func (r *response) frame() []byte {
	b := appendNumber(nil, 1, uint64(r.status))
	b = appendNumber(b, 2, r.index)
	return appendFrame(nil, fieldResponse, appendNumber(b, 3, uint64(r.dial)))
}

// dataFrame is a message with n bytes of dial data.
func dataFrame(n int) []byte {
	body := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), make([]byte, n))
	return appendFrame(nil, fieldData, body)
}

// nonceFrame is the only message of a dial-back stream.
func nonceFrame(nonce uint64) []byte {
	b := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), nonce)
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}

// errMalformed reports bytes that are no message of the protocol.
var errMalformed = errors.New("malformed message")

// readFrame reads a message with its length ahead, of at most limit bytes.
func readFrame(in *bufio.Reader, limit uint64) ([]byte, error) {
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%w: of %d bytes, at most %d are allowed", errMalformed, size, limit)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, err
	}
	return b, nil
}

// fields calls fn with each field of a message: v is the value of a field of bytes, n that of a number. All its errors
// are errMalformed.
func fields(b []byte, fn func(field protowire.Number, v []byte, n uint64) error) error {
	err := protofields.Each(b, func(field protowire.Number, _ protowire.Type, v []byte, n uint64) error {
		return fn(field, v, n)
	})
	if err == nil || errors.Is(err, errMalformed) { // of a message within
		return err
	}
	return fmt.Errorf("%w: %w", errMalformed, err)
}

// parseMessage reads one of the messages of a dial-request stream.
func parseMessage(b []byte) (m message, err error) {
	err = fields(b, func(field protowire.Number, v []byte, _ uint64) (err error) {
		switch field {
		case fieldRequest:
			m.request, err = parseRequest(v)
		case fieldResponse:
			m.response = &response{}
			err = fields(v, func(field protowire.Number, _ []byte, n uint64) error {
				switch field {
				case 1:
					m.response.status = status(n)
				case 2:
					m.response.index = n
				case 3:
					m.response.dial = dialStatus(n)
				}
				return nil
			})
		case fieldDataRequest:
			m.dataRequest = &dataRequest{}
			err = fields(v, func(field protowire.Number, _ []byte, n uint64) error {
				switch field {
				case 1:
					m.dataRequest.index = n
				case 2:
					m.dataRequest.bytes = n
				}
				return nil
			})
		}
		return err
	})
	return m, err
}

// parseRequest keeps the first maxAddresses addresses; one that is too long is there, but empty.
func parseRequest(b []byte) (*request, error) {
	r := &request{}
	err := fields(b, func(field protowire.Number, v []byte, n uint64) error {
		switch {
		case field == 1 && len(r.addresses) < maxAddresses:
			if len(v) > maxAddress {
				v = nil
			}
			r.addresses = append(r.addresses, v)
		case field == 2:
			r.nonce = n
		}
		return nil
	})
	return r, err
}

// parseNonce reads the message of a dial-back stream.
func parseNonce(b []byte) (nonce uint64, err error) {
	err = fields(b, func(field protowire.Number, _ []byte, n uint64) error {
		if field == 1 {
			nonce = n
		}
		return nil
	})
	return nonce, err
}
