package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// visitTendermint lets the program of ./tendermint make a visit. It reads the peers and writes a line for each
// operation: its name, the calls, the value, the processor time.
func visitTendermint(n int, peers []peer) (map[string]sample, error) {
	var in bytes.Buffer
	for _, p := range peers {
		fmt.Fprintln(&in, p.hexID(), p.ip)
	}
	dir, err := os.MkdirTemp("", "benchstore")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(*other, fmt.Sprint(n), fmt.Sprint(grown(n)), duration.String(), briefly(n).String(),
		budget.String(), dir)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(text)) == "budget" {
		return nil, errBudget
	}
	out := map[string]sample{}
	for line := range strings.Lines(string(text)) {
		var s sample
		name, numbers, _ := strings.Cut(line, ":")
		if _, err := fmt.Sscan(numbers, &s.calls, &s.value, &s.cpu); err != nil {
			return nil, fmt.Errorf("its line %q: %w", line, err)
		}
		out[name] = s
	}
	return out, nil
}
