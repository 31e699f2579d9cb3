package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/modules"
)

// home has the flags --home and --set.
type home struct {
	p       *Program
	dir     string
	sets    []string
	timeout time.Duration // of calls to the running node; 0 means the client's default
	// given reports whether --home is given.
	given func() bool
}

const configName = "config.toml"

func (h *home) flags(cmd *cobra.Command) {
	h.homeFlag(cmd)
	cmd.Flags().StringArrayVar(&h.sets, "set", nil, "set a configuration key for this run: KEY=VALUE (repeatable)")
	complete(cmd, "set", values{h.p}.keys)
}

// callFlags are the flags of a command that asks the running node.
func (h *home) callFlags(cmd *cobra.Command) {
	h.flags(cmd)
	cmd.Flags().DurationVar(&h.timeout, "timeout", callTimeout, "how long the node may take to answer")
	next := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if h.timeout <= 0 {
			return usage("--timeout %v: want more than 0", h.timeout)
		}
		if next != nil {
			return next(cmd, args)
		}
		return nil
	}
}

// callTimeout is the default of --timeout.
const callTimeout = 10 * time.Second

func (h *home) homeFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&h.dir, "home", "",
		"the node's folder (default $"+h.p.envPrefix()+"_HOME, else ~/."+h.p.Name+")")
	_ = cmd.MarkFlagDirname("home")
	h.given = func() bool { return cmd.Flags().Changed("home") }
}

// envPrefix is what the names of the program's environment variables begin with.
func (p *Program) envPrefix() string { return modules.EnvPrefix(p.Name) }

// folder returns the node's folder as an absolute path: that of --home, else of the variable, else the default.
func (h *home) folder() (string, error) {
	dir := h.dir
	if h.given() && strings.TrimSpace(dir) == "" {
		return "", usage("--home %q: name a folder, or leave --home out for ~/.%s", dir, h.p.Name)
	}
	variable := h.p.envPrefix() + "_HOME"
	if dir == "" {
		dir = os.Getenv(variable)
	}
	if dir == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no home folder for the default of --home: %w; give --home DIR or set %s", err,
				variable)
		}
		dir = filepath.Join(user, "."+h.p.Name)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("--home %s: %w", dir, err)
	}
	return abs, nil
}

// named reports whether --home or the variable names a node's folder. One that only the variable names must have a
// configuration: commands that need no node do without it.
func (h *home) named() bool {
	if h.given() {
		return true
	}
	dir := os.Getenv(h.p.envPrefix() + "_HOME")
	if dir == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, configName))
	return err == nil
}

// config loads the folder's configuration, with the environment and --set over it.
func (h *home) config() (modules.Config, error) {
	cfg, err := h.read()
	if err != nil {
		return modules.Config{}, err
	}
	return cfg, cfg.Validate(h.p.Plugins...)
}

// read is config for a command that asks the running node: what the node would refuse at its next start is not refused.
func (h *home) read() (modules.Config, error) {
	dir, err := h.folder()
	if err != nil {
		return modules.Config{}, err
	}
	cfg, err := modules.Places{File: filepath.Join(dir, configName), Environ: os.Environ(), Prefix: h.p.envPrefix(),
		Sets: h.sets}.Read(h.p.Plugins...)
	if errors.Is(err, fs.ErrNotExist) {
		return modules.Config{},
			fmt.Errorf("no %s in %s: make a node there with %s init --home %s", configName, dir, h.p.Name, dir)
	}
	cfg.Version = h.p.agent()
	return cfg, err
}

// public returns the key of the folder's node: of its file, or of its signer, which it asks.
func (h *home) public(ctx context.Context) (handshake.PublicKey, error) {
	key, cfg, err := h.key()
	if err == nil {
		return key.Public(), nil
	}
	if !errors.Is(err, modules.ErrNoKey) {
		return handshake.PublicKey{}, err
	}
	id, err := cfg.OpenSigner(nil, h.p.Plugins...)
	if err != nil {
		return handshake.PublicKey{}, err
	}
	defer id.Close()
	return id.PublicKey(ctx)
}

// key loads the folder's node key. If it is in a signer, the error is modules.ErrNoKey.
func (h *home) key() (*handshake.NodeKey, modules.Config, error) {
	cfg, err := h.config()
	if err != nil {
		return nil, cfg, err
	}
	if cfg.Identity.Signer != "" {
		return nil, cfg, modules.ErrNoKey
	}
	if err := cfg.CheckKey(); err != nil {
		return nil, cfg, err
	}
	key, err := handshake.LoadNodeKey(cfg.Path(cfg.Identity.Key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cfg, fmt.Errorf("%w; make one with %s init --home %s", err, h.p.Name, cfg.Home)
	}
	return key, cfg, err
}
