package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// All that `make chain` runs can be read.
func TestSuite(t *testing.T) {
	c, err := choose(settings{versions: "0.38,0.40.0,1"})
	if err != nil || len(c.releases) != 3 || c.releases[2].version != "1.0.1" {
		t.Fatalf("%+v, %v", c, err)
	}
	for _, e := range exercises {
		if _, err := choose(settings{versions: "1", cases: "sqbb/s+pex+app", do: e.name}); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []settings{
		{versions: "2"}, {versions: "1", cases: "ssx"}, {versions: "1", cases: "/s", do: "basic"},
		{versions: "1", cases: "101s", do: "basic"},
		{versions: "1", cases: "ss+abci", do: "basic"}, {versions: "1", cases: "ss", do: "magic"},
	} {
		if _, err := choose(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestKindsLink(t *testing.T) {
	for pair, want := range map[string]bool{
		"ss": true, "sm": true, "sb": true, "sq": false, "sL": false, "mq": false, "mL": false, "mb": true, "qq": true,
		"qb": true, "qL": true, "bL": true, "LL": true,
	} {
		a, b := kind(pair[0]), kind(pair[1])
		if a.links(b) != want || b.links(a) != want {
			t.Errorf("%s: linked %v, want %v", pair, a.links(b), want)
		}
	}
}

// The ids are those that CometBFT and libp2p give to this key.
func TestIDs(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	if got, want := peerID(key), "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"; got != want {
		t.Errorf("peer id %s, want %s", got, want)
	}
	if got := address(key); len(got) != 40 || strings.ToLower(got) != got {
		t.Errorf("address %s", got)
	}
}

// A vote without a round: type, height, block id with its parts, time, chain id, behind the length of all.
func TestPrecommit(t *testing.T) {
	got := hex.EncodeToString(precommit("c", 1, []byte{0xaa}, time.Unix(1, 2)))
	want := "20" + "0802" + "110100000000000000" + "220a" + "0a01aa" + "1205" + "0801" + "1201aa" + "2a04" + "0801" +
		"1002" + "320163"
	if got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
}

func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte("a = 1\n# a = 2\n[b]\na = \"x\"\nlist = []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	c.set("b", "a", "y")
	c.set("", "a", 3)
	c.set("b", "list", raw(`["z"]`))
	if err := c.write(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if want := "a = 3\n# a = 2\n[b]\na = \"y\"\nlist = [\"z\"]\n"; err != nil || string(data) != want {
		t.Errorf("%q, want %q (%v)", data, want, err)
	}
}

// The table shows medians over the rounds, a column a case.
func TestMedians(t *testing.T) {
	tab := table{rows: []row{
		{version: "1", name: "ss", exercise: "idle", figures: []figure{{"rate", 3}}},
		{version: "1", name: "mm", exercise: "idle", figures: []figure{{"rate", 10}}},
		{version: "1", name: "ss", exercise: "idle", figures: []figure{{"rate", 1}}},
		{version: "1", name: "ss", exercise: "idle", figures: []figure{{"rate", 2}}},
	}}
	if got := tab.medians(); !strings.Contains(got, "| idle: rate | 2 | 10 |") {
		t.Error(got)
	}
}
