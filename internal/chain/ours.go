package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// at returns the node's address as CometBFT writes it.
func (n *node) at() string { return fmt.Sprintf("%s@%s:%d", n.id, n.host, n.p2p) }

// quicAddress returns the node's address over QUIC.
func (n *node) quicAddress() string {
	return fmt.Sprintf("/ip4/%s/udp/%d/quic-v1/p2p/%s", n.host, n.p2p, n.peer)
}

// configureOurs writes config/switchyard.toml, which adds to config.toml what CometBFT has no words for.
func (w *network) configureOurs(n *node) error {
	var wires, transports, persistent, bootstrap, guests []string
	if n.speaksMConn() {
		wires, transports = append(wires, "comet"), append(transports, "tcp")
	}
	if n.speaksQUIC() {
		wires, transports = append(wires, "libp2p"), append(transports, "quic")
	}
	for _, other := range w.nodes {
		if other == n || !n.speaksQUIC() || !other.speaksQUIC() {
			continue
		}
		if other.kind == libp2p { // such nodes name no network
			guests = append(guests, other.peer)
		}
		if !w.pex && !(n.speaksMConn() && other.speaksMConn()) {
			persistent = append(persistent, other.quicAddress())
		}
	}
	if w.pex && n != w.seed && !n.speaksMConn() {
		bootstrap = append(bootstrap, w.seed.quicAddress())
	}
	text := fmt.Sprintf(`[stack]
wires = %s
transports = %s

[admin]
address = "%s:%d"
insecure_remote = true

[peers]
allow_guests = %s
persistent = %s
bootstrap = %s
`, list(wires), list(transports), n.host, n.admin, list(guests), list(persistent), list(bootstrap))
	return os.WriteFile(filepath.Join(n.home, "config", "switchyard.toml"), []byte(text), 0o644)
}

// list returns texts as TOML.
func list(texts []string) string {
	var quoted []string
	for _, t := range texts {
		quoted = append(quoted, fmt.Sprintf("%q", t))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// judgeTransports judges what carries the links of a node of ours: QUIC wherever both ends have it and ours prefers it.
func judgeTransports(ctx context.Context, w *network, n *node) error {
	if !n.kind.ours() {
		return nil
	}
	by, err := n.transports(ctx)
	if err != nil {
		return fmt.Errorf("%s: /v1/peers: %w", n.name, err)
	}
	var errs []error
	for _, other := range w.nodes {
		if other == n || !n.links(other.kind) {
			continue
		}
		want := "tcp"
		if n.speaksQUIC() && other.speaksQUIC() {
			want = "quic"
		}
		if by[other.id] != want {
			errs = append(errs, fmt.Errorf("/v1/peers of %s: the link to %s (%c) is over %q, not %q", n.name,
				other.name, other.kind, by[other.id], want))
		}
	}
	return errors.Join(errs...)
}

// link is what the admin API of a node of ours says of a link.
type link struct {
	ID        string `json:"node_id"`
	Transport string `json:"transport"`
}

// transports returns what a node of ours says of its links: by the id of the remote, what carries it.
func (n *node) transports(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://%s:%d/v1/peers", n.host, n.admin), nil)
	if err != nil {
		return nil, err
	}
	resp, err := n.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var all []link
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return nil, err
	}
	by := map[string]string{}
	for _, l := range all {
		by[l.ID] = l.Transport
	}
	return by, nil
}
