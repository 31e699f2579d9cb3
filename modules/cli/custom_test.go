package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// TestCustomBinary builds a binary with a service of its own (testdata/greeter), which adds a command, a route and a
// metric, and shows that all commands work on its home.
func TestCustomBinary(t *testing.T) {
	var builds programtest.Builds
	defer builds.Remove()
	greeter := builds.Get(t, ".", "./testdata/greeter")
	listen := []string{"--listen", "/ip4/127.0.0.1/tcp/0"}
	a := programtest.NewNodeDir(t, greeter, "greetings", "anna", listen...)
	b := programtest.NewNodeDir(t, greeter, "greetings", "bert", listen...)
	running := []*programtest.Process{a.Start(t)}
	running = append(running, b.Start(t, "peers.persistent="+a.Address(t), "services.greeter.greeting=hi"))

	eventually(t, "the nodes are connected", func() bool {
		return len(programtest.Ask[[]admin.Peer](t, greeter, "peers", "--json", "--home", a.Home)) == 1
	})
	status := programtest.Ask[admin.Status](t, greeter, "status", "--json", "--home", a.Home)
	if status.Moniker != "anna" || !strings.HasPrefix(status.Version, "greeter/") {
		t.Errorf("status: %+v", status)
	}
	dialed := programtest.Ask[programtest.Dialed](t, greeter, "dial", a.Address(t), "--json")
	if !dialed.OK || fmt.Sprint(dialed.Info.Channels) != "[0 112]" {
		t.Errorf("dial: %+v", dialed)
	}

	for _, tt := range []struct{ call, out, err string }{
		{"greet --home HOME", "greeted 1 peers\n", ""},
		{"greet --quiet --home HOME", "", ""},
		{"greet --home HOME me", "", "greeter: greet: unexpected argument \"me\"; want greeter greet\n"},
		{"greet --loud --home HOME", "", "greeter: unknown flag: --loud; greeter greet --help lists the flags\n"},
		{"start --home HOME --set services.greeter.greting=hi", "",
			"greeter: --set: services.greeter.greting: unknown key (did you mean greeting?)\n"},
	} {
		args := strings.Fields(strings.ReplaceAll(tt.call, "HOME", b.Home))
		want := programtest.Result{Out: tt.out, Err: tt.err}
		if tt.err != "" {
			want.Code = exitUsage
		}
		if r := programtest.Call(t, greeter, args...); r != want {
			t.Errorf("%s: got %+v, want %+v", tt.call, r, want)
		}
	}
	eventually(t, "a counts b's two greetings", func() bool {
		return strings.Contains(get(t, "http://"+a.Admin+"/metrics"), "\ngreeter_heard_total 2\n")
	})
	body := get(t, "http://"+a.Admin+"/v1/services/other/greetings")
	if !strings.Contains(body, "set services.other.enabled = true") {
		t.Errorf("a service that is not there: %s", body)
	}
	for _, p := range running {
		p.Stop(t)
	}
	r := programtest.Call(t, greeter, "greet", "--home", a.Home)
	if r.Code != exitFailed || !strings.Contains(r.Err, "no node answers") {
		t.Errorf("a node that has stopped: %+v", r)
	}
}

// get returns the body of an answer.
func get(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: limit}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
