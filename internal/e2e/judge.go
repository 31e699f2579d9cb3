//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// outcome is what came of CometBFT's tests. A test that looks at every node counts once for each, too.
type outcome struct {
	passed, failed, skipped  int // tests
	nodesPassed, nodesFailed int // the same test at a node
	failures                 []string
	last                     string // what the runner said last
}

var verdict = regexp.MustCompile(`^( *)--- (PASS|FAIL|SKIP): (\S+)`)

// readOutcome reads what CometBFT's runner printed.
func readOutcome(path string) (outcome, error) {
	var o outcome
	return o, eachLine(path, func(l string) {
		m := verdict.FindStringSubmatch(l)
		switch {
		case m == nil:
			if strings.TrimSpace(l) != "" {
				o.last = l
			}
		case m[1] == "" && m[2] == "PASS":
			o.passed++
		case m[1] == "" && m[2] == "SKIP":
			o.skipped++
		case m[1] == "":
			o.failed++
			o.failures = append(o.failures, m[3])
		case m[2] == "PASS":
			o.nodesPassed++
		case m[2] == "FAIL":
			o.nodesFailed++
			o.failures = append(o.failures, m[3])
		}
	})
}

// Lines of a node's log that count as failures, whatever the tests say.
var (
	// bans are those of CometBFT's peer exchange and address book, and ours.
	bans = regexp.MustCompile(`Add address to denylist|sent next PEX request too soon|is currently banned|` +
		`\] ban  |a persistent peer is banned`)
	breakdowns = regexp.MustCompile(`^panic:|CONSENSUS FAILURE|DATA RACE|^fatal error:`)
)

// readLogs returns the lines of the nodes' logs that count as failures, at most ten of a node.
func readLogs(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, file := range files {
		name, lines := strings.TrimSuffix(filepath.Base(file), ".log"), 0
		if err := eachLine(file, func(l string) {
			if bans.MatchString(l) || breakdowns.MatchString(l) {
				if lines++; lines <= 10 {
					found = append(found, fmt.Sprintf("%s: %.300s", name, l))
				}
			}
		}); err != nil {
			return nil, err
		}
		if lines > 10 {
			found = append(found, fmt.Sprintf("%s: %d more such lines", name, lines-10))
		}
	}
	return found, nil
}

// eachLine calls f with each line of a file.
func eachLine(path string, f func(string)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		f(lines.Text())
	}
	return lines.Err()
}
