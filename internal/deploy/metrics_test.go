package deploy

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/programtest"
	"github.com/switchyard-p2p/switchyard/modules/cli"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// promtool has nothing to say about what a node with all services serves, and docs/metrics.md lists it all.
func TestMetrics(t *testing.T) {
	home, address := t.TempDir(), programtest.FreeAddress(t)
	run := func(ctx context.Context, args ...string) int {
		program := cli.Program{Name: "switchyard", Plugins: standard.Plugins()}
		return program.Run(ctx, append(args, "--home", home), strings.NewReader(""), io.Discard, t.Output())
	}
	if code := run(t.Context(), "init", "--listen", "/ip4/127.0.0.1/tcp/0", "--set", "admin.address="+address, "--set",
		"services.relay.enabled=true", "--set", "services.chain.enabled=true", "--set",
		"services.echo.enabled=true"); code != 0 {
		t.Fatal("init failed")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, "start") }()
	defer func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("start ended with %d", code)
		}
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var text []byte
	for tries := 0; text == nil; tries++ {
		if answer, err := client.Get("http://" + address + "/metrics"); err == nil {
			if text, err = io.ReadAll(answer.Body); err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
		} else if tries > 600 {
			t.Fatal(err)
		}
		<-tick.C
	}
	all, found := known(t), 0
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (switchyard_\w+) `).FindAllStringSubmatch(string(text), -1) {
		if found++; !all[m[1]] {
			t.Errorf("docs/metrics.md lacks %s", m[1])
		}
	}
	if found < 60 {
		t.Errorf("%d metrics were found", found)
	}
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skipf("%v: make deploy-check installs it", err)
	}
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(string(text))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
