// Package programtest runs programs beside a test: ours, and those of real peers. It builds, calls, starts, kills and
// stops them, and parses what ours print.
package programtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Ours is the package of our program, relative to the root of the main module.
const Ours = "./cmd/switchyard"

// Builds are programs under test, each built once, at its first use. The zero value is ready. Its methods may be called
// concurrently.
type Builds struct {
	mu   sync.Mutex
	dir  string
	made map[string]*build
}

type build struct {
	once sync.Once
	path string
	err  error
}

// Get builds a package of the module in a folder, with these arguments of go build, and returns the path of the
// program.
func (b *Builds) Get(t testing.TB, module, pkg string, args ...string) string {
	t.Helper()
	b.mu.Lock()
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "switchyard-test-")
		if err != nil {
			b.mu.Unlock()
			t.Fatal(err)
		}
		b.dir, b.made = dir, map[string]*build{}
	}
	one := b.made[pkg]
	if one == nil {
		one = &build{path: filepath.Join(b.dir, filepath.Base(pkg))}
		b.made[pkg] = one
	}
	b.mu.Unlock()
	one.once.Do(func() {
		// without debugging tables it links faster
		cmd := exec.Command("go",
			append(append([]string{"build", "-ldflags", "-s -w", "-o", one.path}, args...), pkg)...)
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

// Remove deletes the programs, at the end of TestMain.
func (b *Builds) Remove() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}
