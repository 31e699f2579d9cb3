// Command switchyardbench measures the peer manager of Tendermint v0.35.9 for benchstore. That package is internal to
// Tendermint's module, so this module has a path below Tendermint's; and it is one of its own, run in a process of its
// own, because Tendermint needs a btcd of 2021.
//
// Arguments: the number of peers, the number that a measurement adds, the time of such a measurement, the time of one
// that adds none, the budget for learning all peers, and a folder for the database. Standard input has a line for each
// peer, its id and its IP; those beyond the number are learned later. It prints a line for each operation: its name,
// the calls, the value, the processor time.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	dbm "github.com/tendermint/tm-db"

	"github.com/tendermint/tendermint/internal/p2p"
	"github.com/tendermint/tendermint/types"
)

func main() {
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "switchyardbench:", err)
		os.Exit(1)
	}
}

func measure() error {
	var n, grow int
	var limit, brief, budget time.Duration
	for i, to := range []any{&n, &grow, &limit, &brief, &budget} {
		if err := parse(os.Args[1+i], to); err != nil {
			return err
		}
	}
	dir := os.Args[6]
	var addrs []p2p.NodeAddress
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var id, ip string
		if _, err := fmt.Sscan(in.Text(), &id, &ip); err != nil {
			return err
		}
		addrs = append(addrs, p2p.NodeAddress{NodeID: types.NodeID(id), Protocol: "mconn", Hostname: ip, Port: 26656})
	}
	m, db, err := open(dir)
	if err != nil {
		return err
	}
	before := heap()
	began := time.Now()
	for i := range n {
		if _, err := m.Add(copied(addrs[i])); err != nil {
			return err
		}
		if i%1000 == 0 && time.Since(began) > budget {
			fmt.Println("budget")
			return nil
		}
	}
	held := len(m.Peers())
	fmt.Printf("bytes a peer: 1 %g 0\n", float64(int64(heap())-int64(before))/float64(held))
	fmt.Printf("peers held: 1 %d 0\n", held)
	tell := func() error {
		if len(m.Advertise("", 100)) != 100 {
			return errors.New("fewer than 100 addresses to advertise")
		}
		return nil
	}
	if err := report("Advertise 100", 1<<30, brief, tell); err != nil {
		return err
	}
	next := n
	add := func() error {
		_, err := m.Add(addrs[next])
		next++
		return err
	}
	if err := report("add", grow, limit, add); err != nil {
		return err
	}
	fmt.Printf("adds that are kept: 1 %g 0\n", 100*float64(len(m.Peers())-held)/float64(next-n))
	cycle := func() error {
		if err := add(); err != nil {
			return err
		}
		a := m.TryDialNext()
		if a.NodeID == "" {
			return errors.New("no peer to dial")
		}
		return m.DialFailed(a)
	}
	if err := report("add, DialNext, DialFailed", grow, limit, cycle); err != nil {
		return err
	}
	held = len(m.Peers())
	m.Close()
	if err := db.Close(); err != nil {
		return err
	}
	used, began := processorTime(), time.Now()
	m, db, err = open(dir)
	if err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("load: 1 %g %g\n", micros(took)/1e3, micros(processorTime()-used)/1e3)
	if loaded := len(m.Peers()); loaded != held {
		return fmt.Errorf("of %d peers %d were loaded", held, loaded)
	}
	m.Close()
	return db.Close()
}

func open(dir string) (*p2p.PeerManager, dbm.DB, error) {
	db, err := dbm.NewGoLevelDB("peerstore", dir) // what a node has by default
	if err != nil {
		return nil, nil, err
	}
	m, err := p2p.NewPeerManager("ffffffffffffffffffffffffffffffffffffffff", db,
		p2p.PeerManagerOptions{MinRetryTime: 250 * time.Millisecond, MaxRetryTime: 30 * time.Minute})
	return m, db, err
}

// copied copies texts, so that they count as the manager's memory.
func copied(a p2p.NodeAddress) p2p.NodeAddress {
	a.NodeID, a.Hostname = types.NodeID([]byte(a.NodeID)), string([]byte(a.Hostname))
	return a
}

// parse reads a number or a time.
func parse(text string, to any) (err error) {
	switch to := to.(type) {
	case *int:
		*to, err = strconv.Atoi(text)
	case *time.Duration:
		*to, err = time.ParseDuration(text)
	}
	return err
}

// report calls fn most times, or until the limit is over, and prints µs a call. It first makes a tenth of the calls as
// a warm-up and collects the garbage.
func report(name string, most int, limit time.Duration, fn func() error) error {
	repeat := func(most int, limit time.Duration) (n int, err error) {
		for began := time.Now(); err == nil && (n == 0 || n < most && time.Since(began) < limit); n++ {
			err = fn()
		}
		return n, err
	}
	warm := max(1, most/10)
	if _, err := repeat(warm, limit/10); err != nil {
		return err
	}
	runtime.GC()
	used, began := processorTime(), time.Now()
	n, err := repeat(most-warm, limit)
	took := time.Since(began)
	fmt.Printf("%s: %d %g %g\n", name, n, micros(took)/float64(n), micros(processorTime()-used)/float64(n))
	return err
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
