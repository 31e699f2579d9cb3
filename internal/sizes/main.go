// Command sizes builds small programs of ours and of go-libp2p, and prints how large their binaries are and how many
// modules and packages of others are in them, as a Markdown table. Run it from the root of the repository: make sizes.
package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// pair is a program of ours beside the nearest one of go-libp2p.
type pair struct {
	what         string
	ours, theirs string // packages, in the main module and in the folder theirModule
}

const theirModule = "internal/interoplibp2p"

var pairs = []pair{
	{"TCP, Noise and yamux alone", "./internal/sizes/testdata/parts", "./sizes/parts"},
	{"everything without fx: `switchyard.New` : `libp2p.New`", "./internal/sizes/testdata/nofx", "./sizes/defaults"},
	{"the stock binary : `libp2p.New`, peers on disk, metrics", "./cmd/switchyard", "./sizes/program"},
}

// size is the measurement of a program.
type size struct {
	whole, stripped   int64 // bytes, with and without symbols and debugging tables
	modules, packages int   // of others
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sizes:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "switchyard-sizes-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Println("| ours : go-libp2p's | stripped | unstripped | modules | packages |\n|---|---|---|---|---|")
	for _, p := range pairs {
		ours, err := measure(dir, ".", p.ours)
		if err != nil {
			return err
		}
		theirs, err := measure(dir, theirModule, p.theirs)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.1f : %.1f MB = %.2f | %.1f : %.1f MB = %.2f | %d : %d | %d : %d |\n", p.what,
			mb(ours.stripped), mb(theirs.stripped), mb(ours.stripped)/mb(theirs.stripped),
			mb(ours.whole), mb(theirs.whole), mb(ours.whole)/mb(theirs.whole),
			ours.modules, theirs.modules, ours.packages, theirs.packages)
	}
	return nil
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }

// measure builds a package of the module in a folder and looks at what came out.
func measure(dir, module, pkg string) (s size, err error) {
	file := filepath.Join(dir, "program")
	for flags, to := range map[string]*int64{"": &s.whole, "-s -w": &s.stripped} {
		if _, err := command(module, "build", "-trimpath", "-ldflags", flags, "-o", file, pkg); err != nil {
			return s, err
		}
		info, err := os.Stat(file)
		if err != nil {
			return s, err
		}
		*to = info.Size()
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return s, err
	}
	const own = "github.com/switchyard-p2p/"
	for _, m := range info.Deps {
		if !strings.HasPrefix(m.Path, own) {
			s.modules++
		}
	}
	list, err := command(module, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg)
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(list)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, own) {
			s.packages++
		}
	}
	return s, nil
}

// command runs the go command without cgo, so that the sizes do not depend on the machine's C library.
func command(module string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = module, append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}
