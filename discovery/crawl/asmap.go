package crawl

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Bounds of an AS map. The whole Internet has about 1.2 million prefixes.
const (
	maxASLine   = 1024      // bytes
	maxASRanges = 2_000_000 // lines
	maxASName   = 80        // characters
)

// System is an autonomous system.
type System struct {
	Number  uint32 `json:"number"`
	Name    string `json:"name,omitempty"`
	Country string `json:"country,omitempty"` // two letters
}

// String returns the system for people, such as "AS64496 Example (DE)".
func (s System) String() string {
	text := "AS" + strconv.FormatUint(uint64(s.Number), 10)
	if s.Name != "" {
		text += " " + s.Name
	}
	if s.Country != "" {
		text += " (" + s.Country + ")"
	}
	return text
}

// ASMap says which autonomous system an IP is in. ReadASMap makes one; it does not change.
type ASMap struct {
	ranges []asRange // in order of first, and the wider ones first
	names  map[uint32]System
}

// asRange is from first to last, both of it. Around it, or before it, is the range outer, -1 for none: of those that
// begin earlier and end no earlier than this one begins, the last.
type asRange struct {
	first, last netip.Addr
	number      uint32
	outer       int32
}

// ReadASMap reads which IPs are of which autonomous system, one range a line, in one of these forms:
//
//	192.0.2.0<tab>192.0.2.255<tab>64496<tab>DE<tab>EXAMPLE-AS Example    first IP, last IP, number, country, name
//	192.0.2.0/24,64496,"EXAMPLE-AS Example"                              CIDR, number, and a name or nothing
//	192.0.2.0/24 AS64496                                                 as in peers.as_map
//
// Number 0 is none. Of ranges within each other the narrowest prevails. Blank lines, and what follows a # at the begin
// of a line, do not count; neither does a first line that begins with no IP, which names columns. Its error is a
// *peerstore.ASMapError, or the reader's.
func ReadASMap(r io.Reader) (*ASMap, error) {
	m := &ASMap{names: make(map[uint32]System)}
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, maxASLine), maxASLine)
	line := 0
	for in.Scan() {
		line++
		text := strings.TrimSpace(strings.TrimPrefix(in.Text(), "\ufeff"))
		if text == "" || text[0] == '#' {
			continue
		}
		a, s, err := parseASRange(text)
		if err != nil {
			if errors.Is(err, errNoIP) && line == 1 {
				continue
			}
			return nil, &peerstore.ASMapError{Line: line, Why: err.Error()}
		}
		if len(m.ranges) == maxASRanges {
			return nil, &peerstore.ASMapError{Line: line, Why: fmt.Sprintf("more than %d ranges", maxASRanges)}
		}
		m.ranges = append(m.ranges, a)
		if had, ok := m.names[s.Number]; s.Number != 0 && (!ok || had.Name == "") {
			m.names[s.Number] = s
		}
	}
	if err := in.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, &peerstore.ASMapError{Line: line + 1, Why: fmt.Sprintf("longer than %d bytes", maxASLine)}
		}
		return nil, err
	}
	m.nest()
	return m, nil
}

// errNoIP says that a line does not begin with an IP or a CIDR.
var errNoIP = errors.New("want a first and a last IP, or a CIDR, and an AS number")

func parseASRange(text string) (a asRange, s System, err error) {
	fields := strings.Split(text, "\t")
	if len(fields) < 3 {
		if fields, err = csv.NewReader(strings.NewReader(text)).Read(); err != nil {
			return a, s, errors.New("not a row of CSV")
		}
		if len(fields) == 1 {
			fields = strings.Fields(text)
		}
	}
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	var rest []string
	if p, err := netip.ParsePrefix(fields[0]); err == nil && len(fields) > 1 && !p.Addr().Is4In6() {
		a.first, a.last, rest = p.Masked().Addr(), lastOf(p), fields[1:]
	} else if first, err := netip.ParseAddr(fields[0]); err == nil && len(fields) > 2 {
		last, err := netip.ParseAddr(fields[1])
		first, last = first.Unmap(), last.Unmap()
		if err != nil || first.Zone() != "" || last.Zone() != "" || first.Is4() != last.Is4() || last.Less(first) {
			return a, s, fmt.Errorf("%.60q to %.60q is not a range", fields[0], fields[1])
		}
		a.first, a.last, rest = first, last, fields[2:]
		if len(rest) > 1 {
			s.Country = country(rest[1])
			rest = slices.Delete(rest, 1, 2)
		}
	} else if err == nil {
		return a, s, errors.New("want a last IP and an AS number after the first IP")
	} else if _, wrong := netip.ParsePrefix(fields[0]); wrong == nil {
		return a, s, errors.New("want an AS number after the CIDR")
	} else {
		return a, s, errNoIP
	}
	digits := rest[0]
	if len(digits) > 2 && strings.EqualFold(digits[:2], "AS") {
		digits = digits[2:]
	}
	number, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return a, s, fmt.Errorf("%.60q is not an AS number", rest[0])
	}
	a.number, s.Number = uint32(number), uint32(number)
	if len(rest) > 1 {
		s.Name = Plain(rest[1], maxASName)
	}
	return a, s, nil
}

// country returns a country's two letters, "" for anything else.
func country(text string) string {
	if len(text) != 2 || text[0] < 'A' || text[0] > 'Z' || text[1] < 'A' || text[1] > 'Z' {
		return ""
	}
	return text
}

// lastOf returns the last IP of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// nest puts the ranges in order, and finds what is around each.
func (m *ASMap) nest() {
	slices.SortStableFunc(m.ranges, func(a, b asRange) int {
		return cmp.Or(a.first.Compare(b.first), b.last.Compare(a.last))
	})
	open := int32(-1)
	for i := range m.ranges {
		for open >= 0 && m.ranges[open].last.Less(m.ranges[i].first) {
			open = m.ranges[open].outer
		}
		m.ranges[i].outer = open
		open = int32(i)
	}
}

// Find returns the system of an IP; false for none.
func (m *ASMap) Find(ip netip.Addr) (System, bool) {
	ip = ip.Unmap()
	i, same := slices.BinarySearchFunc(m.ranges, ip, func(a asRange, ip netip.Addr) int { return a.first.Compare(ip) })
	for same && i+1 < len(m.ranges) && m.ranges[i+1].first == ip { // the narrowest of those that begin here
		i++
	}
	if !same {
		i--
	}
	for ; i >= 0; i = int(m.ranges[i].outer) {
		if a := &m.ranges[i]; !a.last.Less(ip) {
			s, ok := m.names[a.number]
			return s, ok
		}
	}
	return System{}, false
}

// SetSystems says of each node in which autonomous system its best address is, and counts them in the summary.
func (m *Map) SetSystems(as *ASMap) {
	systems := map[string]int{}
	for i := range m.Nodes {
		n := &m.Nodes[i]
		n.AS = nil
		ip, ok := n.Best().IP()
		if !ok {
			continue
		}
		name := ""
		if s, ok := as.Find(ip); ok {
			n.AS, name = &s, s.String()
		}
		if n.present() {
			systems[name]++
		}
	}
	m.Summary.Systems = counts(systems)
}
