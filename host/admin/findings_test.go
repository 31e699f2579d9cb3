//go:build unix

package admin

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
)

// File descriptors that run out are found, also when none is left to look with, until there are enough again.
func TestDescriptorsAreFound(t *testing.T) {
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skip(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Files: 2 * (len(list) + 10)}, newFakeNode(t).node(), nil)
		if err != nil {
			t.Fatal(err)
		}
		check := func(when string, code string) Finding {
			t.Helper()
			time.Sleep(countFiles)
			f := reads{s}.findings(time.Now())
			if len(f) != 1 || f[0].Code != code {
				t.Fatalf("%s: %+v, want %s", when, f, code)
			}
			return f[0]
		}
		check("with half of them", host.FindingWell)
		var open []*os.File
		defer func() {
			for _, f := range open {
				f.Close()
			}
		}()
		for range s.cfg.Files*8/10 - len(list) + 5 {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, f)
		}
		first := check("with four fifths", host.FindingDescriptors)
		if first.Severity != host.GradeBad || first.Remedy == "" || !first.Since.Equal(time.Now()) {
			t.Errorf("%+v", first)
		}
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		none := limit
		none.Cur = 3
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
			t.Fatal(err)
		}
		time.Sleep(countFiles)
		f := reads{s}.findings(time.Now())
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		if len(f) != 1 || f[0].Code != host.FindingDescriptors || !f[0].Since.Equal(first.Since) {
			t.Errorf("with none: %+v, want the finding since %v", f, first.Since)
		}
		for _, f := range open {
			f.Close()
		}
		open = nil
		check("with half of them again", host.FindingWell)
	})
}
