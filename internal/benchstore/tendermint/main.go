// Command switchyardbench measures the peer manager of Tendermint v0.35.9 for benchstore. That package is internal to Tendermint's module, so this module has a
// path below Tendermint's; and it is one of its own, run in a process of its own, because Tendermint needs a btcd of 2021.
//
// Arguments: how many peers, the time of each measurement, the budget for learning all peers, and a folder for the database. Standard input has a line for
// each peer, its id and its IP; those beyond the number are learned later. It prints a line for each operation: its name, the value, the processor time.
package main

import (
	"bufio"
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

var limit time.Duration // of a measurement

func main() {
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "switchyardbench:", err)
		os.Exit(1)
	}
}

func measure() error {
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	if limit, err = time.ParseDuration(os.Args[2]); err != nil {
		return err
	}
	budget, err := time.ParseDuration(os.Args[3])
	if err != nil {
		return err
	}
	var addrs []p2p.NodeAddress
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var id, ip string
		if _, err := fmt.Sscan(in.Text(), &id, &ip); err != nil {
			return err
		}
		addrs = append(addrs, p2p.NodeAddress{NodeID: types.NodeID(id), Protocol: "mconn", Hostname: ip, Port: 26656})
	}
	m, db, err := open(os.Args[4])
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
	fmt.Printf("bytes a peer: %g 0\n", float64(int64(heap())-int64(before))/float64(n))
	fmt.Printf("peers held: %d 0\n", len(m.Peers()))
	next := n
	add := func() { m.Add(addrs[next]); next++ }
	report("add", len(addrs)-n-100, add)
	cycle := func() {
		add()
		if err := m.DialFailed(m.TryDialNext()); err != nil {
			panic(err)
		}
	}
	report("add, DialNext, DialFailed", len(addrs)-next, cycle)
	report("Advertise 100", 1<<30, func() { m.Advertise("", 100) })
	m.Close()
	if err := db.Close(); err != nil {
		return err
	}
	used, began := processorTime(), time.Now()
	m, db, err = open(os.Args[4])
	if err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("load: %g %g\n", micros(took)/1e3, micros(processorTime()-used)/1e3)
	m.Close()
	return db.Close()
}

func open(dir string) (*p2p.PeerManager, dbm.DB, error) {
	db, err := dbm.NewGoLevelDB("peerstore", dir) // what a node has by default
	if err != nil {
		return nil, nil, err
	}
	m, err := p2p.NewPeerManager("ffffffffffffffffffffffffffffffffffffffff", db, p2p.PeerManagerOptions{MinRetryTime: 250 * time.Millisecond, MaxRetryTime: 30 * time.Minute})
	return m, db, err
}

// copied has texts of its own, which count as the manager's memory.
func copied(a p2p.NodeAddress) p2p.NodeAddress {
	a.NodeID, a.Hostname = types.NodeID([]byte(a.NodeID)), string([]byte(a.Hostname))
	return a
}

// report calls fn until the time is over, most times at most, and prints µs a call.
func report(name string, most int, fn func()) {
	used, began := processorTime(), time.Now()
	n := 0
	for ; n == 0 || n < most && time.Since(began) < limit; n++ {
		fn()
	}
	took := time.Since(began)
	fmt.Printf("%s: %g %g\n", name, micros(took)/float64(n), micros(processorTime()-used)/float64(n))
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
