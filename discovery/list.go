package discovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Bounds of a list of addresses, wherever it comes from.
const (
	MaxListBytes     = 1 << 20
	MaxListAddresses = 4096
	maxListFaults    = 16 // that are kept word for word; the others are counted
)

// List is what a text says of peers: the good addresses, in order and each once, and what is wrong with the others.
type List struct {
	Addresses []transport.Address
	Faults    []*ListError // the first ones
	More      int          // further faults
	Left      int          // good addresses beyond MaxListAddresses
}

// ListError is what is wrong with a line of a list.
type ListError struct {
	Line int // from 1
	Text string
	Err  error
}

func (e *ListError) Error() string { return fmt.Sprintf("line %d: %.120q: %v", e.Line, e.Text, e.Err) }

// Unwrap returns the cause.
func (e *ListError) Unwrap() error { return e.Err }

var (
	errNoNode  = errors.New("it names no node: put its id before an @, or /mconn/ID or /p2p/ID at the end")
	errNoEntry = errors.New(`want an address, or an object with "address" or "addresses"`)
)

// ParseList reads a list of addresses, each of which must name its node. There are two forms:
//
//   - lines: an address each; empty lines and what follows a # at the beginning of a word are left out.
//   - JSON: an array of addresses and of objects with "address" or "addresses", as GET /v1/peers and /v1/store answer;
//     or an object that has such an array as "peers" or "addresses".
//
// A bad entry costs itself alone, bad JSON what follows it.
func ParseList(text []byte) List {
	l := list{seen: make(map[transport.Address]bool)}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(text) > MaxListBytes {
		text = text[:MaxListBytes]
		text = text[:bytes.LastIndexByte(text, '\n')+1]
		l.fault(1+bytes.Count(text, []byte("\n")), "",
			fmt.Errorf("the list has more than %d bytes; the rest is not read", MaxListBytes))
	}
	if start := bytes.TrimLeft(text, " \t\r\n"); len(start) > 0 && (start[0] == '[' || start[0] == '{') {
		l.json(text)
	} else {
		l.lines(text)
	}
	return l.List
}

// list is a List that is being made.
type list struct {
	List
	seen map[transport.Address]bool
}

func (l *list) fault(line int, text string, err error) {
	if len(l.Faults) == maxListFaults {
		l.More++
		return
	}
	l.Faults = append(l.Faults, &ListError{Line: line, Text: text, Err: err})
}

// add parses one address.
func (l *list) add(line int, text string) {
	a, err := transport.ParseAddress(text)
	switch {
	case err != nil:
		l.fault(line, text, err)
	case a.ID() == "":
		l.fault(line, text, errNoNode)
	case l.seen[a]:
	case len(l.Addresses) == MaxListAddresses:
		l.Left++
	default:
		l.seen[a] = true
		l.Addresses = append(l.Addresses, a)
	}
}

func (l *list) lines(text []byte) {
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		words := strings.Fields(line)
		for i, w := range words {
			if strings.HasPrefix(w, "#") {
				words = words[:i]
				break
			}
		}
		switch len(words) {
		case 0:
		case 1:
			l.add(n, words[0])
		default:
			l.fault(n, strings.TrimSpace(line), errors.New("want one address a line"))
		}
	}
}

func (l *list) json(text []byte) {
	d := jsonReader{Decoder: json.NewDecoder(bytes.NewReader(text)), text: text, line: 1}
	err := d.list(l)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return
		}
		err = errors.New("there is more after the list")
	}
	d.value(nil)
	l.fault(d.line, "", fmt.Errorf("JSON: %w", err))
}

// jsonReader is a decoder that knows the line it is in.
type jsonReader struct {
	*json.Decoder
	text []byte
	at   int // line counts the lines up to here
	line int
}

// value moves to the value that was just read, and returns its line.
func (d *jsonReader) value(raw json.RawMessage) int {
	start := int(d.InputOffset()) - len(raw)
	d.line += bytes.Count(d.text[d.at:start], []byte("\n"))
	d.at = start
	return d.line
}

// list reads the outermost value.
func (d *jsonReader) list(l *list) error {
	open, err := d.Token()
	if err != nil {
		return err
	}
	if open == json.Delim('[') {
		return d.array(l)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if key != "peers" && key != "addresses" {
			var other json.RawMessage
			if err := d.Decode(&other); err != nil {
				return err
			}
			continue
		}
		if open, err = d.Token(); err != nil {
			return err
		} else if open != json.Delim('[') {
			return fmt.Errorf("%q is no array", key)
		}
		if err := d.array(l); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// array reads the entries of an array and its end.
func (d *jsonReader) array(l *list) error {
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		l.entry(d.value(raw), raw)
	}
	_, err := d.Token()
	return err
}

// entry reads an entry of the array.
func (l *list) entry(line int, raw json.RawMessage) {
	var text string
	if json.Unmarshal(raw, &text) == nil && raw[0] == '"' {
		l.add(line, text)
		return
	}
	var o struct {
		Address   string
		Addresses []string
	}
	if err := json.Unmarshal(raw, &o); err != nil || o.Address == "" && len(o.Addresses) == 0 {
		l.fault(line, string(raw[:min(len(raw), transport.MaxAddressText)]), errNoEntry)
		return
	}
	if o.Address != "" {
		l.add(line, o.Address)
	}
	for _, text := range o.Addresses {
		l.add(line, text)
	}
}

// Usable returns the addresses that the node can dial. The others are of wires and transports that it lacks.
func (e Env) Usable(all []transport.Address) []transport.Address {
	if e.CheckAddress == nil {
		return all
	}
	usable := make([]transport.Address, 0, len(all))
	for _, a := range all {
		if e.CheckAddress(a) == nil {
			usable = append(usable, a)
		}
	}
	return usable
}

// Log returns Logger, or one that discards where that is nil.
func (e Env) Log() *slog.Logger {
	if e.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.Logger
}

// Report logs what a list has: its faults, each as a warning, and how many addresses are usable.
func (l List) Report(log *slog.Logger, where string, usable int) {
	for _, f := range l.Faults {
		log.Warn("an entry of the list was left out", slog.String("list", where), slog.Any("reason", f))
	}
	if l.More+l.Left > 0 {
		log.Warn("more entries of the list were left out", slog.String("list", where), slog.Int("wrong", l.More),
			slog.Int("too_many", l.Left))
	}
	log.Info("read a list of peers", slog.String("list", where), slog.Int("usable", usable),
		slog.Int("of_other_stacks", len(l.Addresses)-usable))
}
