package programtest

import (
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var programs Builds

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		programs.Remove()
		os.Exit(code)
	}))
}

func TestOurProgram(t *testing.T) {
	program := programs.Get(t, "../..", Ours)
	if again := programs.Get(t, "../..", Ours); again != program {
		t.Errorf("built twice: %s, %s", program, again)
	}
	if r := Call(t, program, "no-such-command"); r.Code == 0 || r.Err == "" {
		t.Errorf("%+v", r)
	}
	Refuse(t, program, "dial", FreeAddress(t), "--json")
	y := NewNodeDir(t, program, "net", "m", "--listen", "/ip4/127.0.0.1/tcp/0", "--listen",
		"/ip4/127.0.0.1/udp/0/quic-v1")
	p := y.Start(t)
	if d := Ask[Dialed](t, program, "dial", y.Address(t), "--json"); d.NodeID != y.NodeID || len(d.StageNames(t)) == 0 {
		t.Errorf("%+v", d)
	}
	if y.Listen["quic"] == nil || len(p.Lines()) == 0 {
		t.Errorf("%+v", y)
	}
	p.Stop(t)
	if p.Await(t, time.Minute, "a line that does not come", func(string) bool { return false }) {
		t.Error("a process that has ended wrote more")
	}
	killed := y.Launch(t)
	killed.Kill()
	if killed.Code() == 0 {
		t.Errorf("a killed process ended with %d", killed.Code())
	}
	if !strings.Contains(p.Tail(), "ready") {
		t.Error(p.Tail())
	}
}
