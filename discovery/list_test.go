package discovery

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	idA = "0123456789abcdef0123456789abcdef01234567"
	idB = "89abcdef0123456789abcdef0123456789abcdef"
)

// texts returns the addresses and the lines of the faults.
func texts(l List) (addresses string, lines []int) {
	for _, a := range l.Addresses {
		addresses += a.CometString() + " "
	}
	for _, f := range l.Faults {
		lines = append(lines, f.Line)
	}
	return strings.ReplaceAll(strings.ReplaceAll(addresses, idA, "A"), idB, "B"), lines
}

func TestParseList(t *testing.T) {
	a, b := idA+"@10.0.0.1:1", idB+"@10.0.0.2:2"
	for name, test := range map[string]struct{ in, want, lines string }{
		"empty":    {"", "", "[]"},
		"comments": {"# ours\n\n" + a + " # the first\r\n\t" + b + "\n", "A@10.0.0.1:1 B@10.0.0.2:2 ", "[]"},
		"bad lines": {"nonsense\n" + a + "\n10.0.0.1:26656\n" + a + " " + b + "\n" + b,
			"A@10.0.0.1:1 B@10.0.0.2:2 ", "[1 3 4]"},
		"twice":  {a + "\n" + a + "\n/ip4/10.0.0.1/tcp/1/mconn/" + idA, "A@10.0.0.1:1 ", "[]"},
		"a mark": {"\ufeff" + a, "A@10.0.0.1:1 ", "[]"},
		"array":  {`["` + a + `", "` + b + `"]`, "A@10.0.0.1:1 B@10.0.0.2:2 ", "[]"},
		"objects": {`[{"node_id":"x","address":"` + a + `"},{"addresses":["` + b + `"]}]`,
			"A@10.0.0.1:1 B@10.0.0.2:2 ", "[]"},
		"object": {`{"v":1,"peers":["` + a + `"],"x":{"y":[1]}}`, "A@10.0.0.1:1 ", "[]"},
		"bad entries": {"[\n \"" + a + "\",\n 7,\n null, {},\n \"x\",\n\"" + b + "\"]",
			"A@10.0.0.1:1 B@10.0.0.2:2 ", "[3 4 4 5]"},
		"cut short": {"[\n\"" + a + "\",\n\"" + b, "A@10.0.0.1:1 ", "[2]"},
		"two lists": {`["` + a + `"] ["` + b + `"]`, "A@10.0.0.1:1 ", "[1]"},
		"no array":  {`{"peers": 3}`, "", "[1]"},
	} {
		t.Run(name, func(t *testing.T) {
			l := ParseList([]byte(test.in))
			got, lines := texts(l)
			if got != test.want || fmt.Sprint(lines) != test.lines {
				t.Errorf("%s %v %v; want %s %s", got, lines, l.Faults, test.want, test.lines)
			}
		})
	}
}

// Lists of any length keep to the bounds, and what is left out is counted.
func TestListIsBounded(t *testing.T) {
	var good, bad strings.Builder
	for i := range MaxListAddresses + 10 {
		fmt.Fprintf(&good, "%s@10.0.%d.%d:1\n", idA, i/256, i%256)
		fmt.Fprintf(&bad, "bad%d\n", i)
	}
	if l := ParseList([]byte(good.String())); len(l.Addresses) != MaxListAddresses || l.Left != 10 {
		t.Errorf("%d addresses, %d left out", len(l.Addresses), l.Left)
	}
	l := ParseList([]byte(bad.String()))
	if len(l.Faults) != maxListFaults || len(l.Faults)+l.More != MaxListAddresses+10 {
		t.Errorf("%d faults and %d more", len(l.Faults), l.More)
	}
	long := idA + "@10.0.0.1:1\n" + strings.Repeat("# no more than a comment\n", MaxListBytes/20)
	if l := ParseList([]byte(long)); len(l.Addresses) != 1 || len(l.Faults) != 1 {
		t.Errorf("%d addresses, %v", len(l.Addresses), l.Faults)
	}
	if l := ParseList([]byte(strings.Repeat("[", MaxListBytes))); len(l.Addresses) != 0 || len(l.Faults) == 0 {
		t.Errorf("%v", l)
	}
}

func FuzzParseList(f *testing.F) {
	for _, seed := range []string{"", idA + "@10.0.0.1:1\n# x\nbad", `["` + idA + `@h:1", {"address": 1}, []]`,
		`{"peers":[{"addresses":["/ip4/1.2.3.4/udp/1/quic-v1"]}]}`, "[\n\n", "\ufeff{\"peers\":[1],\"peers\":[2]}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l := ParseList(text)
		lines := strings.Count(string(text), "\n") + 1
		if len(l.Addresses) > MaxListAddresses || len(l.Faults) > maxListFaults {
			t.Fatalf("%d addresses, %d faults", len(l.Addresses), len(l.Faults))
		}
		for _, fault := range l.Faults {
			if fault.Line < 1 || fault.Line > lines || strings.ContainsAny(fault.Error(), "\r\n\x1b") {
				t.Fatalf("line %d of %d: %q", fault.Line, lines, fault.Error())
			}
		}
		again := []string{} // the good ones, as lines and as JSON, are the same list
		for _, a := range l.Addresses {
			if a.ID() == "" {
				t.Fatalf("%s names no node", a)
			}
			again = append(again, a.String())
		}
		asJSON, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range [][]byte{[]byte(strings.Join(again, "\n")), asJSON} {
			if len(form) > MaxListBytes {
				continue
			}
			second := ParseList(form)
			if len(second.Faults) > 0 || fmt.Sprint(second.Addresses) != fmt.Sprint(l.Addresses) {
				t.Fatalf("%v again: %v %v", l.Addresses, second.Addresses, second.Faults)
			}
		}
	})
}

func TestUsable(t *testing.T) {
	l := ParseList([]byte(idA + "@10.0.0.1:1\n" +
		"/ip4/10.0.0.1/udp/1/quic-v1/p2p/12D3KooWEkxXeiWx88tuHU4bFiwpjGoUSk8MLHVnpYtmxTtFkXPv"))
	e := Env{CheckAddress: func(a transport.Address) error {
		if a.Network() == "udp" {
			return errNoEntry
		}
		return nil
	}}
	if len(l.Addresses) != 2 || len(e.Usable(l.Addresses)) != 1 || len((Env{}).Usable(l.Addresses)) != 2 {
		t.Errorf("%v", l)
	}
}
