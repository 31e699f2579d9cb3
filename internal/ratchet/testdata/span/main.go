// Command span runs one dial and three echoes between two nodes in memory, and writes which code ran in each. The test
// of the ratchets builds it with coverage and runs it with a folder as its argument. It is no test because the counters
// of a test binary cannot be cleared.
package main

import (
	"flag"
	"os"
	"path/filepath"
	"runtime/coverage"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

func main() {
	dir := os.Args[1]
	os.Args = os.Args[:1]
	testing.Init()
	flag.Parse()
	all := func(_, _ string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{
		{Name: "comet", F: func(t *testing.T) { spans(t, "comet", dir) }},
		{Name: "libp2p", F: func(t *testing.T) { spans(t, "libp2p", dir) }},
	}, nil, nil)
}

// spans measures over one wire.
func spans(t *testing.T, wire, dir string) {
	synctest.Test(t, func(t *testing.T) {
		services := map[*hosttest.Node]*echo.Service{}
		net := hosttest.New(t, hosttest.Options{
			Speaks: func(*hosttest.Node) []string { return []string{wire} },
			Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
				s, err := echo.New(echo.Config{}, n.Host.OpenChannel, nil)
				services[n] = s
				return []hosttest.Service{s.Run}, err
			},
		})
		a, b := net.Nodes[0], net.Nodes[1]
		echoes := func() {
			for range 3 {
				if _, err := services[a].Echo(t.Context(), b.ID, make([]byte, 100)); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		net.Cut(memory.Reset, net.Nodes[:1])
		a.Found("pex")(b.Address(), "")
		time.Sleep(time.Second) // a first dial fails, so that what is measured begins with a backoff that ends
		synctest.Wait()
		span(t, filepath.Join(dir, wire+"-dial"), func() {
			net.Heal()
			net.AwaitLink(a, b)
			synctest.Wait()
			a.Host.Disconnect(b.ID, muxer.CodeRequested, "the measured link ends")
			net.AwaitNoLink(a, b)
			synctest.Wait()
		})

		net.AwaitLink(a, b)
		echoes() // over libp2p the first one opens streams
		time.Sleep(time.Second)
		synctest.Wait()
		span(t, filepath.Join(dir, wire+"-echo"), echoes)
	})
}

// span writes to dir which code ran while f did.
func span(t *testing.T, dir string, f func()) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := coverage.ClearCounters(); err != nil {
		t.Fatal(err)
	}
	f()
	if err := coverage.WriteCountersDir(dir); err != nil {
		t.Fatal(err)
	}
	if err := coverage.WriteMetaDir(dir); err != nil {
		t.Fatal(err)
	}
}
