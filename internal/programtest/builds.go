// Package programtest runs programs beside a test: ours, and those of real peers. It builds them, calls them to their
// end, lets them run, kills and stops them, and reads what ours prints.
package programtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Ours is the package of our program, from the root of the main module.
const Ours = "./cmd/switchyard"

// Builds are programs under test, each built once, when a test first needs it. The zero value has none. Its methods may
// be called from several goroutines.
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

// Get builds a package of the module in a folder, with these arguments of go build, and returns the program's path.
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
		// without debugging tables it links sooner
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

// Remove deletes them; it is for the end of TestMain.
func (b *Builds) Remove() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}
