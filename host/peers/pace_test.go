package peers

import (
	"fmt"
	"net"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// dials begins all dials that may begin now.
func (m *pm) dials() (out []Dial) {
	for d, ok := m.TryDialNext(); ok; d, ok = m.TryDialNext() {
		out = append(out, d)
	}
	return out
}

func timedOut(stage string) error {
	return handshake.Fail(stage, muxer.CodeTimeout, fmt.Errorf("not done"))
}

// However many peers are due, and however fast their dials fail: beyond a burst they are dialed at the rate that is
// configured. DialNext wakes for the next one.
func TestDialRate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{DialRate: 10, MaxOutbound: 1000, Dials: 1000})
		m.learn(lows(400)...)
		count := func(wait time.Duration) (n int) {
			for end := time.Now().Add(wait); ; {
				for _, d := range m.dials() {
					m.fail(d.ID, errUnreachable)
					n++
				}
				if !time.Now().Before(end) {
					return n
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
		if n := count(0); n != dialBurst {
			t.Fatalf("%d at once", n)
		}
		if n := count(10 * time.Second); n != 100 {
			t.Fatalf("%d in 10 s", n)
		}
		m.dials()
		began := time.Now()
		if _, err := m.DialNext(t.Context()); err != nil || time.Since(began) != time.Second/10 {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
	})
}

// If most handshakes take too long, fewer are begun at once; if they complete, more. One that is slow among many is
// not our fault, nor is an address at which nobody answers.
func TestDialsAtOnceAdapt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxOutbound: 1000, Dials: 16, DialRate: -1, OutboundPerGroup: -1})
		m.learn(lows(1000)...)
		end := func(dials []Dial, slow int, other error) {
			for i, d := range dials {
				if i < slow {
					m.fail(d.ID, timedOut(handshake.StageSecurity))
				} else {
					m.fail(d.ID, other)
				}
			}
		}
		for i, want := range []int{16, 8, 4, 2, 2} {
			d := m.dials()
			if len(d) != want {
				t.Fatalf("window %d: %d dials, want %d", i, len(d), want)
			}
			end(d, len(d)/2+1, errUnreachable)
		}
		for want := 2; want <= 16; want++ {
			d := m.dials()
			if len(d) != want {
				t.Fatalf("%d dials, want %d", len(d), want)
			}
			end(d, len(d)/2, timedOut(handshake.StageTransport))
		}
		if d := m.dials(); len(d) != 16 {
			t.Fatalf("%d dials", len(d))
		}
	})
}

// While we have no network, each dial says so at once. Then all dials slow down, peers take their turns, and nothing is
// held against any of them; the same words count where a link shows that there is a network.
func TestOffline(t *testing.T) {
	for name, err := range map[string]error{
		"no route":   &net.OpError{Op: "dial", Err: syscall.ENETUNREACH},
		"no way":     &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH},
		"no address": &net.OpError{Op: "dial", Err: syscall.EADDRNOTAVAIL},
		"no names":   &net.DNSError{Err: "server misbehaving", IsTemporary: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				friend := highID(1)
				m := newPM(t, Config{Persistent: []transport.Address{addrOf(t, friend, 0)}})
				m.learn(lows(100)...)
				records := func() map[transport.NodeID]peerstore.Record {
					out := map[transport.NodeID]peerstore.Record{}
					m.store.Range(func(r peerstore.Record) bool {
						out[r.ID] = r
						return true
					})
					return out
				}
				before := records()
				dialed := map[transport.NodeID]int{}
				n := 0
				fail := func(wait time.Duration) {
					for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
						for _, d := range m.dials() {
							dialed[d.ID]++
							n++
							m.fail(d.ID, handshake.Fail(handshake.StageTransport, muxer.CodeTransport, err))
						}
					}
				}
				fail(time.Minute)
				if n > 150 || n < 60 || len(dialed) < 50 || dialed[friend] < 5 {
					t.Fatalf("%d dials of %d peers, %d of the persistent one", n, len(dialed), dialed[friend])
				}
				if !reflect.DeepEqual(before, records()) {
					t.Fatal("something is held against a peer")
				}
				a := m.arrival(highID(2)) // a link over loopback shows nothing
				a.IP = loopback
				m.settle(a.ID, a.LinkID, m.Arrived(accepted(a)))
				fail(time.Minute)
				after := records()
				delete(after, a.ID)
				if !reflect.DeepEqual(before, after) {
					t.Fatal("something is held against a peer")
				}
				m.up(highID(3))
				time.Sleep(time.Minute)
				d := m.mustDial("")
				m.fail(d.ID, handshake.Fail(handshake.StageTransport, muxer.CodeTransport, err))
				if rec := m.record(d.ID); rec.Failures != 1 {
					t.Fatalf("record %+v", rec)
				}
			})
		})
	}
}
