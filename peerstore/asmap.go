package peerstore

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a map of autonomous systems. The whole Internet has about 1.2 million prefixes.
const (
	maxASLine     = 256       // bytes
	maxASPrefixes = 4_000_000 // lines
)

// ReadGroups reads a map of autonomous systems: lines of a CIDR and a system ("192.0.2.0/24 AS64496" or "192.0.2.0/24
// 64496"), blank lines, and comments that begin with #. The longest prefix prevails. Its error is an *ASMapError, or
// the reader's.
func ReadGroups(r io.Reader) (*Groups, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 4096), maxASLine)
	var all []asPrefix
	line := 0
	for in.Scan() {
		line++
		text, _, _ := strings.Cut(in.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		p, err := parseASLine(words)
		if err != "" {
			return nil, &ASMapError{line, err}
		}
		if len(all) == maxASPrefixes {
			return nil, &ASMapError{line, fmt.Sprintf("more than %d prefixes", maxASPrefixes)}
		}
		all = append(all, p)
	}
	if err := in.Err(); err != nil {
		if err == bufio.ErrTooLong {
			return nil, &ASMapError{line + 1, fmt.Sprintf("longer than %d bytes", maxASLine)}
		}
		return nil, err
	}
	return &Groups{newSystems(all)}, nil
}

// ASMapError says what is wrong in a map of autonomous systems.
type ASMapError struct {
	Line int
	Why  string
}

func (e *ASMapError) Error() string { return fmt.Sprintf("AS map, line %d: %s", e.Line, e.Why) }

func parseASLine(words []string) (p asPrefix, why string) {
	if len(words) != 2 {
		return p, "want a CIDR and an AS number"
	}
	prefix, err := netip.ParsePrefix(words[0])
	if err != nil || prefix.Addr().Is4In6() {
		return p, fmt.Sprintf("%.60q is not a CIDR", words[0])
	}
	digits := words[1]
	if len(digits) > 2 && strings.EqualFold(digits[:2], "AS") {
		digits = digits[2:]
	}
	as, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return p, fmt.Sprintf("%.60q is not an AS number", words[1])
	}
	return asPrefix{prefix.Masked(), uint32(as)}, ""
}

type asPrefix struct {
	prefix netip.Prefix
	as     uint32
}

// systems are the prefixes flattened to ranges: each begins at a start and ends before the next. System 0 is none.
type systems struct {
	starts []netip.Addr
	as     []uint32
}

func newSystems(all []asPrefix) *systems {
	// A prefix comes before those within it; of equal ones the last in the file prevails.
	slices.SortStableFunc(all, func(a, b asPrefix) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	s := &systems{}
	var open []asPrefix // those around the place that is reached, the innermost last
	shut := func(before netip.Addr) {
		for len(open) > 0 && (!before.IsValid() || !open[len(open)-1].prefix.Contains(before)) {
			end := last(open[len(open)-1].prefix).Next()
			open = open[:len(open)-1]
			as := uint32(0)
			if len(open) > 0 {
				as = open[len(open)-1].as
			}
			if end.IsValid() {
				s.begin(end, as)
			}
		}
	}
	for _, p := range all {
		shut(p.prefix.Addr())
		s.begin(p.prefix.Addr(), p.as)
		open = append(open, p)
	}
	shut(netip.Addr{})
	return s
}

// begin starts a range. One that starts at the same place is replaced.
func (s *systems) begin(at netip.Addr, as uint32) {
	if n := len(s.starts); n > 0 && s.starts[n-1] == at {
		s.as[n-1] = as
		return
	}
	s.starts, s.as = append(s.starts, at), append(s.as, as)
}

func (s *systems) find(ip netip.Addr) (uint32, bool) {
	if s == nil {
		return 0, false
	}
	i, found := slices.BinarySearchFunc(s.starts, ip, netip.Addr.Compare)
	if !found {
		i--
	}
	if i < 0 || s.as[i] == 0 || s.starts[i].Is4() != ip.Is4() {
		return 0, false
	}
	return s.as[i], true
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for i := range raw {
		free := min(max(8*(i+1)-p.Bits(), 0), 8) // bits of this byte behind the prefix
		raw[i] |= byte(1<<free - 1)
	}
	ip, _ := netip.AddrFromSlice(raw)
	return ip
}
