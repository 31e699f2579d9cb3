package autonat

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	maxAsked = 3 // peers
	maxOwn   = 8 // addresses of ours that they are asked about
	askTime  = 45 * time.Second
	// nonceTime is how long a nonce may arrive after the answer that it was sent.
	nonceTime = 3 * time.Second
)

// Verdict is what is known of an address.
type Verdict string

// The verdicts.
const (
	Reachable   Verdict = "reachable"
	Unreachable Verdict = "unreachable"
	Unknown     Verdict = "unknown" // nobody could be asked, or nobody knows
)

// Answer is what one peer says of an address.
type Answer struct {
	Peer    transport.NodeID `json:"node_id"`
	Verdict Verdict          `json:"verdict"`
	Proven  bool             `json:"proven"` // the nonce has arrived on a new link; else it is the peer's word
	Why     string           `json:"why"`
}

// Judged is an address of ours with what peers say of it.
type Judged struct {
	Address string   `json:"address"`
	Verdict Verdict  `json:"verdict"` // of the best answer
	Proven  bool     `json:"proven"`
	Why     string   `json:"why"`
	Answers []Answer `json:"answers"`
}

// Report is the result of Ask.
type Report struct {
	Peers     []transport.NodeID `json:"peers"` // that were asked
	Addresses []Judged           `json:"addresses"`
}

// leastDoubters is how many peers must have failed to reach any public address of the node before it counts as private:
// one may lie.
const leastDoubters = 2

// reachability is what the answers about public addresses show; false if that is nothing. Only a proof makes the node
// public.
func (r *Report) reachability() (host.Reachability, bool) {
	doubt := map[transport.NodeID]bool{}
	for _, a := range r.Addresses {
		m, err := ma.NewMultiaddr(a.Address)
		if err != nil || scope(m) != 0 {
			continue
		}
		switch {
		case a.Proven:
			return host.ReachabilityPublic, true
		case a.Verdict == Reachable:
			return 0, false
		}
		for _, answer := range a.Answers {
			if answer.Verdict == Unreachable {
				doubt[answer.Peer] = true
			}
		}
	}
	return host.ReachabilityPrivate, len(doubt) >= leastDoubters
}

// Reachable reports whether any public address was reached.
func (r *Report) Reachable() Verdict {
	best := Unknown
	for _, a := range r.Addresses {
		m, err := ma.NewMultiaddr(a.Address)
		if err != nil {
			continue
		}
		if ip, ok := transport.MultiaddrIP(m); !ok || !transport.IsPublicIP(ip) {
			continue
		}
		switch {
		case a.Verdict == Reachable:
			return Reachable
		case a.Verdict == Unreachable:
			best = Unreachable
		}
	}
	return best
}

// expected is a nonce that a peer is to send.
type expected struct {
	began     time.Time
	transport string // over which it is to come
	public    bool   // for a public address: from inside our network it proves nothing
	arrived   chan struct{}
	once      sync.Once
}

// Ask asks up to three peers to dial each of our addresses. Peers that we have dialed are asked first: an attacker
// chooses whom it dials, not whom we dial. Ask takes up to 45 s; calls wait for each other. It tells host.Reach if a
// public address is proven, or if two peers have failed to reach any.
func (s *Service) Ask(ctx context.Context) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	own := s.own()
	asked, nobody := s.choosePeers()
	report := Report{Peers: []transport.NodeID{}, Addresses: make([]Judged, len(own))}
	for i, m := range own {
		report.Addresses[i] = Judged{Address: m.String(), Verdict: Unknown, Why: nobody, Answers: []Answer{}}
	}
	var (
		mu sync.Mutex // guards report
		wg sync.WaitGroup
	)
	for _, p := range asked {
		report.Peers = append(report.Peers, p.ID)
		wg.Go(func() {
			for i, m := range own {
				mu.Lock()
				known := report.Addresses[i].Proven
				mu.Unlock()
				if known {
					continue
				}
				a := s.ask(ctx, &p, m)
				mu.Lock()
				report.Addresses[i].Answers = append(report.Addresses[i].Answers, a)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i := range report.Addresses {
		report.Addresses[i].judge()
	}
	if v, ok := report.reachability(); ok {
		s.host.Reach.Set(v)
	}
	return report, nil
}

// judge takes over the best answer: a proof, then a success, then a failure.
func (j *Judged) judge() {
	rank := func(a Answer) int {
		switch {
		case a.Proven:
			return 0
		case a.Verdict == Reachable:
			return 1
		case a.Verdict == Unreachable:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(j.Answers, func(a, b Answer) int { return cmp.Compare(rank(a), rank(b)) })
	if len(j.Answers) > 0 {
		best := j.Answers[0]
		j.Verdict, j.Proven, j.Why = best.Verdict, best.Proven, best.Why
	}
}

// own returns the addresses that peers may be asked about, public ones first: those that the node tells, and those at
// which peers see it.
func (s *Service) own() []ma.Multiaddr {
	var out []ma.Multiaddr
	add := func(m ma.Multiaddr) {
		ip, ok := transport.MultiaddrIP(m)
		if ok && dialable(m) && !ip.IsLinkLocalUnicast() && !unusable(ip) &&
			!slices.ContainsFunc(out, func(o ma.Multiaddr) bool { return o.Equal(m) }) {
			out = append(out, m)
		}
	}
	for _, a := range s.host.SelfAddresses() {
		add(a.Multiaddr())
	}
	for _, o := range s.host.Reach.Observed() {
		add(o.Address)
	}
	slices.SortStableFunc(out, func(a, b ma.Multiaddr) int { return cmp.Compare(scope(a), scope(b)) })
	return out[:min(len(out), maxOwn)]
}

// scope orders addresses by how far away they can be reached.
func scope(m ma.Multiaddr) int {
	switch ip, _ := transport.MultiaddrIP(m); {
	case transport.IsPublicIP(ip):
		return 0
	case manet.IsIPLoopback(m):
		return 2
	}
	return 1
}

// choosePeers returns up to maxAsked peers that dial back, of different network groups if there are, or why there are
// none.
func (s *Service) choosePeers() ([]host.PeerInfo, string) {
	all := s.host.Peers()
	comet := 0
	var able []host.PeerInfo
	for _, p := range all {
		switch {
		case p.Wire == transport.WireComet:
			comet++
		case slices.Contains(p.Protocols, DialProtocol):
			able = append(able, p)
		}
	}
	switch {
	case len(all) == 0:
		return nil, "nobody could be asked: the node has no peer"
	case len(able) == 0 && comet == len(all):
		return nil, fmt.Sprintf("nobody could be asked: all %d peers are linked over comet, which carries no streams",
			comet)
	case len(able) == 0:
		return nil, fmt.Sprintf("nobody could be asked: none of the %d peers dials back (AutoNAT v2)", len(all))
	}
	slices.SortStableFunc(able, func(a, b host.PeerInfo) int {
		switch {
		case a.Inbound == b.Inbound:
			return 0
		case b.Inbound:
			return -1
		}
		return 1
	})
	var chosen, rest []host.PeerInfo
	for _, p := range able {
		same := func(o host.PeerInfo) bool { return transport.IPGroup(o.IP) == transport.IPGroup(p.IP) }
		if slices.ContainsFunc(chosen, same) {
			rest = append(rest, p)
		} else {
			chosen = append(chosen, p)
		}
	}
	chosen = append(chosen, rest...)
	return chosen[:min(len(chosen), maxAsked)], ""
}

// ask asks one peer about one address.
func (s *Service) ask(ctx context.Context, p *host.PeerInfo, m ma.Multiaddr) Answer {
	a := Answer{Peer: p.ID, Verdict: Unknown}
	from := p.IP.Unmap()
	switch far := scope(m); {
	case far == 2 && !from.IsLoopback():
		a.Why = "not asked: a loopback address is for this machine alone"
		return a
	case far > 0 && transport.IsPublicIP(from):
		a.Why = "not asked: the peer is outside, and this is a private address"
		return a
	}
	if ctx.Err() != nil {
		a.Why = "not asked: no time was left"
		return a
	}
	r, proven, err := s.request(ctx, p.ID, m)
	name := p.ID.Short()
	switch {
	case errors.Is(err, errNoAnswer), err != nil && ctx.Err() != nil:
		a.Why = name + " did not answer in time"
	case err != nil:
		a.Why = name + " gave no answer: " + plain(err)
	case r.status == statusRejected:
		a.Why = name + " has no time to dial back now: it limits how often"
	case r.status == statusRefused:
		a.Why = name + " does not dial this address: it is not at the IP from which it knows this node, or private"
	case r.status != statusOK:
		a.Why = name + " failed to dial back"
	case proven:
		a.Verdict, a.Proven, a.Why = Reachable, true, name+" has dialed it, and its proof arrived on the new link"
	case r.dial == dialOK:
		a.Why = name + " says that it has reached the address, but its proof did not arrive: not believed"
	case r.dial == dialBackError:
		a.Verdict = Reachable
		a.Why = name + " says that it has connected; this node ended that link before the proof " +
			"(no place for guests: peers.guests?)"
	case r.dial == dialError:
		a.Verdict, a.Why = Unreachable, name+" could not connect to it"
	default:
		a.Why = name + " gave an answer that means nothing"
	}
	return a
}

// plain is the text of an error in one line of printable ASCII: a remote may have chosen parts of it.
func plain(err error) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, err.Error())
	return text[:min(len(text), 200)]
}

var errNoAnswer = errors.New("no answer in time")

// request sends one request and returns the response, and whether the nonce arrived.
func (s *Service) request(ctx context.Context, to transport.NodeID, m ma.Multiaddr) (r *response, proven bool,
	err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, streamTime, errNoAnswer)
	defer cancel()
	e := &expected{began: time.Now(), transport: "tcp", public: scope(m) == 0, arrived: make(chan struct{})}
	if len(m) == 3 {
		e.transport = "quic"
	}
	nonce := s.expect(e)
	defer s.forget(nonce)
	st, err := s.host.OpenStream(ctx, to, DialProtocol)
	if err != nil {
		return nil, false, err
	}
	defer func() {
		if err == nil {
			_ = st.Close()
			return
		}
		_ = st.Reset(muxer.CodeUnknown)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	defer context.AfterFunc(ctx, func() { _ = st.Reset(muxer.CodeTimeout) })()
	q := request{addresses: [][]byte{m.Bytes()}, nonce: nonce}
	if _, err := st.Write(q.frame()); err != nil {
		return nil, false, err
	}
	r, err = readAnswer(st)
	if err != nil {
		return nil, false, err
	}
	if r.status == statusOK && (r.dial == dialOK || r.dial == dialBackError) {
		wait := nonceTime
		if r.dial == dialBackError { // it was lost, or came before
			wait = time.Second / 4
		}
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-e.arrived:
			return r, true, nil
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return r, false, nil
}

// readAnswer reads the response, and before it sends the data that the server may ask for.
func readAnswer(st muxer.Stream) (*response, error) {
	in := bufio.NewReaderSize(st, 1<<10)
	for paid := false; ; paid = true {
		b, err := readFrame(in, maxMessage)
		if err != nil {
			return nil, err
		}
		m, err := parseMessage(b)
		switch {
		case err != nil:
			return nil, err
		case m.response != nil && m.response.index != 0:
			return nil, fmt.Errorf("%w: about an address that was not asked", errMalformed)
		case m.response != nil:
			return m.response, nil
		case m.dataRequest == nil || paid:
			return nil, errMalformed
		case m.dataRequest.index != 0 || m.dataRequest.bytes > maxDialData:
			return nil, fmt.Errorf("it asks for %d bytes of data first, at most %d are sent", m.dataRequest.bytes,
				maxDialData)
		}
		for left := int(m.dataRequest.bytes); left > 0; left -= dataChunk {
			if _, err := st.Write(dataFrame(min(left, dataChunk))); err != nil {
				return nil, err
			}
		}
	}
}

// expect registers a new nonce.
func (s *Service) expect(e *expected) uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	nonce := binary.BigEndian.Uint64(b[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nonces[nonce] = e
	return nonce
}

func (s *Service) forget(nonce uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.nonces, nonce)
}

// serveDialBack takes a nonce. It counts only on a link that the remote has made since we asked: on an older one, or
// one that we made, it proves nothing.
func (s *Service) serveDialBack(_ context.Context, from transport.NodeID, st muxer.Stream) {
	_ = st.SetDeadline(time.Now().Add(answerTime))
	const most = 64 // bytes
	b, err := readFrame(bufio.NewReaderSize(st, 16), most)
	var nonce uint64
	if err == nil {
		nonce, err = parseNonce(b)
	}
	s.mu.Lock()
	e := s.nonces[nonce]
	s.mu.Unlock()
	peer, up := s.host.Peer(from)
	if err != nil || e == nil || !up || !peer.Inbound || peer.Connected.Before(e.began) ||
		peer.Transport != e.transport || e.public && !transport.IsPublicIP(peer.IP) {
		_ = st.Reset(muxer.CodeProtocolError)
		return
	}
	e.once.Do(func() { close(e.arrived) })
	_, _ = st.Write([]byte{0}) // an answer without fields
}
