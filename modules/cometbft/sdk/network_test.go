package sdk_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	rpc "github.com/cometbft/cometbft/rpc/client/http"

	"github.com/cosmos/cosmos-sdk/server"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
	"github.com/switchyard-p2p/switchyard/modules/cometbft/sdk"
	"github.com/switchyard-p2p/switchyard/modules/cometbft/sdk/example"
)

// kindOf names the environment's variable that makes this test the chain's program: stock with the SDK's own start
// command, ours with this module's, breakable with ours that may fail.
const kindOf = "SWITCHYARD_SDK_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(kindOf) {
	case "stock":
		example.Main(server.AddCommands)
	case "ours":
		example.Main(sdk.AddCommands)
	case "breakable":
		example.Main(addBreakable)
	default:
		os.Exit(m.Run())
	}
}

const (
	chain = "sdk-test"
	coins = "1000000000stake"
	stake = "500000000stake"
)

// network is a chain of validators, each a process on loopback.
type network struct {
	t       *testing.T
	members []*member
}

// member is one validator.
type member struct {
	kind, home string // kind: as in kindOf
	id         string // of its node
	account    string
	p2p, rpc   string // host:port
	grpc, api  string
	admin      string
	cmd        *exec.Cmd
	process    *programtest.Process
	client     *rpc.HTTP
}

// newNetwork makes homes with the program's own commands.
func newNetwork(t *testing.T, kinds ...string) *network {
	t.Helper()
	w := &network{t: t}
	for i, kind := range kinds {
		m := &member{kind: kind, home: t.TempDir(), p2p: freeAddress(t), rpc: freeAddress(t), grpc: freeAddress(t),
			api: freeAddress(t), admin: freeAddress(t)}
		w.members = append(w.members, m)
		m.call(t, "init", fmt.Sprintf("%s%d", kind, i), "--chain-id", chain)
		m.id = m.call(t, "comet", "show-node-id")
		m.call(t, "keys", "add", "me", "--keyring-backend", "test")
		m.account = m.call(t, "keys", "show", "me", "-a", "--keyring-backend", "test")
	}
	first := w.members[0]
	gentxs := filepath.Join(first.home, "config", "gentx")
	if err := os.MkdirAll(gentxs, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, m := range w.members {
		first.call(t, "genesis", "add-genesis-account", m.account, coins)
	}
	for _, m := range w.members {
		m.take(t, first, "config/genesis.json")
		m.call(t, "genesis", "gentx", "me", stake, "--chain-id", chain, "--keyring-backend", "test",
			"--output-document", filepath.Join(gentxs, m.id+".json"))
	}
	first.call(t, "genesis", "collect-gentxs")
	for _, m := range w.members {
		m.take(t, first, "config/genesis.json")
		m.configure(t)
	}
	return w
}

// configure lets a member have several peers on loopback, and gives Switchyard's admin API an address.
func (m *member) configure(t *testing.T) {
	t.Helper()
	text := fmt.Sprintf("[admin]\naddress = %q\n", m.admin)
	if err := os.WriteFile(filepath.Join(m.home, "config", "switchyard.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(m.home, "config", "config.toml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"allow_duplicate_ip": "true", "addr_book_strict": "false"} {
		data = regexp.MustCompile("(?m)^"+key+" = .*$").ReplaceAll(data, []byte(key+" = "+value))
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// call runs one of the program's commands in the member's home and returns what it prints: some commands of the SDK
// print to stderr.
func (m *member) call(t *testing.T, args ...string) string {
	t.Helper()
	t.Setenv(kindOf, m.kind)
	r := programtest.Call(t, os.Args[0], append(args, "--home", m.home)...)
	if r.Code != 0 {
		t.Fatalf("%s: code %d: %s%s", strings.Join(args, " "), r.Code, r.Out, r.Err)
	}
	return strings.TrimSpace(cmp.Or(r.Out, r.Err))
}

// take copies a file from another member's home.
func (m *member) take(t *testing.T, from *member, name string) {
	t.Helper()
	if m == from {
		return
	}
	data, err := os.ReadFile(filepath.Join(from.home, name))
	if err == nil {
		err = os.WriteFile(filepath.Join(m.home, name), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// launch runs the start command.
func (m *member) launch(t *testing.T, args ...string) {
	t.Helper()
	m.cmd = exec.Command(os.Args[0], append([]string{"start", "--home", m.home, "--minimum-gas-prices", "0stake",
		"--log_no_color", "--rpc.pprof_laddr", "", "--rpc.laddr", "tcp://" + m.rpc, "--p2p.laddr", "tcp://" + m.p2p,
		"--grpc.address", m.grpc, "--api.enable", "--api.address", "tcp://" + m.api}, args...)...)
	m.cmd.Env = append(os.Environ(), kindOf+"="+m.kind, "HOME="+m.home)
	m.process = programtest.LaunchCommand(t, m.cmd)
	var err error
	if m.client, err = rpc.New("http://"+m.rpc, "/websocket"); err != nil {
		t.Fatal(err)
	}
}

// start launches all members, each of which dials the later ones.
func (w *network) start() {
	w.t.Helper()
	for i, m := range w.members {
		var peers []string
		for _, o := range w.members[i+1:] {
			peers = append(peers, o.id+"@"+o.p2p)
		}
		m.launch(w.t, "--p2p.persistent_peers", strings.Join(peers, ","))
	}
}

// height returns the height of a member's latest block; 0 before it answers.
func (m *member) height(t *testing.T) int64 {
	s, err := m.client.Status(t.Context())
	if err != nil {
		return 0
	}
	return s.SyncInfo.LatestBlockHeight
}

// reach waits until all members have a height.
func (w *network) reach(height int64) {
	w.t.Helper()
	for _, m := range w.members {
		eventually(w.t, m, fmt.Sprintf("height %d", height), func() bool { return m.height(w.t) >= height })
	}
}

// transports returns what carries the links of a member of ours, by node id.
func (m *member) transports(t *testing.T) map[string]string {
	t.Helper()
	var list []struct {
		ID        string `json:"node_id"`
		Transport string `json:"transport"`
	}
	get(t, "http://"+m.admin+"/v1/peers", &list)
	by := map[string]string{}
	for _, p := range list {
		by[p.ID] = p.Transport
	}
	return by
}

// balance asks a member's API server for the coins of an account.
func (m *member) balance(t *testing.T, account string) string {
	t.Helper()
	var r struct {
		Balances []struct{ Amount, Denom string } `json:"balances"`
	}
	get(t, "http://"+m.api+"/cosmos/bank/v1beta1/balances/"+account, &r)
	if len(r.Balances) != 1 {
		return ""
	}
	return r.Balances[0].Amount + r.Balances[0].Denom
}

// get decodes a JSON document.
func get(t *testing.T, url string, to any) {
	t.Helper()
	r, err := (&http.Client{Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		t.Log(err)
		return
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(to); err != nil {
		t.Log(url, err)
	}
}

// eventually waits for what processes bring about.
func eventually(t *testing.T, m *member, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(90 * time.Second)
	for !ok() {
		select {
		case <-m.process.Done:
			t.Fatalf("%s: the process of %s has ended:\n%s", what, m.kind, m.process.Tail())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("not in time: %s at %s:\n%s", what, m.kind, m.process.Tail())
		}
	}
}

// freeAddress returns host:port on loopback that is free for TCP and UDP.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 20 {
		at := programtest.FreeAddress(t)
		if u, err := net.ListenPacket("udp4", at); err == nil {
			_ = u.Close()
			return at
		}
	}
	t.Fatal("no free port")
	return ""
}
