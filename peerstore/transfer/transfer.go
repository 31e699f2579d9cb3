// Package transfer writes what a peer store knows as JSON, and reads it into another store; it also reads CometBFT's
// addrbook.json.
//
// The form is one object:
//
//	{"format": "switchyard-peers", "version": 1, "exported": TIME,
//	 "peers": [{"id": ID, "addresses": [{"address": MULTIADDR, "source": KIND, "from": ID, "from_ip": IP,
//	   "first_heard": TIME, "last_heard": TIME, "last_dialed": TIME, "last_success": TIME, "failures": N,
//	   "not_before": TIME, "last_error": TEXT}],
//	   "first_seen": TIME, "trusted": BOOL, "unconditional": BOOL, "private": BOOL, "score": N, "scored": TIME,
//	   "height": N, "last_connected": TIME, "last_disconnected": TIME, "failures": N, "not_before": TIME,
//	   "quarantined": TIME, "quarantine_reason": TEXT}],
//	 "bans": [{"target": ID|IP|CIDR, "since": TIME, "until": TIME, "reason": TEXT}]}
//
// Times are RFC 3339; what is zero or empty is left out; a ban without "until" holds forever. Readers ignore
// unknown names.
package transfer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Format and Version name the form that Export writes.
const (
	Format  = "switchyard-peers"
	Version = 1
)

// maxSize bounds what Import reads: for a million peers a file has about 400 MB.
const maxSize = 4 << 30 // bytes

type peer struct {
	ID               transport.NodeID `json:"id"`
	Addresses        []address        `json:"addresses,omitempty"`
	FirstSeen        time.Time        `json:"first_seen,omitzero"`
	Trusted          bool             `json:"trusted,omitempty"`
	Unconditional    bool             `json:"unconditional,omitempty"`
	Private          bool             `json:"private,omitempty"`
	Score            int16            `json:"score,omitempty"`
	Scored           time.Time        `json:"scored,omitzero"`
	Height           uint64           `json:"height,omitempty"`
	LastConnected    time.Time        `json:"last_connected,omitzero"`
	LastDisconnected time.Time        `json:"last_disconnected,omitzero"`
	Failures         uint32           `json:"failures,omitempty"`
	NotBefore        time.Time        `json:"not_before,omitzero"`
	Quarantined      time.Time        `json:"quarantined,omitzero"`
	QuarantineReason string           `json:"quarantine_reason,omitempty"`
}

type address struct {
	Address     string           `json:"address"`
	Source      string           `json:"source,omitempty"`
	From        transport.NodeID `json:"from,omitempty"`
	FromIP      netip.Addr       `json:"from_ip,omitzero"`
	FirstHeard  time.Time        `json:"first_heard,omitzero"`
	LastHeard   time.Time        `json:"last_heard,omitzero"`
	LastDialed  time.Time        `json:"last_dialed,omitzero"`
	LastSuccess time.Time        `json:"last_success,omitzero"`
	Failures    uint32           `json:"failures,omitempty"`
	NotBefore   time.Time        `json:"not_before,omitzero"`
	LastError   string           `json:"last_error,omitempty"`
}

type ban struct {
	Target string    `json:"target"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// Export writes what the store knows at now, one peer a line. A peer that changes meanwhile may be written twice or not
// at all.
func Export(w io.Writer, s peerstore.Store, now time.Time) error {
	out := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(out, "{\"format\": %q, \"version\": %d, \"exported\": %q,\n\"peers\": [", Format, Version,
		now.UTC().Format(time.RFC3339))
	var failed error
	separator := "\n"
	write := func(v any) bool {
		text, err := json.Marshal(v)
		if err != nil {
			failed = err
			return false
		}
		_, _ = out.WriteString(separator)
		_, failed = out.Write(text)
		separator = ",\n"
		return failed == nil
	}
	s.Range(func(r peerstore.Record) bool { return write(peerOf(&r)) })
	if failed != nil {
		return fmt.Errorf("export peers: %w", failed)
	}
	_, _ = out.WriteString("],\n\"bans\": [")
	separator = "\n"
	for _, b := range s.Bans(now) {
		if !write(ban{b.Target.String(), b.Since.UTC(), b.Until.UTC(), b.Reason}) {
			return fmt.Errorf("export bans: %w", failed)
		}
	}
	_, _ = out.WriteString("]}\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("export peers: %w", err)
	}
	return nil
}

func peerOf(r *peerstore.Record) *peer {
	p := &peer{
		ID: r.ID, FirstSeen: r.FirstSeen.UTC(), Trusted: r.Trusted, Unconditional: r.Unconditional, Private: r.Private,
		Score: r.Score, Scored: r.Scored.UTC(), Height: r.Height, LastConnected: r.LastConnected.UTC(),
		LastDisconnected: r.LastDisconnected.UTC(),
		Failures:         r.Failures, NotBefore: r.NotBefore.UTC(), Quarantined: r.Quarantined.UTC(),
		QuarantineReason: r.QuarantineReason,
	}
	for i := range r.Addresses {
		a := &r.Addresses[i]
		p.Addresses = append(p.Addresses, address{
			Address: a.Address.String(), Source: a.Source.Kind, From: a.Source.From, FromIP: a.Source.IP,
			FirstHeard: a.FirstHeard.UTC(), LastHeard: a.LastHeard.UTC(), LastDialed: a.LastDialed.UTC(),
			LastSuccess: a.LastSuccess.UTC(),
			Failures:    a.Failures, NotBefore: a.NotBefore.UTC(), LastError: a.LastError,
		})
	}
	return p
}

// Imported counts the results of an import.
type Imported struct {
	// that the store had not known; in a full store some had to make room for others since
	Peers     int
	Addresses int // that the store had not known
	Bans      int // that hold now
	Refused   int // addresses that the store did not take: a bound, a ban or a quarantine
	Bad       int // addresses, bans and entries of an address book that cannot be read
}

// Import reads what Export wrote, or CometBFT's addrbook.json, into a store. It keeps what the store knows already and
// adds what is newer. It leaves out what follows from the configuration (trusted and unconditional peers, configured
// addresses) and bans that have ended at now; bounds and buckets hold as for all addresses. Times beyond now are cut:
// what has happened to now, what waits to the longest wait. It counts and leaves out an entry that it cannot read. For
// a text that is not JSON, not of these forms, or goes on after its end, it returns an error and keeps what came
// before. A byte order mark at the beginning is skipped.
func Import(r io.Reader, s peerstore.Store, now time.Time) (Imported, error) {
	text := bufio.NewReader(io.LimitReader(r, maxSize))
	if begin, _ := text.Peek(len(byteOrderMark)); string(begin) == byteOrderMark {
		_, _ = text.Discard(len(begin))
	}
	in := &importer{s: s, now: now, dec: json.NewDecoder(text)}
	if err := in.read(); err != nil {
		return in.Imported, fmt.Errorf("import peers, at byte %d: %w", in.dec.InputOffset(), err)
	}
	return in.Imported, nil
}

const byteOrderMark = "\ufeff" // as some editors write

// ErrForm is returned by Import for JSON that is neither what Export writes nor an addrbook.json.
var ErrForm = errors.New(`neither exported peers ("peers") nor a CometBFT address book ("addrs")`)

// ErrMore is returned by Import for a text that goes on after its one object.
var ErrMore = errors.New("the text goes on after the end of its object; what follows was not read")

type importer struct {
	Imported
	s   peerstore.Store
	now time.Time
	dec *json.Decoder
}

func (in *importer) read() error {
	if err := in.expect(json.Delim('{')); err != nil {
		return err
	}
	found := false
	for in.dec.More() {
		name, err := in.dec.Token()
		if err != nil {
			return err
		}
		switch name {
		case "version":
			var v int
			if err := in.dec.Decode(&v); err != nil {
				return err
			}
			if v > Version {
				return fmt.Errorf("version %d, this program reads up to %d", v, Version)
			}
		case "peers":
			found = true
			err = each(in, in.peer)
		case "bans":
			err = each(in, in.ban)
		case "addrs":
			found = true
			err = each(in, in.comet)
		default:
			var skipped json.RawMessage
			err = in.dec.Decode(&skipped)
		}
		if err != nil {
			return err
		}
	}
	if err := in.expect(json.Delim('}')); err != nil {
		return err
	}
	if !found {
		return ErrForm
	}
	if _, err := in.dec.Token(); err != io.EOF {
		return ErrMore
	}
	return nil
}

func (in *importer) expect(want json.Delim) error {
	t, err := in.dec.Token()
	if err != nil {
		return err
	}
	if t != want {
		return ErrForm
	}
	return nil
}

// each reads an array, one element at a time. An element of another type is a bad one.
func each[T any](in *importer, take func(*T)) error {
	t, err := in.dec.Token()
	if err != nil || t == nil { // null
		return err
	}
	if t != json.Delim('[') {
		return ErrForm
	}
	for in.dec.More() {
		var v T
		err := in.dec.Decode(&v)
		var syntax *json.SyntaxError
		switch {
		case err == nil:
			take(&v)
		case errors.As(err, &syntax), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			return err
		default: // a value that does not fit
			in.Bad++
		}
	}
	return in.expect(json.Delim(']'))
}

func (in *importer) ban(b *ban) {
	target, err := peerstore.ParseTarget(b.Target)
	if err != nil {
		in.Bad++
		return
	}
	if !b.Until.IsZero() && !b.Until.After(in.now) {
		return
	}
	ban := peerstore.Ban{Target: target, Since: b.Since, Until: b.Until, Reason: b.Reason}
	if err := in.s.Ban(ban.Begun(in.now)); err != nil {
		in.Refused++
		return
	}
	in.Bans++
}

func (in *importer) peer(p *peer) {
	id, err := transport.ParseNodeID(string(p.ID))
	if err != nil {
		in.Bad++
		return
	}
	var taken []peerstore.AddressRecord
	for i := range p.Addresses {
		a := &p.Addresses[i]
		addr, err := transport.ParseAddress(a.Address)
		if err != nil || addr.ID() != id {
			in.Bad++
			continue
		}
		source := peerstore.Source{Kind: a.Source, IP: a.FromIP}
		if source.Configured() {
			source.Kind = peerstore.SourceOperator
		}
		if from, err := transport.ParseNodeID(string(a.From)); err == nil {
			source.From = from
		}
		in.cut(0, &a.FirstHeard, &a.LastHeard, &a.LastDialed, &a.LastSuccess)
		in.cut(peerstore.LongestBackoff, &a.NotBefore)
		taken = append(taken, peerstore.AddressRecord{
			Address: addr, Source: source,
			FirstHeard: a.FirstHeard, LastHeard: a.LastHeard, LastDialed: a.LastDialed, LastSuccess: a.LastSuccess,
			Failures: a.Failures, NotBefore: a.NotBefore, LastError: a.LastError,
		})
	}
	in.cut(0, &p.FirstSeen, &p.Scored, &p.LastConnected, &p.LastDisconnected)
	in.cut(peerstore.LongestBackoff, &p.NotBefore)
	in.cut(peerstore.LongestQuarantine, &p.Quarantined)
	in.take(id, taken, func(r *peerstore.Record) {
		r.FirstSeen = earlier(r.FirstSeen, p.FirstSeen)
		r.Private = r.Private || p.Private
		if p.Scored.After(r.Scored) || r.Scored.IsZero() && r.Score == 0 {
			r.Score, r.Scored = p.Score, p.Scored
		}
		if p.LastConnected.After(r.LastConnected) {
			r.LastConnected, r.LastDisconnected = p.LastConnected, later(r.LastDisconnected, p.LastDisconnected)
		}
		if r.Height == 0 {
			r.Height = p.Height
		}
		if r.LastConnected.IsZero() && r.Failures == 0 {
			r.Failures, r.NotBefore = p.Failures, later(r.NotBefore, p.NotBefore)
		}
		if p.Quarantined.After(r.Quarantined) {
			r.Quarantined, r.QuarantineReason = p.Quarantined, p.QuarantineReason
		}
	})
}

// cut bounds times to ahead after now.
func (in *importer) cut(ahead time.Duration, times ...*time.Time) {
	last := in.now.Add(ahead)
	for _, t := range times {
		if t.After(last) {
			*t = last
		}
	}
}

// take adds addresses of a peer, and their statistics if these are newer. fn does the same for the peer's own.
func (in *importer) take(id transport.NodeID, addrs []peerstore.AddressRecord, fn func(*peerstore.Record)) {
	_, known := in.s.Get(id)
	for i := range addrs {
		if in.s.Add(addrs[i].Address, addrs[i].Source, in.now) {
			in.Addresses++
		} else if !in.knows(id, addrs[i].Address) {
			in.Refused++
		}
	}
	if in.s.Update(id, func(r *peerstore.Record) {
		for i := range addrs {
			for j := range r.Addresses {
				if r.Addresses[j].Address == addrs[i].Address {
					in.merge(&r.Addresses[j], &addrs[i])
				}
			}
		}
		fn(r)
	}) && !known {
		in.Peers++
	}
}

func (in *importer) knows(id transport.NodeID, a transport.Address) bool {
	r, _ := in.s.Get(id)
	for i := range r.Addresses {
		if r.Addresses[i].Address == a {
			return true
		}
	}
	return false
}

// merge adds to a what only o knows.
func (in *importer) merge(a, o *peerstore.AddressRecord) {
	if a.FirstHeard.Equal(in.now) && a.LastHeard.Equal(in.now) && !o.LastHeard.IsZero() { // it has just been added
		a.LastHeard = o.LastHeard
	}
	a.FirstHeard = earlier(a.FirstHeard, o.FirstHeard)
	if o.LastDialed.After(a.LastDialed) || o.LastSuccess.After(a.LastSuccess) {
		a.LastDialed, a.LastSuccess = later(a.LastDialed, o.LastDialed), later(a.LastSuccess, o.LastSuccess)
		a.Failures, a.NotBefore, a.LastError = o.Failures, later(a.NotBefore, o.NotBefore), o.LastError
	}
}

// earlier returns the earlier of two times that are not zero.
func earlier(a, b time.Time) time.Time {
	if b.IsZero() || !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
