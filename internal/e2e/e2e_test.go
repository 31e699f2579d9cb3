//go:build linux

package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestManifest(t *testing.T) {
	m, err := readManifest(&programs{}, "twelve")
	if err != nil {
		t.Fatal(err)
	}
	nodes := m.nodes()
	if len(nodes) != 12 || nodes[0] != "validator01" || nodes[11] != "validator12" {
		t.Fatalf("nodes: %q", nodes)
	}
	m["ipv6"] = true
	m["node"].(map[string]any)["validator02"].(map[string]any)["database"] = "rocksdb"
	// In a mixed network, each perturbation meets a stock node and one of ours.
	if err := m.adapt(mixed); err != nil {
		t.Fatal(err)
	}
	perturbed := map[any][]any{}
	for _, name := range nodes {
		node := m["node"].(map[string]any)[name].(map[string]any)
		for _, p := range asList(node["perturb"]) {
			perturbed[p] = append(perturbed[p], node["version"])
		}
	}
	for _, p := range []string{"disconnect", "kill", "pause", "restart", "upgrade"} {
		if got := perturbed[p]; !reflect.DeepEqual(got, []any{"stock", "ours"}) {
			t.Errorf("%s happens to %v", p, got)
		}
	}
	path := filepath.Join(t.TempDir(), "mixed.toml")
	if err := m.write(path); err != nil {
		t.Fatal(err)
	}
	again, err := readManifest(&programs{}, path)
	if err != nil || !reflect.DeepEqual(again, m) {
		t.Errorf("written as %v, error %v", again, err)
	}
	if m["ipv6"] != nil || m["upgrade_version"] != "ours:again" {
		t.Errorf("the manifest says %v", m)
	}
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

func TestCompose(t *testing.T) {
	got, err := readCompose(`version: '2.4'
networks:
  net:
    driver: bridge

services:
  one:
    labels:
      e2e: true
    image: stock
    entrypoint: /usr/bin/entrypoint-builtin
    ports:
    - 26656
    - 5701:26657
    - 6701:26660
    volumes:
    - ./one:/cometbft
    - ./one:/tendermint
    networks:
      net:
        ipv4_address: 10.186.73.2

  one_u:
    image: ours:again
    ports:
    - 5701:26657
    volumes:
    - ./one:/cometbft
    networks:
      net:
        ipv4_address: 10.186.73.2

`, "/dir")
	want := map[string]service{
		"one":   {"one", "stock", "10.186.73.2", "/dir/one", 5701, true},
		"one_u": {"one_u", "ours:again", "10.186.73.2", "/dir/one", 5701, false},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, error %v", got, err)
	}
	for _, text := range []string{"", "\nservices:\n  one:\n    image: stock\n"} {
		if _, err := readCompose(text, "/dir"); err == nil {
			t.Errorf("no error from %q", text)
		}
	}
}

func TestOutcome(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	text := "I[now] starting\n--- PASS: TestA (1.00s)\n    --- PASS: TestA/validator01 (0.1s)\n" +
		"--- FAIL: TestB (1.00s)\n    --- FAIL: TestB/validator01 (0.1s)\n    --- PASS: TestB/validator02 (0.1s)\n" +
		"--- SKIP: TestC (0s)\nE[now] end\n\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := readOutcome(path)
	want := outcome{passed: 1, failed: 1, skipped: 1, nodesPassed: 2, nodesFailed: 1,
		failures: []string{"TestB", "TestB/validator01"}, last: "E[now] end"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, error %v", got, err)
	}
}

func TestLogs(t *testing.T) {
	dir := t.TempDir()
	text := strings.Join([]string{
		"I[now] Add address to denylist   module=p2p addr=a",
		"E[now] Stopping peer for error   module=p2p err=\"peer (a) sent next PEX request too soon. Disconnecting\"",
		"I[now] ban                       module=p2p target=a",
		"E[now] CONSENSUS FAILURE!!!",
		"panic: no",
		"I[now] executed block            module=state height=1",
		"I[now] bank of something",
	}, "\n")
	if err := os.WriteFile(filepath.Join(dir, "one.log"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := readLogs(dir)
	if err != nil || len(got) != 5 || !strings.HasPrefix(got[0], "one: I[now] Add address") {
		t.Errorf("got %q, error %v", got, err)
	}
	many := []byte(strings.Repeat("panic: no\n", 15))
	if err := os.WriteFile(filepath.Join(dir, "two.log"), many, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err = readLogs(dir); err != nil || len(got) != 5+10+1 {
		t.Errorf("got %q, error %v", got, err)
	}
}
