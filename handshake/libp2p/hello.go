package libp2p

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// protocolHello is what our own nodes open first: each end says what it is, and then whether it takes the link. All
// messages have their length ahead, as a uvarint. Nodes that lack it are ordinary libp2p nodes.
const protocolHello = "/switchyard/hello/1.0.0"

const (
	maxHello   = handshake.MaxNodeInfoSize
	maxVerdict = 1 << 10
	maxName    = 256 // bytes of a network's or channel's name
	maxReason  = 400 // bytes of a reason, so that a verdict stays below maxVerdict
	maxLimit   = 100
	maxWires   = 8
)

// frame puts the length ahead of a message.
func frame(b []byte, m proto.Message) []byte {
	b = binary.AppendUvarint(b, uint64(proto.Size(m)))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil { // text that is not UTF-8: ownHello and ownVerdict leave none
		panic(err)
	}
	return b
}

// byteReader is what messages are read from.
type byteReader interface {
	io.Reader
	io.ByteReader
}

// readFrame reads one message of at most limit bytes.
func readFrame(in byteReader, m proto.Message, limit int) error {
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return err
	}
	if size > uint64(limit) {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", errMessage, size, limit)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(in, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("%w: %w", errMessage, err)
	}
	return nil
}

// ownHello is what we say of ourselves to the remote of an attempt, at most maxHello bytes with its length.
func ownHello(a *handshake.Attempt) *switchyardpb.Hello {
	l := &a.Local
	m := &switchyardpb.Hello{
		Network: l.Network, Moniker: l.Moniker, Version: l.Version, Height: l.Height,
		BlockVersion: l.BlockVersion, P2PVersion: l.P2PVersion, AppVersion: l.AppVersion,
		Protocols: l.Protocols[:min(len(l.Protocols), maxProtocols)], Wires: l.Wires,
		TxIndex: l.TxIndex, RpcAddress: l.RPCAddress, Replaces: l.Replaces,
	}
	if a.Conn != nil {
		m.Observed = a.Conn.RemoteMultiaddr().Bytes()
	}
	channels := make([]switchyardpb.HelloChannel, len(a.Channels))
	for i, c := range a.Channels {
		channels[i].Id, channels[i].Name = uint32(c.ID), c.WithDefaults().Name
		m.Channels = append(m.Channels, &channels[i])
	}
	for _, text := range l.Listen[:min(len(l.Listen), maxListenAddrs)] {
		if addr, err := ma.NewMultiaddr(text); err == nil {
			m.Listen = append(m.Listen, addr.Bytes())
		}
	}
	for proto.Size(m) > maxHello && len(m.Listen)+len(m.Protocols) > 0 { // what identify could still tell
		if n := len(m.Listen); n > 8 || len(m.Protocols) == 0 {
			m.Listen = m.Listen[:n-1]
		} else {
			m.Protocols = m.Protocols[:len(m.Protocols)-1]
		}
	}
	return m
}

// helloInfo makes info what the remote of an attempt says, with the node id that it has proven, and returns our
// channels that it has too.
//
// Two nodes have a channel in common if both call it by the same id and the same name: the name is what travels, the id
// what services and other wires know it by, and a channel of which only one agrees is another one. NodeInfo.Channels
// are those in common, and those whose id we do not have; an id that means something else to the remote is left out.
func helloInfo(m *switchyardpb.Hello, a *handshake.Attempt, info *handshake.NodeInfo) ([]muxer.Channel, error) {
	switch {
	case m.Network != "" && !isName(m.Network):
		return nil, invalid("network %.40q is not plain text of at most %d bytes", m.Network, maxName)
	case len(m.Channels) > handshake.MaxChannels:
		return nil, invalid("%d channels, at most %d are allowed", len(m.Channels), handshake.MaxChannels)
	case len(m.Protocols) > maxProtocols:
		return nil, invalid("%d protocols, at most %d are allowed", len(m.Protocols), maxProtocols)
	case len(m.Replaces) > handshake.BindingSize:
		return nil, invalid("the name of a link of %d bytes", len(m.Replaces))
	case len(m.Listen) > maxListenAddrs:
		return nil, invalid("%d listen addresses, at most %d are allowed", len(m.Listen), maxListenAddrs)
	case len(m.Wires) > maxWires || slices.ContainsFunc(m.Wires, func(s string) bool { return !isName(s) }):
		return nil, invalid("%d wires, at most %d, in plain text, are allowed", len(m.Wires), maxWires)
	}
	*info = handshake.NodeInfo{
		ID: a.RemoteID, PeerID: a.RemoteKey.PeerID(), Network: m.Network, Moniker: m.Moniker, Version: m.Version,
		Height: m.Height, BlockVersion: m.BlockVersion, P2PVersion: m.P2PVersion, AppVersion: m.AppVersion,
		Wires: m.Wires, TxIndex: m.TxIndex, RPCAddress: m.RpcAddress, Replaces: m.Replaces,
	}
	if len(m.Observed) <= handshake.MaxObserved {
		info.Observed = m.Observed
	}
	var both []muxer.Channel
	for i, c := range m.Channels {
		if c.Id > 255 || !isName(c.Name) {
			return nil, invalid("channel %d (%.40q) has no possible id and name", c.Id, c.Name)
		}
		for _, d := range m.Channels[:i] {
			if c.Id == d.Id || c.Name == d.Name {
				return nil, invalid("channel 0x%02x (%.40q) is there twice", c.Id, c.Name)
			}
		}
		at := slices.IndexFunc(a.Channels, func(o muxer.Channel) bool { return o.ID == byte(c.Id) })
		if at >= 0 && a.Channels[at].WithDefaults().Name == c.Name {
			both = append(both, a.Channels[at])
		} else if at >= 0 {
			continue
		}
		info.Channels = append(info.Channels, byte(c.Id))
	}
	for _, p := range m.Protocols {
		if !isName(p) {
			return nil, invalid("protocol %.40q is not plain text of at most %d bytes", p, maxName)
		}
	}
	info.Protocols = m.Protocols
	for _, raw := range m.Listen {
		if len(raw) > maxListenAddr {
			return nil, invalid("a listen address of %d bytes, at most %d are allowed", len(raw), maxListenAddr)
		}
		// of a kind that we do not know: no reason to refuse the node
		if addr, err := ma.NewMultiaddrBytes(raw); err == nil && len(addr) > 0 {
			info.Listen = append(info.Listen, addr.String())
		}
	}
	return both, nil
}

// isName reports whether s is a possible name: some printable ASCII, without spaces around it.
func isName(s string) bool {
	return s != "" && len(s) <= maxName && plainText(s, maxName) == s && strings.TrimSpace(s) == s
}

func invalid(format string, args ...any) error {
	return &handshake.Refusal{Code: muxer.CodeInvalidInfo, Stage: handshake.StageInfo,
		Reason: "hello: " + fmt.Sprintf(format, args...)}
}

// ownVerdict is what we say to the remote; nil takes the link.
func ownVerdict(r *handshake.Refusal) *switchyardpb.HelloVerdict {
	if r == nil {
		return &switchyardpb.HelloVerdict{Accepted: true}
	}
	return &switchyardpb.HelloVerdict{Code: uint32(r.Code), Limit: plainText(r.Limit, maxLimit),
		Reason: plainText(r.Reason, maxReason)}
}

// refusalOf is the remote's verdict; nil when it takes the link.
func refusalOf(m *switchyardpb.HelloVerdict) *handshake.Refusal {
	if m.Accepted {
		return nil
	}
	r := &handshake.Refusal{Remote: true, Stage: handshake.StageInfo, Limit: plainText(m.Limit, maxLimit),
		Reason: plainText(m.Reason, maxReason)}
	if m.Code <= 0xffff {
		r.Code = muxer.Code(m.Code)
	}
	return r
}

// plainText is at most limit bytes of s, with a question mark in place of what is not printable ASCII: it goes to logs
// and terminals.
func plainText(s string, limit int) string {
	return strings.Map(func(r rune) rune {
		if r < 32 || r > 126 {
			return '?'
		}
		return r
	}, s[:min(len(s), limit)])
}
