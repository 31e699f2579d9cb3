//go:build linux

// Command wan runs real nodes on a wide area network that it emulates, and holds what they do to bounds: how a network
// forms that begins with one ordinary node, and how it heals. See `make wan`.
//
// Each node is a process in a network namespace of its own, whose only way out is a TUN device that this program reads
// and writes. Packets between nodes arrive late by half the round trip of their regions (five, 20 to 250 ms apart), are
// lost, or are cut. So TCP, UDP and QUIC are the kernel's own, and nothing but this program connects the nodes. All of
// it ends with this program, however that ends. It needs root, /dev/net/tun and the command ip. A node takes about 26
// MiB and 0.3 % of a core once the network has formed; two cores start five nodes a second.
//
// Steps (-do), in order:
//
//	form       starts the nodes: 30 s after the last start nobody is alone, and after 60 s all that can have their
//	           outbound links have them
//	cut:D      cuts two regions from the others for D; after the heal there is one network within 10 s, half of the
//	           crossing links within 2 minutes, 90 % of their number before the cut within 20
//	kill       kills 30 % of the nodes: a minute later the others are one network; then it starts the dead again, and
//	           the bounds of form hold
//	bootstrap  kills the node that all knew first: a minute later the bounds of form hold for the others
//
// The log of each node is in -dir. The exit code is 1 if a bound was missed.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

var (
	program  = flag.String("bin", "bin/switchyard", "the program of the nodes")
	dir      = flag.String("dir", "", "folder for homes and logs, emptied first (default a new one)")
	count    = flag.Int("n", 50, "nodes, the first one included")
	kinds    = flag.String("kinds", "comet,tcp,quic,dual", "what the nodes speak, in turn; the first one speaks all")
	inbound  = flag.Int("inbound", 40, "inbound slots of each node")
	loss     = flag.Float64("loss", 0.02, "share of packets lost between regions, each way; a tenth of it within one")
	rate     = flag.Float64("rate", 5, "nodes started per second, at first and again")
	steps    = flag.String("do", "form cut:2m cut:10m kill bootstrap", "steps, in order")
	interval = flag.Duration("every", 2*time.Second, "time between looks at all nodes")
)

// run is one run of this program.
type run struct {
	nodes  []*node
	wan    *wan
	began  time.Time
	missed int // bounds
}

func main() {
	flag.Parse()
	if *dir == "" {
		*dir = must(os.MkdirTemp("", "wan"))
	}
	check(os.RemoveAll(*dir))
	check(os.MkdirAll(*dir, 0o755))
	r := &run{began: time.Now(), wan: newWAN(*count, *loss)}
	each := strings.Split(*kinds, ",")
	for i := range *count {
		r.nodes = append(r.nodes, newNode(i, r.wan.Places[i], *dir, each[i%len(each)]))
	}
	r.nodes[0].kind = "dual"
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		os.Exit(1) // the nodes end with us
	}()
	r.say("%d nodes, %d inbound slots, %.0f %% loss, in %s", *count, *inbound, 100**loss, *dir)
	for step := range strings.FieldsSeq(*steps) {
		r.say("--- %s", step)
		name, arg, _ := strings.Cut(step, ":")
		switch name {
		case "form":
			r.form()
		case "cut":
			r.cutAndHeal(must(time.ParseDuration(arg)))
		case "kill":
			r.killAndRestart()
		case "bootstrap":
			r.killBootstrap()
		default:
			check(fmt.Errorf("unknown step %q", step))
		}
	}
	for _, n := range r.nodes {
		n.kill()
	}
	if r.missed > 0 {
		r.say("FAILED: %d bounds missed", r.missed)
		os.Exit(1)
	}
	r.say("all bounds hold")
}

// form starts the first node, then the others.
func (r *run) form() {
	first := r.nodes[0]
	first.init(*program, "")
	first.start(*program)
	first.identify()
	each(r.nodes[1:], 4, func(n *node) { n.init(*program, first.address(n.kind)) })
	r.awaitFormed(startAll(r.nodes[1:]))
}

// startAll starts nodes at the rate that the machine can bear, and returns when the last one was started.
func startAll(nodes []*node) time.Time {
	began := time.Now()
	for i, n := range nodes {
		time.Sleep(time.Until(began.Add(time.Duration(float64(i) / *rate * float64(time.Second)))))
		n.start(*program)
	}
	started := time.Now()
	each(nodes, 16, (*node).identify)
	return started
}

// awaitFormed holds a network whose last node started then to its bounds.
func (r *run) awaitFormed(started time.Time) {
	r.within(started, 30*time.Second, "nobody is alone", func(s *snapshot) bool { return len(s.alone) == 0 })
	r.within(started, time.Minute, "all have the outbound links that they can have",
		func(s *snapshot) bool { return len(s.short) == 0 })
	r.within(started, time.Minute, "one network", func(s *snapshot) bool { return s.parts == 1 })
}

// cutAndHeal cuts two regions off, and heals.
func (r *run) cutAndHeal(d time.Duration) {
	cut := map[int]bool{0: true, 1: true}
	before := len(r.crossing(r.look(), cut))
	r.wan.cut(0, 1)
	time.Sleep(d)
	old := r.crossing(r.look(), cut)
	r.wan.heal()
	healed := time.Now()
	// A crossing link works if it is new since the heal, or has received something since.
	works := func(s *snapshot) int {
		now := r.crossing(s, cut)
		for e, l := range now {
			was, listed := old[e]
			age := min(l[0].Age, l[1].Age)
			if listed && age > time.Since(healed).Seconds() && l[0].Received == was[0].Received &&
				l[1].Received == was[1].Received {
				delete(now, e)
			}
		}
		s.works = len(now)
		s.parts = r.parts(s, func(e edge) bool {
			_, ok := now[e]
			return ok || cut[r.nodes[e[0]].region] == cut[r.nodes[e[1]].region]
		})
		return len(now)
	}
	r.say("%d crossing links before the cut; %d are listed still", before, len(old))
	r.within(healed, 10*time.Second, "one network", func(s *snapshot) bool { works(s); return s.parts == 1 })
	r.within(healed, 2*time.Minute, "half of the crossing links",
		func(s *snapshot) bool { return 2*works(s) >= before })
	r.within(healed, 20*time.Minute, "90 % of the crossing links",
		func(s *snapshot) bool { return 10*works(s) >= 9*before })
}

// killAndRestart kills some nodes, and starts them again.
func (r *run) killAndRestart() {
	var dead []*node
	for _, i := range rand.Perm(len(r.nodes) - 1)[:len(r.nodes)*3/10] {
		dead = append(dead, r.nodes[i+1])
	}
	each(dead, 1, (*node).kill)
	killed := time.Now()
	time.Sleep(time.Minute)
	r.within(killed, 70*time.Second, "the others are one network", func(s *snapshot) bool { return s.parts == 1 })
	r.awaitFormed(startAll(dead))
}

// killBootstrap kills the first node.
func (r *run) killBootstrap() {
	r.nodes[0].kill()
	time.Sleep(time.Minute)
	r.awaitFormed(time.Now())
}

// within looks at all nodes until done, at most until bound after a time, and notes whether that was in time.
func (r *run) within(from time.Time, bound time.Duration, what string, done func(*snapshot) bool) {
	for {
		s := r.look()
		took := s.at.Sub(from)
		if done(s) && took <= bound {
			r.say("ok: %s after %.1f s; %s", what, took.Seconds(), s)
			return
		}
		if took > bound {
			r.missed++
			r.say("MISSED: %s within %v; %s; alone %v, short %v", what, bound, s, s.alone, s.short)
			return
		}
		time.Sleep(*interval)
	}
}

func (r *run) say(format string, args ...any) {
	fmt.Printf("%6.1f s  "+format+"\n", append([]any{time.Since(r.began).Seconds()}, args...)...)
}

// must returns v, or ends the program with err.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "wan:", err)
		os.Exit(1)
	}
}
