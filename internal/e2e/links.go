//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// adminPort is where nodes of ours have Switchyard's admin API, on loopback.
const adminPort = 26670

// links counts the ends of links that nodes of ours hold, by what carries them.
func (w *network) links(ctx context.Context) (map[string]int, error) {
	count := map[string]int{}
	for _, c := range w.containers {
		if !c.running() || c.image == stockImage || c.light() {
			continue
		}
		if err := c.links(ctx, count); err != nil {
			return nil, fmt.Errorf("%s: /v1/peers: %w", c.name, err)
		}
	}
	return count, nil
}

func (c *container) links(ctx context.Context, count map[string]int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://127.0.0.1:%d/v1/peers", adminPort), nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DialContext: c.place.Dial, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var peers []struct{ Transport string }
	if err := json.NewDecoder(resp.Body).Decode(&peers); err != nil {
		return err
	}
	for _, p := range peers {
		count[p.Transport]++
	}
	return nil
}

// carriers says how many ends of links each transport carries.
func carriers(count map[string]int) string {
	var texts []string
	for _, t := range slices.Sorted(maps.Keys(count)) {
		texts = append(texts, fmt.Sprintf("%d %s", count[t], t))
	}
	return strings.Join(texts, ", ")
}
