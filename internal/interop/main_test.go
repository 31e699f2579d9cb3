// Package interop holds the tests of Switchyard beside real CometBFT: its switches in this process, and its program.
package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		programs.remove()
		os.Exit(code)
	}))
}

// programs are the programs under test, each built once, when a test first needs it.
var programs = builds{made: map[string]*build{}}

type builds struct {
	mu   sync.Mutex
	dir  string
	made map[string]*build
}

type build struct {
	once sync.Once
	path string
	err  error
}

// switchyardProgram is our real program.
func switchyardProgram(t *testing.T) string { return programs.get(t, "../..", "./cmd/switchyard") }

// cometbftProgram is CometBFT's node, of the version that go.mod names.
func cometbftProgram(t *testing.T) string {
	return programs.get(t, ".", "github.com/cometbft/cometbft/cmd/cometbft")
}

// get builds a package of the module in a folder.
func (b *builds) get(t *testing.T, module, pkg string) string {
	t.Helper()
	b.mu.Lock()
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "interop-")
		if err != nil {
			t.Fatal(err)
		}
		b.dir = dir
	}
	one := b.made[pkg]
	if one == nil {
		one = &build{path: filepath.Join(b.dir, filepath.Base(pkg))}
		b.made[pkg] = one
	}
	b.mu.Unlock()
	one.once.Do(func() {
		cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", one.path, pkg) // without debugging tables it links sooner
		cmd.Dir = module
		if out, err := cmd.CombinedOutput(); err != nil {
			one.err = fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
		}
	})
	if one.err != nil {
		t.Fatal(one.err)
	}
	return one.path
}

func (b *builds) remove() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}
