// Package file finds peers in a file that others write: an operator, a configuration management, a volume of a
// container. The file has an address a line, or JSON (discovery.ParseList); bad entries are logged with their lines and
// cost nothing but themselves. A change is noticed at once where the system tells of it, otherwise within Config.Check.
// Peers that leave the file are not forgotten: the store decides about that by its evidence.
package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	defaultCheck = 30 * time.Second
	// settle gathers the events of one change: editors make several.
	settle = 200 * time.Millisecond
)

// Config names the file.
type Config struct {
	// Path of the file; a relative one starts in the node's folder. Required. The file may come later.
	Path string `toml:"path"`
	// Check is how often the file is read even if the system reports no change, as on network file systems. 0 means
	// 30s.
	Check time.Duration `toml:"check"`
}

// Default has no path.
func Default() Config { return Config{Check: defaultCheck} }

// Validate returns what is wrong.
func (c Config) Validate() error {
	switch {
	case c.Path == "":
		return errors.New("path: name the file")
	case c.Check < 0:
		return fmt.Errorf("check: %v is negative (0 means %v)", c.Check, defaultCheck)
	}
	return nil
}

// New checks the settings. It does not read the file.
func New(cfg Config, env discovery.Env) (discovery.Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("discovery file: %w", err)
	}
	if cfg.Check == 0 {
		cfg.Check = defaultCheck
	}
	path := cfg.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Home, path)
	}
	return &source{path: path, check: cfg.Check, env: env, log: env.Log(), watch: watch}, nil
}

type source struct {
	path  string
	check time.Duration
	env   discovery.Env
	log   *slog.Logger
	watch func(folder string, wake chan<- struct{}) (io.Closer, error)

	// Run's goroutine owns what follows.
	last  []byte // what the file had; nil before the first reading
	seen  fs.FileInfo
	state string // what was logged last of a file that cannot be read
}

// Run reads the file whenever it changes, until ctx ends.
func (s *source) Run(ctx context.Context, _ discovery.Network, found func(transport.Address, transport.NodeID)) error {
	wake := make(chan struct{}, 1)
	var watcher io.Closer
	defer func() {
		if watcher != nil {
			_ = watcher.Close()
		}
	}()
	tick := time.NewTicker(s.check)
	defer tick.Stop()
	for all := true; ; {
		if watcher == nil { // the folder may come later
			var err error
			if watcher, err = s.watch(filepath.Dir(s.path), wake); err != nil {
				s.log.Debug("the system reports no changes", slog.Any("error", err))
				watcher = nil
			}
		}
		for _, a := range s.changed(all) {
			if ctx.Err() != nil {
				return nil
			}
			found(a, "")
		}
		select {
		case <-tick.C:
			all = true
		case <-wake:
			if all = false; !discovery.Pause(ctx, settle) {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// changed returns the usable addresses of the file if it is another one than before. Without all it looks into the
// file only if the folder shows a change of it.
func (s *source) changed(all bool) []transport.Address {
	info, err := os.Stat(s.path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil && !all && s.seen != nil && os.SameFile(s.seen, info) && s.seen.Size() == info.Size() &&
		s.seen.ModTime().Equal(info.ModTime()) {
		return nil
	}
	var text []byte
	if err == nil {
		text, err = read(s.path)
	}
	if err != nil {
		if state := err.Error(); state != s.state {
			s.state = state
			s.log.Warn("the list of peers cannot be read; peers that it named stay known", slog.Any("error", err))
		}
		return nil
	}
	s.seen, s.state = info, ""
	if s.last != nil && bytes.Equal(s.last, text) {
		return nil
	}
	s.last = text
	list := discovery.ParseList(text)
	usable := s.env.Usable(list.Addresses)
	list.Report(s.log, s.path, len(usable))
	return usable
}

// read returns the file's content, and not much more than the parser takes.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, discovery.MaxListBytes+1))
	if text == nil {
		text = []byte{}
	}
	return text, err
}
