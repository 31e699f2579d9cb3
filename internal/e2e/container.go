//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/emunet"
)

// container is a node's process, with a network and a folder for sockets of its own. Its methods are called by one
// goroutine at a time.
type container struct {
	service
	place   *emunet.Place
	program string
	log     string
	cmd     *exec.Cmd     // nil: it does not run
	done    chan struct{} // closed when cmd has ended
	faults  []error       // ends that nobody asked for
}

// start runs the process. It ends with this program, whatever ends that.
func (c *container) start() error {
	if c.running() {
		return fmt.Errorf("%s runs already", c.name)
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("sh", "-c", `mount -t tmpfs none /var/run && exec "$0" config/app.toml`, c.program)
	cmd.Dir, cmd.Env = c.home, append(os.Environ(), "CMTHOME="+c.home)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL,
		Unshareflags: syscall.CLONE_NEWNS}
	c.place.On(func() { err = cmd.Start() })
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	done := make(chan struct{})
	c.cmd, c.done = cmd, done
	go func() { // ends with the process
		_ = cmd.Wait()
		close(done)
	}()
	return nil
}

// running reports whether the process runs. One that has ended by itself is a fault.
func (c *container) running() bool {
	if c.cmd == nil {
		return false
	}
	select {
	case <-c.done:
		c.faults = append(c.faults, fmt.Errorf("%s ended by itself: %v", c.name, c.cmd.ProcessState))
		c.cmd = nil
		return false
	default:
		return true
	}
}

// signal sends a signal to the process and its children.
func (c *container) signal(s syscall.Signal) error {
	if !c.running() {
		return fmt.Errorf("%s does not run", c.name)
	}
	return os.NewSyscallError("kill", syscall.Kill(-c.cmd.Process.Pid, s))
}

// kill ends the process at once.
func (c *container) kill() error {
	if err := c.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-c.done
	c.cmd = nil
	return nil
}

// stop asks the process to end, and kills it after docker's ten seconds.
func (c *container) stop() error {
	if err := c.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-c.done:
		c.cmd = nil
		return nil
	case <-time.After(10 * time.Second):
		return c.kill()
	}
}

// light reports whether the process is a light client, which has no peers.
func (c *container) light() bool {
	_, err := os.Stat(filepath.Join(c.home, "config", "genesis.json"))
	return os.IsNotExist(err)
}

// configure lets Switchyard tell what carries its links. With QUIC alone, the peers of config.toml move to
// switchyard.toml, with their addresses over QUIC.
func (c *container) configure(services map[string]service) error {
	own := filepath.Join(c.home, "config", "switchyard.toml")
	_, err := os.Stat(own) // a node and what it upgrades to share it
	if c.image == stockImage || c.light() || err == nil {
		return nil
	}
	text := fmt.Sprintf("[admin]\naddress = \"127.0.0.1:%d\"\n", adminPort)
	if c.image == quicImage {
		file := filepath.Join(c.home, "config", "config.toml")
		settings, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		settings, persistent, err1 := takePeers(settings, "persistent_peers", services)
		settings, seeds, err2 := takePeers(settings, "seeds", services)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if err := os.WriteFile(file, settings, 0o644); err != nil {
			return err
		}
		text += fmt.Sprintf("\n[stack]\nwires = [\"libp2p\"]\ntransports = [\"quic\"]\n\n[peers]\npersistent = %s\n"+
			"bootstrap = %s\n", persistent, seeds)
	}
	return os.WriteFile(own, []byte(text), 0o644)
}
