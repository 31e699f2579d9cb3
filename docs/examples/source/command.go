// Package command is a source of peers of one's own: it runs a program, which prints a list of addresses. The program
// may ask whatever knows the peers of a network, such as a service registry or an inventory.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Config is what the [[discovery]] table with use = "command" may say.
type Config struct {
	Run     []string      // run: the program and its arguments
	Every   time.Duration // every: how often it runs, give or take a tenth
	Timeout time.Duration // timeout: how long it may take
}

// Default runs nothing.
func Default() Config {
	return Config{Run: []string{}, Every: 10 * time.Minute, Timeout: 10 * time.Second}
}

// Validate is called before anything is built. The error gets the place in the configuration.
func (c Config) Validate() error {
	switch {
	case len(c.Run) == 0 || c.Run[0] == "":
		return errors.New("run: name a program")
	case c.Every < time.Second || c.Timeout <= 0:
		return fmt.Errorf("every: %v, timeout: %v: want 1s or more, and more than 0", c.Every, c.Timeout)
	}
	return nil
}

// New builds the source. It starts nothing.
func New(cfg Config, env discovery.Env) (discovery.Source, error) {
	return &source{cfg, env}, cfg.Validate()
}

type source struct {
	cfg Config
	env discovery.Env
}

// Run implements discovery.Source.
func (s *source) Run(ctx context.Context, _ discovery.Network, found func(transport.Address, transport.NodeID)) error {
	return s.env.Poll(ctx, s.cfg.Every, s.cfg.Run[0], found, s.ask)
}

// ask runs the program once, and returns what it printed: too much of it is no list.
func (s *source) ask(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.cfg.Run[0], s.cfg.Run[1:]...)
	cmd.WaitDelay = time.Second // a child of the program may hold the pipe
	var out limited
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// limited is a buffer of at most discovery.MaxListBytes. A program that prints more gets an error.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > discovery.MaxListBytes {
		return 0, errors.New("the program prints too much")
	}
	return l.Buffer.Write(p)
}
