//go:build unix

package badger

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// quotaEnv makes the test binary the child of TestQuota: its value is the store's path.
const quotaEnv = "SWITCHYARD_QUOTA_CHILD"

// quotaChild opens the store where no file may grow beyond 1 MiB or, if the path begins with a number and a colon,
// where so many more files may be open.
func quotaChild(path string) {
	if more, path, ok := strings.Cut(path, ":"); ok {
		openWithFewFiles(more, path)
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := Open(path, Options{}); err != nil {
		fmt.Println(err)
	}
}

func openWithFewFiles(more, path string) {
	n, err := strconv.ParseUint(more, 10, 16)
	used, err2 := os.ReadDir("/dev/fd")
	if err = errors.Join(err, err2); err == nil {
		var limit syscall.Rlimit
		for range n + uint64(len(used)) { // the type of its fields differs by system
			limit.Cur++
			limit.Max++
		}
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	if err == nil {
		_, err = Open(path, Options{})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// TestTooManyFiles wants a database left where it is that needs more files than the process may open.
func TestTooManyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	for n := range 4 { // a table each
		s := open(t, path, Options{})
		s.Add(storetest.Address(n, 1), storetest.Told(n), time.Now())
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for more := 2; ; more++ {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), fmt.Sprintf("%s=%d:%s", quotaEnv, more, path))
		out, err := child.CombinedOutput()
		if aside, _ := filepath.Glob(filepath.Join(path, databaseName+".damaged-*")); len(aside) > 0 || more > 100 {
			t.Fatalf("with %d files it was set aside as %v: %s", more, aside, out)
		}
		if err == nil {
			break
		}
	}
	if st := open(t, path, Options{}).Stats(); st.Known != 4 {
		t.Errorf("then %+v", st)
	}
}

// TestQuota wants an error, and the store left as it is, where the machine lets nothing more be written: that is no
// damage.
func TestQuota(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	s.Add(storetest.Address(1, 1), storetest.Told(1), time.Now())
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: storetest.ID(2)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), quotaEnv+"="+path)
	out, err := child.CombinedOutput()
	if want := "peer store " + path + ": open: "; err != nil || !strings.HasPrefix(string(out), want) ||
		!strings.Contains(string(out), syscall.EFBIG.Error()) || strings.Count(string(out), "\n") != 1 {
		t.Errorf("%v: %s", err, out)
	}
	if aside, _ := filepath.Glob(filepath.Join(path, databaseName+".damaged-*")); len(aside) > 0 {
		t.Errorf("it was set aside as %v", aside)
	}
	log, logger := newLog()
	if st := open(t, path, Options{Logger: logger}).Stats(); st.Known != 1 || st.Banned != 1 || log.text() != "" {
		t.Errorf("then %+v\n%s", st, log.text())
	}
}
