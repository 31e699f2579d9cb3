package ratchet

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// runs is how often the paths are measured. How goroutines interleave differs from run to run; the most of all runs
// counts.
const runs = 10

// paths counts the functions and files of the main module that run while three echoes go over a link that is up, and
// while a node dials a peer that it has learned of, the other accepts, both report the link ready, and it ends. Two
// nodes in memory do that (testdata/span), over the comet wire and over libp2p (Noise, yamux); the larger figure
// counts. The packages made for tests and the simulated network, transport/memory, are left out.
func paths(t *testing.T) []figure {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "span")
	build := exec.Command("go", "build", "-cover", "-covermode=atomic", "-coverpkg=./...", "-o", program,
		"./internal/ratchet/testdata/span")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	most := map[string][]string{} // span -> the functions of its largest run
	for i := range runs {
		counters := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(counters, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, counters)
		cmd.Env = append(os.Environ(), "GOCOVERDIR="+counters)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
		for _, span := range []string{"comet-echo", "libp2p-echo", "comet-dial", "libp2p-dial"} {
			if fs := functions(t, filepath.Join(counters, span)); len(fs) > len(most[span]) {
				most[span] = fs
			}
		}
	}
	larger := func(span string) []string {
		if c, l := most["comet-"+span], most["libp2p-"+span]; len(c) > len(l) {
			return c
		} else {
			return l
		}
	}
	echo, dial := larger("echo"), larger("dial")
	t.Logf("echoes run %d functions in %d files over comet, %d in %d over libp2p; a dial %d in %d and %d in %d",
		len(most["comet-echo"]), len(files(most["comet-echo"])), len(most["libp2p-echo"]),
		len(files(most["libp2p-echo"])),
		len(most["comet-dial"]), len(files(most["comet-dial"])), len(most["libp2p-dial"]),
		len(files(most["libp2p-dial"])))
	return []figure{
		{"functions that three echoes run", len(echo), echo},
		{"files that three echoes run through", len(files(echo)), files(echo)},
		{"functions that a dial runs, to its end", len(dial), folders(dial)},
	}
}

// functions lists what ran according to the counters in dir, as "path/file.go: Function".
func functions(t *testing.T, dir string) []string {
	t.Helper()
	cmd := exec.Command("go", "tool", "covdata", "func", "-i="+dir)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // module/path/file.go:12: Function 66.7%
		if len(f) != 3 || f[2] == "0.0%" {
			continue
		}
		name, ok := strings.CutPrefix(f[0], module+"/")
		if !ok {
			continue // the total
		}
		name, _, _ = strings.Cut(name, ":")
		folder := path.Dir(name)
		if strings.HasSuffix(folder, "test") || strings.HasPrefix(folder, "internal/ratchet") ||
			folder == "transport/memory" {
			continue
		}
		list = append(list, name+": "+f[1])
	}
	if len(list) == 0 {
		t.Fatalf("nothing ran in %s", dir)
	}
	return list
}

// files are the files of functions.
func files(functions []string) []string {
	var out []string
	for _, f := range functions {
		name, _, _ := strings.Cut(f, ":")
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// folders counts functions by folder.
func folders(functions []string) []string {
	counts := map[string]int{}
	for _, f := range functions {
		name, _, _ := strings.Cut(f, ":")
		counts[path.Dir(name)]++
	}
	var out []string
	for folder, n := range counts {
		out = append(out, fmt.Sprintf("%4d in %s", n, folder))
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}
