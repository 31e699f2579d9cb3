package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 5, 6, 7, 8, 9, 10, time.UTC)

func filled(t testing.TB, peers int) peerstore.Store {
	t.Helper()
	s := memory.NewSeeded(peerstore.Limits{}, 1)
	for n := range peers {
		if !s.Add(storetest.Address(n, 26656), storetest.Told(n), now.Add(-time.Hour)) {
			t.Fatal("not learned:", n)
		}
		s.Add(storetest.Address(n, 1+n%3), peerstore.Source{Kind: "inbound"}, now.Add(-time.Hour))
		s.Update(storetest.ID(n), func(r *peerstore.Record) {
			r.Score, r.Scored, r.Height, r.Private = int16(n%50), now.Add(-time.Minute), uint64(n), n%7 == 0
			if n%3 == 0 {
				r.LastConnected, r.LastDisconnected = now.Add(-time.Hour), now.Add(-time.Minute)
				r.Addresses[0].LastSuccess, r.Addresses[0].LastDialed = now.Add(-time.Hour), now.Add(-time.Hour)
			} else if n%3 == 1 {
				r.Failures, r.NotBefore = 2, now.Add(time.Minute)
				r.Addresses[1].Failures, r.Addresses[1].LastDialed, r.Addresses[1].LastError = 2, now.Add(-time.Second),
					"refused <\"ü\">"
			}
			if n%11 == 0 {
				r.Quarantined, r.QuarantineReason = now.Add(time.Hour), "wrong network"
			}
		})
	}
	for _, b := range []string{string(storetest.ID(9999)), "192.0.2.1", "2001:db8::/32"} {
		target, err := peerstore.ParseTarget(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ban(peerstore.Ban{Target: target, Since: now, Until: now.Add(time.Hour), Reason: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestThereAndBack checks that export and import reproduce a store, and that a second import changes nothing.
func TestThereAndBack(t *testing.T) {
	const peers = 300
	s := filled(t, peers)
	var file bytes.Buffer
	if err := Export(&file, s, now); err != nil {
		t.Fatal(err)
	}
	other := memory.NewSeeded(peerstore.Limits{}, 2)
	got, err := Import(bytes.NewReader(file.Bytes()), other, now)
	if want := (Imported{Peers: peers, Addresses: 2 * peers, Bans: 3}); err != nil || got != want {
		t.Fatalf("%+v %v, want %+v", got, err, want)
	}
	for n := range peers {
		a, _ := s.Get(storetest.ID(n))
		b, _ := other.Get(storetest.ID(n))
		if !storetest.Equal(a, b) {
			t.Fatalf("%+v\nbecame\n%+v", a, b)
		}
	}
	again, err := Import(bytes.NewReader(file.Bytes()), other, now)
	if want := (Imported{Bans: 3}); err != nil || again != want {
		t.Fatalf("%+v %v, want %+v", again, err, want)
	}
	var file2 bytes.Buffer
	if err := Export(&file2, other, now); err != nil {
		t.Fatal(err)
	}
	if len(file2.Bytes()) != file.Len() {
		t.Fatal("a second export differs")
	}
}

// part of a file as CometBFT writes it
const addrbook = `{
	"key": "8f26b4b4b1fa6ee5e5b4ed1d",
	"addrs": [
		{"addr": {"id": "%[1]s", "ip": "9.1.2.3", "port": 26656}, 
		 "src": {"id": "%[2]s", "ip": "9.9.9.9", "port": 26656},
		 "buckets": [55], "attempts": 0, "bucket_type": 2, "last_attempt": "2026-05-01T00:00:00Z",
		 "last_success": "2026-05-01T00:00:00Z", "last_ban_time": "0001-01-01T00:00:00Z"},
		{"addr": {"id": "%[2]s", "ip": "2600:1::2", "port": 1}, "src": {"id": "%[2]s", "ip": "2600:1::2", "port": 1},
		 "buckets": [1, 2], "attempts": 3, "bucket_type": 1, "last_attempt": "2026-05-02T00:00:00.5+02:00",
		 "last_success": "0001-01-01T00:00:00Z", "last_ban_time": "2026-05-06T08:00:00Z"},
		{"addr": {"id": "", "ip": "1.1.1.1", "port": 1}},
		{"addr": {"id": "%[1]s", "ip": "1.1.1.1", "port": 70000}},
		null, 7
	]}`

func TestAddrBook(t *testing.T) {
	s := memory.NewSeeded(peerstore.Limits{}, 1)
	got, err := Import(strings.NewReader(fmt.Sprintf(addrbook, storetest.ID(1), storetest.ID(2))), s, now)
	if want := (Imported{Peers: 2, Addresses: 2, Bad: 4}); err != nil || got != want {
		t.Fatalf("%+v %v, want %+v", got, err, want)
	}
	r, _ := s.Get(storetest.ID(1))
	if a := r.Addresses[0]; a.Address.CometString() != string(storetest.ID(1))+"@9.1.2.3:26656" || !r.InTried ||
		a.Source.From != storetest.ID(2) ||
		a.Source.IP.String() != "9.9.9.9" || a.LastSuccess.Day() != 1 {
		t.Fatalf("%+v", r)
	}
	r, _ = s.Get(storetest.ID(2))
	if a := r.Addresses[0]; r.InTried || a.Failures != 3 || r.Failures != 3 || !a.LastSuccess.IsZero() ||
		a.NotBefore.Hour() != 8 || a.Source.From != "" {
		t.Fatalf("%+v", r)
	}
}

// An address book may fill the whole store, as the operator imports it.
func TestAddrBookFillsTheStore(t *testing.T) {
	const peers = 4000
	var text bytes.Buffer
	text.WriteString(`{"key": "k", "addrs": [`)
	for n := range peers {
		if n > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"addr": {"id": "%040x", "ip": "%d.%d.1.%d", "port": 26656},
			"src": {"id": "%040x", "ip": "%d.7.7.7", "port": 26656}}`,
			n+1, 11+n%64, n/64%250, 1+n%250, 100_000+n%200, 11+n%100)
	}
	text.WriteString(`]}`)
	s := memory.NewSeeded(peerstore.Limits{MaxPeers: peers}, 1)
	got, err := Import(&text, s, now)
	if err != nil || got.Bad > 0 || got.Peers != peers-got.Refused || got.Refused > peers/50 {
		t.Fatalf("%+v %v", got, err)
	}
	if known := s.Stats().Known; known != got.Peers {
		t.Errorf("%d peers are known, %d were read", known, got.Peers)
	}
}

func TestImportRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``: "EOF", `[]`: ErrForm.Error(), `{}`: ErrForm.Error(), `{"peers": {}}`: ErrForm.Error(),
		`{"peers": [{}`: "EOF", `{"version": 2, "peers": []}`: "version 2",
		`{"peers": [], "bans": 7}`: ErrForm.Error(), `null`: ErrForm.Error(),
	} {
		_, err := Import(strings.NewReader(text), memory.NewSeeded(peerstore.Limits{}, 1), now)
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	s := memory.NewSeeded(peerstore.Limits{}, 1)
	const text = `{"peers": null, "more": {"a": [1]},
		"bans": [{"target": "x"}, {"target": "9.9.9.9", "until": "2020-01-01T00:00:00Z"}]}`
	got, err := Import(strings.NewReader(text), s, now)
	if err != nil || got != (Imported{Bad: 1}) || s.Stats().Banned != 0 {
		t.Fatalf("%+v %v", got, err)
	}
	if err := Export(failing{}, filled(t, 1000), now); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

// FuzzImport checks that no text breaks a store, and that what was imported can be exported and imported again.
func FuzzImport(f *testing.F) {
	var file bytes.Buffer
	if err := Export(&file, filled(f, 3), now); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte(fmt.Sprintf(addrbook, storetest.ID(1), storetest.ID(2))))
	f.Add([]byte(`{"peers":[{"id":"x","addresses":[{"address":"/memory/7"}]}],"bans":[{"target":"::/0"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := memory.NewSeeded(peerstore.Limits{MaxPeers: 100}, 1)
		got, err := Import(bytes.NewReader(text), s, now)
		if err != nil {
			return
		}
		if st := s.Stats(); st.Known > got.Peers || st.Banned > got.Bans {
			t.Fatalf("%+v of %+v", st, got)
		}
		var file bytes.Buffer
		if err := Export(&file, s, now); err != nil {
			return // a time beyond the year 9999
		}
		again := memory.NewSeeded(peerstore.Limits{MaxPeers: 100}, 1)
		if _, err := Import(&file, again, now); err != nil {
			t.Fatal(err)
		}
		s.Range(func(r peerstore.Record) bool {
			if _, ok := again.Get(r.ID); !ok && !r.Quarantined.After(now) && transport.NodeID(r.ID) != "" &&
				s.Stats().Banned == 0 {
				t.Fatalf("lost %+v", r)
			}
			return true
		})
	})
}

// TestImportOfAnyTimes wants no peer to wait for longer than any rule lets it, nothing to have happened after now, and
// nothing to count as configured, whatever a file says.
func TestImportOfAnyTimes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		when := func() string {
			at := now.Add(time.Duration(random.Int64N(int64(1000*time.Hour))) - 500*time.Hour)
			if random.IntN(3) == 0 {
				at = time.Date(random.IntN(9999), 12, 31, 23, 59, 59, 0, time.UTC)
			}
			return at.Format(time.RFC3339)
		}
		text := fmt.Sprintf(`{"peers": [{"id": "%[1]s", "not_before": "%s", "quarantined": "%s", "last_connected": "%s",
			"first_seen": "%s", "scored": "%s", "last_disconnected": "%s", "failures": 3,
			"addresses": [{"address": "/ip4/9.1.2.3/tcp/26656/mconn/%[1]s", "source": "%s", "from": "zz zz",
			"first_heard": "%s", "last_heard": "%s", "last_dialed": "%s", "last_success": "%s", "not_before": "%s"}]}],
			"bans": [{"target": "192.0.2.1", "since": "%s", "until": "9999-01-01T00:00:00Z"}]}`, storetest.ID(1),
			when(), when(), when(), when(), when(), when(), []string{"config", "static", "pex"}[random.IntN(3)], when(),
			when(), when(), when(), when(), when())
		s := memory.NewSeeded(peerstore.Limits{}, 1)
		if got, err := Import(strings.NewReader(text), s, now); err != nil || got.Peers != 1 {
			t.Fatalf("%+v %v", got, err)
		}
		r, _ := s.Get(storetest.ID(1))
		a := r.Addresses[0]
		for _, at := range []time.Time{r.FirstSeen, r.Scored, r.LastConnected, r.LastDisconnected, a.FirstHeard,
			a.LastHeard, a.LastDialed, a.LastSuccess} {
			if at.After(now) {
				t.Fatalf("%s\n%+v", text, r)
			}
		}
		if a.Source.Configured() || a.Source.From != "" {
			t.Fatalf("%+v", a.Source)
		}
		if _, ok := s.Next(now.Add(peerstore.LongestQuarantine), peerstore.Query{}); !ok {
			t.Fatalf("%s\n%+v", text, r)
		}
	}
}

// TestImportInTheWild wants what is good of a file to be kept and the rest to be counted or said.
func TestImportInTheWild(t *testing.T) {
	entry := func(n int, ip string) string {
		return fmt.Sprintf(`{"addr": {"id": "%s", "ip": "%s", "port": 26656}, "src": {"id": "%s", "ip": "9.9.9.9",
			"port": 1}, "last_ban_time": "2098-01-01T00:00:00Z"}`, storetest.ID(n), ip, storetest.ID(99))
	}
	book := func(entries ...string) string { return `{"addrs": [` + strings.Join(entries, ",") + `]}` }
	for name, c := range map[string]struct {
		text string
		want Imported
		err  error
	}{
		"twice": {book(entry(1, "9.1.1.1"), entry(1, "9.1.1.1"), entry(2, "9.1.1.2")),
			Imported{Peers: 2, Addresses: 2}, nil},
		"nowhere": {book(entry(1, "224.0.0.1"), entry(2, "255.255.255.255"), entry(3, "0.0.0.0"), entry(4, "ff02::1"),
			entry(5, "9.1.1.1")), Imported{Peers: 1, Addresses: 1, Refused: 4}, nil},
		"two books": {book(entry(1, "9.1.1.1")) + book(entry(2, "9.1.1.2")), Imported{Peers: 1, Addresses: 1},
			ErrMore},
		"with blanks":            {" " + book(entry(1, "9.1.1.1")) + "\n\n", Imported{Peers: 1, Addresses: 1}, nil},
		"with a byte order mark": {"\ufeff" + book(entry(1, "9.1.1.1")), Imported{Peers: 1, Addresses: 1}, nil},
		"with a page":            {book(entry(1, "9.1.1.1")) + "<html>", Imported{Peers: 1, Addresses: 1}, ErrMore},
	} {
		s := memory.NewSeeded(peerstore.Limits{}, 1)
		got, err := Import(strings.NewReader(c.text), s, now)
		if !errors.Is(err, c.err) || got != c.want || s.Stats().Known != c.want.Peers {
			t.Errorf("%s: %+v %v, %+v", name, got, err, s.Stats())
		}
		if _, ok := s.Next(now.Add(peerstore.LongestBackoff), peerstore.Query{}); !ok {
			t.Errorf("%s: nobody is due within an hour", name)
		}
	}
}
