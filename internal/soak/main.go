// Command soak runs honest nodes, real processes of the program, and attacks them for a while. It fails if a node dies,
// an honest peer is banned or stays lost, memory grows, or a log becomes long.
//
// Everything happens on the loopback interface of a network namespace that the command makes for itself (root, or a
// kernel that lets users make namespaces). Honest nodes and half of the attackers are at loopback addresses, which no
// limit per IP protects; the others come from all over 10.0.0.0/8.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// inside tells the command that it runs in the namespace already.
const inside = "SWITCHYARD_SOAK_INSIDE"

type settings struct {
	bin, dir string
	nodes    int
	length   time.Duration
	only     string
	seed     uint64
}

func main() {
	var s settings
	flag.StringVar(&s.bin, "bin", "bin/switchyard", "the program")
	flag.StringVar(&s.dir, "dir", "", "where homes and logs go (default: a temporary folder, removed after success)")
	flag.IntVar(&s.nodes, "nodes", 8, "honest nodes")
	flag.DurationVar(&s.length, "for", time.Hour, "how long the attacks last")
	flag.StringVar(&s.only, "only", "", "attacks to run, separated by commas (default: all)")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of the attackers' choices")
	flag.Parse()
	if os.Getenv(inside) == "" {
		os.Exit(enter())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// enter runs this command again in a network namespace of its own, which ends with it, and returns its exit code.
func enter() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	ignored := make(chan os.Signal, 8) // the terminal sends them to the child too
	signal.Notify(ignored, os.Interrupt, syscall.SIGTERM)
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(1, exit.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "soak: make a network namespace (it needs root):", err)
	return 1
}

// network sets the namespace up: 127.0.0.0/8 and 10.0.0.0/8 are this machine.
func network() error {
	for _, line := range []string{"link set lo up", "route add local 10.0.0.0/8 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

const (
	settling = 15 * time.Second // before the attacks, and after them
	every    = 10 * time.Second // between samples
)

func run(ctx context.Context, s settings) (err error) {
	if err := network(); err != nil {
		return err
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "switchyard-soak-"); err != nil {
			return err
		}
		defer func() {
			if err == nil {
				_ = os.RemoveAll(s.dir)
			} else {
				fmt.Println("logs:", s.dir)
			}
		}()
	}
	attacks, err := chosen(s.only)
	if err != nil {
		return err
	}
	nodes, err := start(ctx, s)
	defer func() {
		for _, n := range nodes {
			n.kill()
		}
	}()
	if err != nil {
		return err
	}
	w := &watch{nodes: nodes, began: time.Now()}
	fmt.Printf("%d honest nodes; attacks for %v: %s\n", len(nodes), s.length, names(attacks))
	w.until(ctx, settling)
	if err := w.formed(); err != nil {
		return err
	}

	attackCtx, stop := context.WithTimeout(ctx, s.length)
	defer stop()
	var running sync.WaitGroup
	arena := newArena(nodes, s.seed)
	for _, a := range attacks {
		for i := range a.at {
			running.Go(func() { arena.repeat(attackCtx, a, i) })
		}
	}
	w.arena = arena
	w.until(attackCtx, s.length)
	stop()
	running.Wait()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	w.until(ctx, settling)
	fmt.Print(arena.summary())
	return errors.Join(w.verdict(), stopAll(nodes))
}
