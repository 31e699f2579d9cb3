package comet

import (
	"encoding/binary"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/cometpb"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// encodeInfo returns a node info as it goes over the wire, with its length in front. listen is where we can be reached.
func encodeInfo(n *handshake.NodeInfo, listen string) ([]byte, error) {
	m := &cometpb.NodeInfo{
		ProtocolVersion: &cometpb.ProtocolVersion{P2P: n.P2PVersion, Block: n.BlockVersion, App: n.AppVersion},
		NodeId:          string(n.ID), ListenAddr: listen, Network: n.Network, Version: n.Version, Channels: n.Channels,
		Moniker: n.Moniker, Other: &cometpb.NodeInfoOther{TxIndex: n.TxIndex, RpcAddress: n.RPCAddress},
		Switchyard: extension(n),
	}
	size := proto.Size(m)
	if size > handshake.MaxNodeInfoSize {
		m.Switchyard = nil
		size = proto.Size(m)
	}
	if size > handshake.MaxNodeInfoSize {
		return nil, fmt.Errorf("node info: %d bytes, at most %d are allowed", size, handshake.MaxNodeInfoSize)
	}
	b := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen16+size), uint64(size))
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
}

// readInfo reads the remote's node info, and not a byte more.
func readInfo(r io.Reader) (*handshake.NodeInfo, error) {
	length, err := readLength(r)
	if err != nil {
		return nil, err
	}
	// The buffer grows as the body arrives; the first step holds a usual one.
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
			return nil, handshake.Fail(handshake.StageInfo, codeOr(err, muxer.CodeProtocolError),
				fmt.Errorf("node info, after %d of %d bytes: %w", at+n, length, err))
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
			if handshake.CodeOf(err) == muxer.CodeRemoteClosed { // also a reset: our node info is unread there
				err = fmt.Errorf("the remote hung up before it sent its node info, so it refused us without a reason "+
					"(a ban, an IP or id filter, or it expected another node): %w", err)
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

// refuse returns a Refusal of the remote's node info.
func refuse(format string, args ...any) error {
	return &handshake.Refusal{Code: muxer.CodeInvalidInfo, Stage: handshake.StageInfo,
		Reason: "node info: " + fmt.Sprintf(format, args...)}
}

// decodeInfo reads a node info without its length, and checks the form of the listen address.
func decodeInfo(body []byte) (*handshake.NodeInfo, error) {
	m := &cometpb.NodeInfo{}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, m); err != nil {
		return nil, refuse("cannot be decoded: %v", err)
	}
	where, err := checkListen(m.ListenAddr)
	if err != nil {
		return nil, err
	}
	version, other := m.GetProtocolVersion(), m.GetOther()
	info := &handshake.NodeInfo{
		ID: transport.NodeID(m.NodeId), Moniker: m.Moniker, Network: m.Network, Version: m.Version,
		Channels: m.Channels,
		Listen:   []string{where}, P2PVersion: version.GetP2P(), BlockVersion: version.GetBlock(),
		AppVersion: version.GetApp(), TxIndex: other.GetTxIndex(), RPCAddress: other.GetRpcAddress(),
	}
	readExtension(info, m.Switchyard)
	return info, nil
}
