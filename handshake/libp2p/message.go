package libp2p

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// Limits of what a remote says of itself. What is beyond them is not kept, and does not end the link: real nodes have
// up to about 60 protocols.
const (
	maxProtocols   = 256
	maxProtocol    = 256 // bytes of one
	maxListenAddrs = 64
	maxListenAddr  = 512 // bytes of one
	maxAgent       = 128
)

// maxOwnMessage is the longest identify message that we send: the one that every implementation takes.
const maxOwnMessage = 4 << 10

// protocolVersion is what all libp2p nodes say (libp2p/specs, identify).
const protocolVersion = "ipfs/0.1.0"

// Fields of the message (libp2p/specs, identify).
const (
	fieldPublicKey       = 1
	fieldListenAddr      = 2
	fieldProtocol        = 3
	fieldObservedAddr    = 4
	fieldProtocolVersion = 5
	fieldAgent           = 6
	fieldSignedRecord    = 8
)

// message is what a node says of itself.
type message struct {
	publicKey   []byte
	listenAddrs [][]byte
	protocols   []string
	observed    []byte
	agent       string
	record      []byte // the signed peer record
	seq         uint64 // of record, once nodeInfo has verified it
}

// append writes the message.
func (m *message) append(b []byte) []byte {
	bytes := func(field protowire.Number, v []byte) {
		b = protowire.AppendTag(b, field, protowire.BytesType)
		b = protowire.AppendBytes(b, v)
	}
	bytes(fieldPublicKey, m.publicKey)
	for _, a := range m.listenAddrs {
		bytes(fieldListenAddr, a)
	}
	for _, p := range m.protocols {
		bytes(fieldProtocol, []byte(p))
	}
	if len(m.observed) > 0 {
		bytes(fieldObservedAddr, m.observed)
	}
	bytes(fieldProtocolVersion, []byte(protocolVersion))
	bytes(fieldAgent, []byte(m.agent))
	return b
}

// errMessage says that a message is no protocol buffer of the form that it should have.
var errMessage = errors.New("malformed message")

// merge adds what b says: later messages replace single fields and add to lists. It is written by hand because it keeps
// to the bounds before it allocates: generated code would make a slice of the 40,000 empty strings that ten messages
// hold.
func (m *message) merge(b []byte) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errMessage, protowire.ParseError(n))
		}
		if field > protowire.MaxValidNumber {
			return fmt.Errorf("%w: field number %d is above the largest", errMessage, field)
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
				return fmt.Errorf("%w: %w", errMessage, protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errMessage, protowire.ParseError(n))
		}
		b = b[n:]
		switch field {
		case fieldPublicKey:
			m.publicKey = bytes.Clone(v)
		case fieldListenAddr:
			if len(m.listenAddrs) < maxListenAddrs && len(v) <= maxListenAddr {
				m.listenAddrs = append(m.listenAddrs, bytes.Clone(v))
			}
		case fieldProtocol:
			if len(m.protocols) < maxProtocols && len(v) <= maxProtocol {
				m.protocols = append(m.protocols, string(v))
			}
		case fieldObservedAddr:
			if len(v) <= maxListenAddr {
				m.observed = bytes.Clone(v)
			}
		case fieldAgent:
			m.agent = string(v[:min(len(v), maxAgent)])
		case fieldSignedRecord:
			m.record = bytes.Clone(v)
		}
	}
	return nil
}

// nodeInfo is the message as a node info of the node that has proved to have key.
func (m *message) nodeInfo(key handshake.PublicKey) (*handshake.NodeInfo, error) {
	if len(m.publicKey) > 0 && !bytes.Equal(m.publicKey, key.AppendProto(nil)) {
		return nil, &handshake.Refusal{Code: muxer.CodeInvalidInfo, Stage: handshake.StageInfo,
			Reason: "identify names another public key than the one that was proven"}
	}
	info := &handshake.NodeInfo{ID: key.NodeID(), PeerID: key.PeerID(), Version: printable(m.agent), Guest: true}
	if len(m.observed) <= handshake.MaxObserved {
		info.Observed = m.observed
	}
	if len(m.record) > 0 {
		r, err := handshake.OpenPeerRecord(m.record)
		if err == nil && r.Key != key {
			err = errors.New("signed peer record: it is that of another node")
		}
		if err != nil {
			return nil, &handshake.Refusal{Code: muxer.CodeInvalidInfo, Stage: handshake.StageInfo,
				Reason: "identify: " + err.Error()}
		}
		info.SignedRecord, m.seq = m.record, r.Seq
	}
	for _, p := range m.protocols {
		if p = printable(p); p != "" && !slices.Contains(info.Protocols, p) {
			info.Protocols = append(info.Protocols, p)
		}
	}
	for _, raw := range m.listenAddrs {
		a, err := ma.NewMultiaddrBytes(raw)
		if err != nil || len(a) == 0 { // of a kind that we do not know: no reason to refuse the node
			continue
		}
		if text := a.String(); !slices.Contains(info.Listen, text) {
			info.Listen = append(info.Listen, text)
		}
	}
	return info, nil
}

// printable is s, or "" if it has other than printable ASCII characters.
func printable(s string) string {
	for i := range len(s) {
		if s[i] < 32 || s[i] > 126 {
			return ""
		}
	}
	return strings.TrimSpace(s)
}

// self is what we say of ourselves to the remote of one link.
type self struct {
	key      handshake.PublicKey
	channels []muxer.Channel
	plain    bool         // Config.Plain
	observed ma.Multiaddr // the remote's address, as we see it
	local    atomic.Pointer[handshake.NodeInfo]
}

func newSelf(key handshake.PublicKey, a *handshake.Attempt) *self {
	s := &self{key: key, channels: a.Channels, observed: a.Conn.RemoteMultiaddr()}
	local := a.Local // a copy, so that the attempt is not kept
	s.local.Store(&local)
	return s
}

// message is the identify message, with its length ahead, and the signed peer record, in a message of its own if both
// are longer than maxOwnMessage (as go-libp2p sends and reads it).
func (s *self) message() []byte {
	b, record := s.unsigned(), s.local.Load().SignedRecord
	switch m := signedField(record); {
	case len(record) == 0 || len(m) > maxOwnMessage:
	case len(b)+len(m) <= maxOwnMessage:
		b = append(b, m...)
	default:
		b = append(binary.AppendUvarint(nil, uint64(len(b))), b...)
		return append(binary.AppendUvarint(b, uint64(len(m))), m...)
	}
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}

// signedField is the field with a signed peer record.
func signedField(record []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, fieldSignedRecord, protowire.BytesType), record)
}

// unsigned is the identify message without a signed record, at most maxOwnMessage bytes.
func (s *self) unsigned() []byte {
	local := s.local.Load()
	m := message{publicKey: s.key.AppendProto(nil), agent: local.Version}
	if s.observed != nil {
		m.observed = s.observed.Bytes()
	}
	m.protocols = append(m.protocols, protocolIdentify, protocolPush, protocolPing)
	if !s.plain {
		m.protocols = append(m.protocols, protocolHello)
	}
	for _, c := range s.channels {
		if c.Guests { // who has the hello learns there of the others
			m.protocols = append(m.protocols, c.WithDefaults().Name, cometName(c))
		}
	}
	for _, p := range local.Protocols[:min(len(local.Protocols), maxProtocols)] {
		if !slices.Contains(m.protocols, p) {
			m.protocols = append(m.protocols, p)
		}
	}
	for _, text := range local.Listen {
		if l, err := ma.NewMultiaddr(text); err == nil {
			m.listenAddrs = append(m.listenAddrs, l.Bytes())
		}
	}
	b := m.append(nil)
	for len(b) > maxOwnMessage && len(m.listenAddrs)+len(m.protocols) > 0 {
		if n := len(m.listenAddrs); n > 8 || len(m.protocols) == 0 {
			m.listenAddrs = m.listenAddrs[:n-1]
		} else {
			m.protocols = m.protocols[:len(m.protocols)-1]
		}
		b = m.append(b[:0])
	}
	return b
}
