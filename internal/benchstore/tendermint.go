package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// visitTendermint lets the program of ./tendermint make a visit. It reads the peers and writes a line for each operation: its name, the value, the processor time.
func visitTendermint(n int) (map[string]figure, error) {
	extra := max(n/10, 1000)
	var in bytes.Buffer
	for _, p := range makePeers(n + 2*extra) {
		fmt.Fprintln(&in, p.hexID(), p.ip)
	}
	dir, err := os.MkdirTemp("", "benchstore")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(*other, fmt.Sprint(n), duration.String(), budget.String(), dir)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(text)) == "budget" {
		return nil, errBudget
	}
	out := map[string]figure{}
	for line := range strings.Lines(string(text)) {
		var f figure
		name, numbers, _ := strings.Cut(line, ":")
		if _, err := fmt.Sscan(numbers, &f.value, &f.cpu); err != nil {
			return nil, fmt.Errorf("its line %q: %w", line, err)
		}
		out[name] = f
	}
	return clean(out), nil
}
