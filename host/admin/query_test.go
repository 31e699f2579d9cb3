package admin

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/transport"
)

func TestPeerQueries(t *testing.T) {
	list := []Peer{
		{NodeID: "a", Kind: "comet", Direction: Inbound, Moniker: "Zoe", RTT: 3, SendRate: 1, Trusted: true},
		{NodeID: "b", Kind: "quic", Direction: Outbound, Moniker: "adam", RTT: 1, SendRate: 1},
		{NodeID: "c", Kind: "libp2p", Direction: Inbound, Moniker: "Eve", RTT: 2, LinkID: 9, Port: 7},
	}
	for query, want := range map[string]string{
		"":                                "abc",
		"sort=rtt_ms":                     "bca",
		"sort=rtt_ms&desc=true":           "acb",
		"sort=moniker":                    "bca",
		"sort=send_rate":                  "cab", // equal ones stay in order
		"sort=trusted":                    "bca",
		"sort=link_id&desc=1":             "cba",
		"sort=port&desc=1":                "cba",
		"desc=true":                       "cba",
		"offset=1":                        "bc",
		"offset=1&limit=1":                "b",
		"offset=9":                        "",
		"limit=2":                         "ab",
		"wire=quic":                       "b",
		"direction=inbound":               "ac",
		"direction=inbound&sort=rtt_ms":   "ca",
		"q=EVE":                           "c",
		"q=nobody":                        "",
		"unknown=1":                       "abc",
		"wire=comet&q=zoe&limit=1&sort=q": "!",
		"sort=channels":                   "!",
		"sort=":                           "abc",
		"offset=-1":                       "!",
		"offset=x":                        "!",
		"limit=0":                         "!",
		"limit=10001":                     "!",
		"desc=perhaps":                    "!",
		"wire=tcp":                        "!",
		"direction=up":                    "!",
		"q=" + strings.Repeat("x", 201):   "!",
	} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got := "!"
		if q, err := peerQueryOf(v); err == nil {
			page, total := q.apply(slices.Clone(list))
			got = ""
			for _, p := range page {
				got += string(p.NodeID)
			}
			if paged := v.Has("offset") || v.Has("limit"); !paged && total != len(page) || paged && total != 3 {
				t.Errorf("%q: %d in all", query, total)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

// No query panics, and a page is never longer than its limit.
func FuzzPeerQuery(f *testing.F) {
	for _, s := range []string{"offset=1&limit=2&sort=kind&desc=true&q=a", "sort=rtt_ms",
		"offset=999999999&wire=quic"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		q, err := peerQueryOf(v)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		list := make([]Peer, 7)
		for i := range list {
			list[i].NodeID, list[i].Score = transport.NodeID(rune('a'+i)), i%3
		}
		page, total := q.apply(list)
		if total > 7 || len(page) > total || q.limit > 0 && len(page) > q.limit {
			t.Errorf("%d of %d", len(page), total)
		}
	})
}
