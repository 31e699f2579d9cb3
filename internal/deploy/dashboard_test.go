package deploy

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

var update = flag.Bool("update", false, "write deploy/monitoring/dashboard.json anew")

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// known has the metrics that a scrape of a node may have.
func known(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, m := range ReadMetrics([]byte(read(t, "docs/metrics.md"))) {
		names[m.Name] = true
	}
	if len(names) < 60 {
		t.Fatalf("docs/metrics.md lists %d metrics", len(names))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		names[f.GetName()] = true
	}
	for _, name := range []string{"process_open_fds", "process_max_fds", "process_cpu_seconds_total",
		"process_resident_memory_bytes", "process_start_time_seconds"} {
		names[name] = true // where the system has /proc
	}
	return names
}

func unknown(names []string, all map[string]bool) (bad []string) {
	for _, name := range names {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if !all[base] {
				base = strings.TrimSuffix(name, suffix)
			}
		}
		if !all[base] {
			bad = append(bad, name)
		}
	}
	return bad
}

// dashboard.json is what the generator makes of a node's metrics. It shows each of them, and no other ones.
func TestDashboard(t *testing.T) {
	metrics := ReadMetrics([]byte(read(t, "docs/metrics.md")))
	made, err := Dashboard(metrics)
	if err != nil {
		t.Fatal(err)
	}
	const path = "deploy/monitoring/dashboard.json"
	if *update {
		if err := os.WriteFile(filepath.Join(root, path), made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, path) != string(made) {
		t.Errorf("%s is not what the generator makes: go test ./internal/deploy -update writes it", path)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(made, &board); err != nil {
		t.Fatal(err)
	}
	all, shown, taken := known(t), map[string]bool{}, map[[2]int]string{}
	var rules bytes.Buffer
	rules.WriteString("groups:\n- name: board\n  rules:\n")
	for _, p := range board.Panels {
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s is at the place of %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			names := Names(q.Expr)
			if bad := unknown(names, all); len(bad) > 0 || len(names) == 0 {
				t.Errorf("%s: %s reads %v, which no node has", p.Title, q.Expr, bad)
			}
			for _, n := range names {
				shown[n], shown[strings.TrimSuffix(n, "_bucket")] = true, true
			}
			expr := strings.ReplaceAll(q.Expr, "$__rate_interval", "5m")
			rules.WriteString("  - record: x\n    expr: '" + expr + "'\n")
		}
	}
	for _, m := range metrics {
		if !shown[m.Name] {
			t.Errorf("no panel shows %s", m.Name)
		}
	}
	promtool(t, rules.String())
}

// promtool checks the syntax of rules, if it is there (make deploy-check installs it).
func promtool(t *testing.T, rules string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Logf("expressions are not parsed: %v", err)
		return
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", "--lint=none", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The alerts read metrics that there are, and each has an entry in the runbook.
func TestAlerts(t *testing.T) {
	rules, book, tests := read(t, "deploy/monitoring/alerts.yml"), read(t, "docs/runbook.md"),
		read(t, "deploy/monitoring/alerts_test.yml")
	all := known(t)
	for _, file := range []string{rules, tests} {
		if bad := unknown(Names(file), all); len(bad) > 0 {
			t.Errorf("the rules read %v, which no node has", bad)
		}
	}
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(rules, -1)
	if len(alerts) < 10 {
		t.Fatalf("%d alerts were found", len(alerts))
	}
	for _, a := range alerts {
		link := "docs/runbook.md#" + strings.ToLower(a[1]) + "\n"
		if !strings.Contains(book, "\n## "+a[1]+"\n") || !strings.Contains(rules, link) {
			t.Errorf("docs/runbook.md has no section %s, or the alert does not name it", a[1])
		}
		if !strings.Contains(tests, "alertname: "+a[1]+"\n        exp_alerts:") {
			t.Errorf("no test makes %s fire", a[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^## (Switchyard\w+)$`).FindAllStringSubmatch(book, -1) {
		if !strings.Contains(rules, "alert: "+m[1]+"\n") {
			t.Errorf("docs/runbook.md has a section %s, and there is no such alert", m[1])
		}
	}
}
