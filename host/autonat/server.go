package autonat

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	probeTime  = 10 * time.Second // for a dial with its handshake and the nonce
	answerTime = 5 * time.Second  // for the other end to confirm the nonce
)

// Outcomes of a request, as the metric counts them.
const (
	outcomeReached     = "reached"
	outcomeUnreachable = "unreachable"
	outcomeEnded       = "ended" // connected, but the nonce could not be told
	outcomeRejected    = "rejected"
	outcomeRefused     = "refused"
	outcomeMalformed   = "malformed"
)

var outcomes = []string{outcomeReached, outcomeUnreachable, outcomeEnded, outcomeRejected, outcomeRefused,
	outcomeMalformed}

// serveRequest answers one request of a peer: it dials the first address that it may, and tells what came of that.
func (s *Service) serveRequest(ctx context.Context, from transport.NodeID, st muxer.Stream) {
	ctx, cancel := context.WithTimeout(ctx, streamTime)
	defer cancel()
	_ = st.SetDeadline(time.Now().Add(streamTime))
	outcome, answer := s.answer(ctx, from, st)
	s.served.WithLabelValues(outcome).Inc()
	if answer == nil {
		_ = st.Reset(muxer.CodeProtocolError)
		return
	}
	s.log.Debug("a peer asked to be dialed back", slog.String("peer", from.Short()), slog.String("outcome", outcome))
	if _, err := st.Write(answer.frame()); err != nil {
		_ = st.Reset(muxer.CodeUnknown)
	}
}

func (s *Service) answer(ctx context.Context, from transport.NodeID, st muxer.Stream) (string, *response) {
	peer, up := s.host.Peer(from)
	if !up || !peer.IP.IsValid() || !s.limits.begin(peer.IP, time.Now()) {
		return outcomeRejected, &response{status: statusRejected}
	}
	defer s.limits.end(peer.IP)
	b, err := readFrame(bufio.NewReaderSize(st, 1<<10), maxMessage)
	if err != nil {
		return outcomeMalformed, nil
	}
	m, err := parseMessage(b)
	if err != nil || m.request == nil {
		return outcomeMalformed, nil
	}
	index, to, ok := s.choose(m.request, &peer)
	if !ok {
		return outcomeRefused, &response{status: statusRefused}
	}
	r := &response{status: statusOK, index: uint64(index)}
	probing, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	connected := false
	err = s.probe(probing, to, func(ctx context.Context, open Opener) error {
		connected = true
		return tell(ctx, open, m.request.nonce)
	})
	switch {
	case err == nil:
		r.dial = dialOK
		return outcomeReached, r
	case connected, errors.Is(err, ErrEnded):
		r.dial = dialBackError
		return outcomeEnded, r
	}
	r.dial = dialError
	return outcomeUnreachable, r
}

// choose returns the first address of a request that we dial: an IP and port over TCP or QUIC, of the very IP that the
// peer is linked from.
func (s *Service) choose(r *request, peer *host.PeerInfo) (int, transport.Address, bool) {
	for i, raw := range r.addresses {
		if a, ok := probed(raw, peer.PeerID); ok {
			ip, _ := a.IP()
			if ip = ip.Unmap(); ip == peer.IP.Unmap() && (s.cfg.Loopback || !ip.IsLoopback()) && !unusable(ip) {
				return i, a, true
			}
		}
	}
	return 0, transport.Address{}, false
}

// unusable reports an IP that names no single machine.
func unusable(ip netip.Addr) bool {
	return ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// probed is an address of a request, as one of the node of that peer id, if it is of the kind that is dialed back.
func probed(raw []byte, peerID string) (a transport.Address, ok bool) {
	m, err := ma.NewMultiaddrBytes(raw)
	if err != nil || len(m) == 0 || peerID == "" {
		return a, false
	}
	if m[len(m)-1].Code() == ma.P_P2P {
		m = m[:len(m)-1]
	}
	if !dialable(m) {
		return a, false
	}
	a, err = transport.NewAddress(m, peerID)
	return a, err == nil && a.Port() != 0
}

// dialable reports whether an address is an IP and port over TCP or QUIC, and nothing more.
func dialable(m ma.Multiaddr) bool {
	if _, ok := transport.MultiaddrIP(m); !ok {
		return false
	}
	return len(m) == 2 && m[1].Code() == ma.P_TCP ||
		len(m) == 3 && m[1].Code() == ma.P_UDP && m[2].Code() == ma.P_QUIC_V1
}

// tell sends the nonce on a new stream, and waits until the other end has it: the connection ends right after.
func tell(ctx context.Context, open Opener, nonce uint64) error {
	st, err := open(ctx, DialBackProtocol)
	if err != nil {
		return err
	}
	_ = st.SetDeadline(time.Now().Add(answerTime))
	defer context.AfterFunc(ctx, func() { _ = st.Reset(muxer.CodeTimeout) })()
	if _, err = st.Write(nonceFrame(nonce)); err == nil {
		err = st.CloseWrite()
	}
	if err == nil {
		var b [1]byte // of an answer without fields, which is the byte of its length
		var n int
		if n, err = st.Read(b[:]); n > 0 || wasReset(err) {
			err = nil
		}
	}
	if err != nil {
		_ = st.Reset(muxer.CodeUnknown)
		return err
	}
	return st.Close()
}

// wasReset reports a reset without a code: go-libp2p resets the stream behind its answer, and the reset may overtake
// that.
func wasReset(err error) bool {
	r, ok := errors.AsType[*muxer.ResetError](err)
	return ok && r.Remote && r.Code == 0
}
