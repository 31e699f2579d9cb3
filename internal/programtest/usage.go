package programtest

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// Usage is the resources of a node, after a garbage collection.
type Usage struct {
	Goroutines int
	Heap       int // bytes in use
	Files      int
}

var metricLine = regexp.MustCompile(`(?m)^(go_memstats_heap_inuse_bytes|process_open_fds|go_goroutines) (\S+)$`)

// Usage asks the running node, which needs admin.pprof=true.
func (d *NodeDir) Usage(t testing.TB) (u Usage) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	get := func(path string) string {
		resp, err := client.Get("http://" + d.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %.200s (%v)", path, resp.Status, b, err)
		}
		return string(b)
	}
	get("/debug/pprof/heap?gc=1")
	for _, m := range metricLine.FindAllStringSubmatch(get("/metrics"), -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		switch m[1] {
		case "go_memstats_heap_inuse_bytes":
			u.Heap = int(v)
		case "process_open_fds":
			u.Files = int(v)
		case "go_goroutines":
			u.Goroutines = int(v)
		}
	}
	if u.Heap == 0 || u.Goroutines == 0 {
		t.Fatalf("no metrics: %+v", u)
	}
	return u
}

func (u Usage) String() string {
	return fmt.Sprintf("%d goroutines, %.1f MiB, %d files", u.Goroutines, float64(u.Heap)/(1<<20), u.Files)
}

// Settled reports whether the usage is about that of the start.
func (u Usage) Settled(start Usage) bool {
	return u.Goroutines <= start.Goroutines+4 && u.Files <= start.Files+4 && u.Heap <= start.Heap+16<<20
}
