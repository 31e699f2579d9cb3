package comet

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The fields of a node info on the wire: internal/cometpb/comet.proto (NodeInfo, ProtocolVersion, NodeInfoOther).
const (
	fieldProtocol = 1
	fieldID       = 2
	fieldListen   = 3
	fieldNetwork  = 4
	fieldVersion  = 5
	fieldChannels = 6
	fieldMoniker  = 7
	fieldOther    = 8

	fieldP2P   = 1
	fieldBlock = 2
	fieldApp   = 3

	fieldTxIndex    = 1
	fieldRPCAddress = 2
)

// encodeInfo is a node info as it goes over the wire, with its length in front. listen is where we can be reached.
func encodeInfo(n *handshake.NodeInfo, listen string) ([]byte, error) {
	size := 96 + len(n.ID) + len(listen) + len(n.Network) + len(n.Version) + len(n.Channels) + len(n.Moniker) + len(n.RPCAddress)
	// The length goes in front of the body, which is encoded first: room for two bytes is left, as for any length in the limit.
	const room = 2
	b := make([]byte, room, room+size)

	var sub [3 * (1 + 10)]byte
	versions := appendUint(sub[:0], fieldP2P, n.P2PVersion)
	versions = appendUint(versions, fieldBlock, n.BlockVersion)
	versions = appendUint(versions, fieldApp, n.AppVersion)
	b = protowire.AppendTag(b, fieldProtocol, protowire.BytesType)
	b = protowire.AppendBytes(b, versions)
	b = appendString(b, fieldID, string(n.ID))
	b = appendString(b, fieldListen, listen)
	b = appendString(b, fieldNetwork, n.Network)
	b = appendString(b, fieldVersion, n.Version)
	if len(n.Channels) > 0 {
		b = protowire.AppendTag(b, fieldChannels, protowire.BytesType)
		b = protowire.AppendBytes(b, n.Channels)
	}
	b = appendString(b, fieldMoniker, n.Moniker)
	other := sizeString(fieldTxIndex, n.TxIndex) + sizeString(fieldRPCAddress, n.RPCAddress)
	b = protowire.AppendTag(b, fieldOther, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(other))
	b = appendString(b, fieldTxIndex, n.TxIndex)
	b = appendString(b, fieldRPCAddress, n.RPCAddress)

	length := len(b) - room
	if length > handshake.MaxNodeInfoSize {
		return nil, fmt.Errorf("node info: %d bytes, at most %d are allowed", length, handshake.MaxNodeInfoSize)
	}
	if length < 0x80 {
		b = b[1:]
		b[0] = byte(length)
		return b, nil
	}
	b[0], b[1] = byte(length)|0x80, byte(length>>7)
	return b, nil
}

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func sizeString(field protowire.Number, s string) int {
	if s == "" {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(len(s))
}

// readInfo reads the remote's node info, and not a byte more.
func readInfo(r io.Reader) (*handshake.NodeInfo, error) {
	length, err := readLength(r)
	if err != nil {
		return nil, err
	}
	// The body is claimed as it arrives, in steps that the usual one fits into at once.
	const step = 512
	body := make([]byte, 0, min(length, step))
	for len(body) < length {
		at := len(body)
		if at == cap(body) {
			body = append(make([]byte, 0, min(length, 2*at)), body...)
		}
		body = body[:min(length, cap(body))]
		n, err := io.ReadFull(r, body[at:])
		if err != nil {
			return nil, handshake.Fail(handshake.StageInfo, codeOr(err, muxer.CodeProtocolError), fmt.Errorf("node info, after %d of %d bytes: %w", at+n, length, err))
		}
	}
	return decodeInfo(body)
}

// readLength reads the length in front of a node info.
func readLength(r io.Reader) (int, error) {
	var b [1]byte
	length := uint64(0)
	for shift := 0; ; shift += 7 {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("the remote hung up before it told its node info, so it refused us without a reason (a ban, an IP or id filter, or it expected another node): %w", err)
			}
			return 0, handshake.Fail(handshake.StageInfo, codeOr(err, muxer.CodeProtocolError), err)
		}
		length |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			break
		}
		if shift == 56 { // a length of nine bytes is long past the limit already
			length = 1 << 62
			break
		}
	}
	if length > handshake.MaxNodeInfoSize {
		return 0, refuse("%d bytes, at most %d are allowed", length, handshake.MaxNodeInfoSize)
	}
	return int(length), nil
}

// refuse says that the remote's node info is not acceptable.
func refuse(format string, args ...any) error {
	return &handshake.Refusal{Code: muxer.CodeInvalidInfo, Stage: handshake.StageInfo, Reason: "node info: " + fmt.Sprintf(format, args...)}
}

// decodeInfo reads a node info without its length, and checks the form of the listen address. Unknown fields are ignored; of a field that is
// there twice the last counts, as protocol buffers have it.
func decodeInfo(body []byte) (*handshake.NodeInfo, error) {
	n := &handshake.NodeInfo{}
	listen := ""
	d := decoder{b: body, s: string(body)}
	for d.next() {
		switch d.field {
		case fieldProtocol:
			sub := d.message()
			for sub.next() {
				switch sub.field {
				case fieldP2P:
					n.P2PVersion = sub.uint()
				case fieldBlock:
					n.BlockVersion = sub.uint()
				case fieldApp:
					n.AppVersion = sub.uint()
				}
			}
			d.join(sub)
		case fieldID:
			n.ID = transport.NodeID(d.text())
		case fieldListen:
			listen = d.text()
		case fieldNetwork:
			n.Network = d.text()
		case fieldVersion:
			n.Version = d.text()
		case fieldChannels:
			n.Channels = []byte(d.text())
		case fieldMoniker:
			n.Moniker = d.text()
		case fieldOther:
			sub := d.message()
			for sub.next() {
				switch sub.field {
				case fieldTxIndex:
					n.TxIndex = sub.text()
				case fieldRPCAddress:
					n.RPCAddress = sub.text()
				}
			}
			d.join(sub)
		}
	}
	if d.err != nil {
		return nil, refuse("cannot be decoded: %v", d.err)
	}
	where, err := checkListen(listen)
	if err != nil {
		return nil, err
	}
	n.Listen = []string{where}
	return n, nil
}
