package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "0123456789abcdef0123456789abcdef01234567"

// start runs a source and returns what it finds.
func start(t *testing.T, s discovery.Source) chan string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	found, done := make(chan string, 100), make(chan error, 1)
	go func() {
		done <- s.Run(ctx, nil, func(a transport.Address, from transport.NodeID) { found <- a.CometString() })
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return found
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// With a real watch, the source follows a file that appears, is replaced by renaming, and is replaced as Kubernetes
// does, by another link of its folder. The next check is an hour away.
func TestWatches(t *testing.T) {
	home := t.TempDir()
	s, err := New(Config{Path: "lists/peers", Check: time.Hour}, discovery.Env{Home: home})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "lists")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	found := start(t, s)
	want := func(text string) {
		t.Helper()
		select {
		case got := <-found:
			if got != id+text {
				t.Fatalf("found %s, want %s", got, text)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s was not found", text)
		}
	}
	link := func(name, to string) {
		t.Helper()
		if err := errors.Join(os.Symlink(to, filepath.Join(dir, "new")),
			os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "peers"), id+"@10.0.0.1:1\n")
	want("@10.0.0.1:1")
	write(t, filepath.Join(home, "other"), id+"@10.0.0.2:1\n")
	if err := os.Rename(filepath.Join(home, "other"), filepath.Join(dir, "peers")); err != nil {
		t.Fatal(err)
	}
	want("@10.0.0.2:1")
	for _, v := range []string{"3", "4"} {
		write(t, filepath.Join(home, v), id+"@10.0.0."+v+":1\n")
	}
	link("..data", filepath.Join(home, "3"))
	link("peers", "..data")
	want("@10.0.0.3:1")
	link("..data", filepath.Join(home, "4"))
	want("@10.0.0.4:1")
}

// Where the system reports nothing, each check reads the file. Good lines of a bad file are found, the bad ones are
// logged with their numbers, and nothing is reported twice.
func TestChecks(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "peers")
	synctest.Test(t, func(t *testing.T) {
		var log safeBuffer
		env := discovery.Env{Home: home, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		src, err := New(Config{Path: "peers"}, env)
		if err != nil {
			t.Fatal(err)
		}
		src.(*source).watch = func(string, chan<- struct{}) (io.Closer, error) { return nil, errors.New("none") }
		found := start(t, src)
		expect := func(n int) {
			t.Helper()
			time.Sleep(defaultCheck)
			synctest.Wait()
			if len(found) != n {
				t.Fatalf("%d found, want %d", len(found), n)
			}
			for range n {
				<-found
			}
		}
		expect(0)
		expect(0)
		if n := log.count("cannot be read"); n != 1 {
			t.Errorf("a missing file was reported %d times", n)
		}
		write(t, path, "bad\n"+id+"@10.0.0.1:1\nworse\n"+id+"@10.0.0.2:1\n")
		expect(2)
		if log.count("line 1: ") != 1 || log.count("line 3: ") != 1 {
			t.Error(log.String())
		}
		expect(0)
		write(t, path, "")
		expect(0)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		expect(0)
		if log.count("not a regular file") != 1 {
			t.Error(log.String())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		write(t, path, `["`+id+`@10.0.0.3:1"]`)
		expect(1)
	})
}

func TestSettings(t *testing.T) {
	for _, c := range []Config{{}, {Path: "x", Check: -1}} {
		if _, err := New(c, discovery.Env{}); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// safeBuffer is a log that several goroutines use.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *safeBuffer) count(text string) int { return strings.Count(s.String(), text) }
