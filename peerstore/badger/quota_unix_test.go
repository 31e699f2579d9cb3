//go:build unix

package badger

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// quotaEnv makes the test binary the child of TestQuota: its value is the store's path.
const quotaEnv = "SWITCHYARD_QUOTA_CHILD"

// quotaChild opens the store where no file may grow beyond 1 MiB.
func quotaChild(path string) {
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
	if aside, _ := filepath.Glob(path + ".corrupt-*"); len(aside) > 0 {
		t.Errorf("it was set aside as %v", aside)
	}
	log, logger := newLog()
	if st := open(t, path, Options{Logger: logger}).Stats(); st.Known != 1 || st.Banned != 1 || log.text() != "" {
		t.Errorf("then %+v\n%s", st, log.text())
	}
}
