package programtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// calling bounds every call of a program.
const calling = time.Minute

// Result is the outcome of a call.
type Result struct {
	Out, Err string
	Code     int
}

// Call runs a program to its end. HOME is an empty folder, so that no real node is touched.
func Call(t testing.TB, program string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), calling)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "GORACE=atexit_sleep_ms=0")
	dieWithUs(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %s: %v", program, strings.Join(args, " "), err)
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Ask runs our program, which must succeed with an empty stderr, and decodes its JSON. A key that T lacks is a failure:
// the output is a contract.
func Ask[T any](t testing.TB, program string, args ...string) (v T) {
	t.Helper()
	r := Call(t, program, args...)
	if r.Code != 0 || r.Err != "" {
		t.Fatalf("switchyard %s: code %d, %s%s", strings.Join(args, " "), r.Code, r.Out, r.Err)
	}
	d := json.NewDecoder(strings.NewReader(r.Out))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("switchyard %s printed %s: %v", strings.Join(args, " "), r.Out, err)
	}
	return v
}

// Failed is what --json prints of a failure.
type Failed struct {
	OK    bool   `json:"ok"`
	Stage string `json:"stage"`
	Error string `json:"error"`
}

// Refuse runs our program, which must fail with exit code 1, one line on stderr, and the same in JSON.
func Refuse(t testing.TB, program string, args ...string) (f Failed) {
	t.Helper()
	r := Call(t, program, args...)
	d := json.NewDecoder(strings.NewReader(r.Out))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || r.Code != 1 || f.OK || f.Error == "" || strings.Count(r.Err, "\n") != 1 ||
		!strings.HasPrefix(r.Err, "switchyard: ") {
		t.Errorf("switchyard %s: code %d, stdout %q, stderr %q (%v)",
			strings.Join(args, " "), r.Code, r.Out, r.Err, err)
	}
	return f
}

// Identity is what id --json prints.
type Identity struct {
	NodeID    string `json:"node_id"`
	PeerID    string `json:"peer_id"`
	PublicKey string `json:"public_key"`
}

// Dialed is what dial --json prints.
type Dialed struct {
	OK        bool   `json:"ok"`
	Address   string `json:"address"`
	NodeID    string `json:"node_id"`
	PeerID    string `json:"peer_id"`
	Wire      string `json:"wire"`
	Transport string `json:"transport"`
	Security  string `json:"security"`
	Muxer     string `json:"muxer"`
	Stages    []struct {
		Name string   `json:"name"`
		MS   *float64 `json:"ms"`
	} `json:"stages"`
	Info struct {
		Moniker   string   `json:"moniker"`
		Network   string   `json:"network"`
		Version   string   `json:"version"`
		Channels  []int    `json:"channels"`
		Protocols []string `json:"protocols"`
		Listen    []string `json:"listen"`
	} `json:"info"`
}

// StageNames returns the names of the dial's stages, and checks that their times are plausible.
func (d Dialed) StageNames(t testing.TB) (names []string) {
	t.Helper()
	for _, s := range d.Stages {
		if s.MS == nil || *s.MS < 0 || *s.MS > 5000 {
			t.Errorf("dial %s: stage %s took %v ms", d.Address, s.Name, s.MS)
		}
		names = append(names, s.Name)
	}
	return names
}

// Trips is what ping --json and echo --json print.
type Trips struct {
	OK    bool `json:"ok"`
	Size  int  `json:"size"`
	Count int  `json:"count"`
	RTT   struct {
		Min float64 `json:"min"`
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
		Max float64 `json:"max"`
	} `json:"rtt_ms"`
}

// Ordered reports whether the times can be such quantiles.
func (r Trips) Ordered() bool {
	return r.RTT.Min > 0 && r.RTT.Min <= r.RTT.P50 && r.RTT.P50 <= r.RTT.P99 && r.RTT.P99 <= r.RTT.Max
}

// FreeAddress returns a loopback host:port that is free.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
