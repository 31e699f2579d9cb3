package chain

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/backfill"
	"github.com/switchyard-p2p/switchyard/modules"
)

// Config holds the settings of the service, [services.chain].
type Config struct {
	// Folder is where the chain is kept, and the key of one that is made here. A relative one is below the home; ""
	// keeps it in memory.
	Folder string
	// Make is the height up to which the node makes a chain of its own at its start; 0 makes none.
	Make uint64
	// BlockSize is the size of the blocks that are made.
	BlockSize int
	// Target is the block up to which the node fetches the chain at its start, as HEIGHT:HASH:KEY; "" fetches nothing.
	// If that fails, the node stops.
	Target string
	// Fetch are the settings of host/backfill.
	Fetch backfill.Config

	// Store and Key take the place of Folder and what is in it. They are not keys of the configuration.
	Store backfill.Store      `toml:"-"`
	Key   *ed25519.PrivateKey `toml:"-"`
}

// Default returns the defaults.
func Default() Config { return Config{Folder: "chain", BlockSize: 1024} }

// Validate reports an impossible setting.
func (c Config) Validate() error {
	if c.BlockSize < 0 || c.BlockSize > mostBlock {
		return fmt.Errorf("block_size %d is not in 0 to %d", c.BlockSize, mostBlock)
	}
	if c.Make > 0 && c.Target != "" {
		return errors.New("make and target exclude each other: a node makes its chain or fetches it")
	}
	if c.Target != "" {
		if _, err := ParseTarget(c.Target); err != nil {
			return err
		}
	}
	return c.Fetch.Validate()
}

// Service makes, serves and fetches a chain.
type Service struct {
	cfg    Config
	store  backfill.Store
	key    ed25519.PrivateKey // of the chain that is made here; nil: none
	fill   *backfill.Service
	log    *slog.Logger
	closer func() error

	readers atomic.Int32 // of events
}

// Plugin lists the service.
func Plugin() modules.Plugin {
	return modules.HomeService("chain", Default, New, modules.WithRoutes((*Service).routes),
		modules.WithMetrics((*Service).metrics))
}

// New opens the chain's store and the service's channel.
func New(cfg Config, h *host.Host, home string, log *slog.Logger) (*Service, error) {
	s := &Service{cfg: cfg, log: log, closer: func() error { return nil }}
	if cfg.Key != nil {
		s.key = *cfg.Key
	}
	switch {
	case cfg.Store != nil:
		s.store = cfg.Store
	case cfg.Folder == "":
		s.store = backfill.NewMemory()
	default:
		folder := cfg.Folder
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(home, folder)
		}
		file, err := OpenFile(filepath.Join(folder, "blocks"))
		if err != nil {
			return nil, err
		}
		s.store, s.closer = file, file.Close
		if cfg.Make > 0 && s.key == nil {
			if s.key, err = loadKey(filepath.Join(folder, "key")); err != nil {
				return nil, errors.Join(err, s.closer())
			}
		}
	}
	if cfg.Make > 0 && s.key == nil {
		s.key = NewKey()
	}
	var err error
	if s.fill, err = backfill.New(cfg.Fetch, h, s.store, log); err != nil {
		return nil, errors.Join(err, s.closer())
	}
	return s, nil
}

// loadKey reads a key in hex, or makes one.
func loadKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key := NewKey()
		return key, os.WriteFile(path, []byte(hex.EncodeToString(key.Seed())+"\n"), 0o600)
	}
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s: want 64 hex digits", path)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Run makes the chain, if that is asked for, and serves it until ctx ends. It fetches the configured target beside, and
// fails if that fails.
func (s *Service) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.closer()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan struct{})
	go func() {
		defer close(work)
		if err := s.work(ctx); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	}()
	err = s.fill.Run(ctx)
	stopped := ctx.Err() != nil
	cancel(nil)
	<-work
	if cause := context.Cause(ctx); stopped && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// work makes or fetches the chain.
func (s *Service) work(ctx context.Context) error {
	if s.cfg.Make > 0 {
		if err := Make(ctx, s.store, s.key, s.cfg.Make, s.cfg.BlockSize); err != nil {
			return fmt.Errorf("make the chain: %w", err)
		}
		t, err := TargetOf(ctx, s.store, s.cfg.Make, Public(s.key))
		if err == nil {
			s.log.Info("the example chain is made", slog.String("target", t.String()))
		}
		return err
	}
	if s.cfg.Target == "" {
		return nil
	}
	t, err := ParseTarget(s.cfg.Target)
	if err != nil {
		return err
	}
	return s.Sync(ctx, t, nil)
}

// Sync fetches the chain from its first block up to a target. It needs Run.
func (s *Service) Sync(ctx context.Context, t Target, progress func(backfill.Progress)) error {
	if err := s.fits(ctx, t); err != nil {
		return err
	}
	err := s.fill.Sync(ctx, backfill.Task{From: 1, To: t.Height, Verify: Verify(s.store, t), Progress: progress})
	if err != nil {
		return err
	}
	have, err := TargetOf(ctx, s.store, t.Height, t.Key) // the store may have had all before
	if err == nil && have.Hash != t.Hash {
		err = fmt.Errorf("the store has another chain: its block %d has the hash %x", t.Height, have.Hash)
	}
	return err
}

// fits checks that what is stored is of the target's chain, before peers are blamed for blocks that do not fit it.
func (s *Service) fits(ctx context.Context, t Target) error {
	spans, err := s.store.Range(ctx, 1, t.Height)
	if err != nil {
		return err
	}
	for _, span := range spans {
		b, err := s.store.Get(ctx, span.To)
		if err != nil {
			return err
		}
		if err := check(b, span.To, t.Key); err != nil {
			return fmt.Errorf("the store has another chain: block %d: %w", span.To, err)
		}
	}
	return nil
}

// Store returns the chain's store.
func (s *Service) Store() backfill.Store { return s.store }

// Target returns the target of the chain that is made here; false before it is made, and if none is.
func (s *Service) Target(ctx context.Context) (Target, bool) {
	if s.key == nil {
		return Target{}, false
	}
	t, err := TargetOf(ctx, s.store, s.cfg.Make, Public(s.key))
	return t, err == nil
}

// Blocks returns how many blocks are stored.
func (s *Service) Blocks(ctx context.Context) (n uint64) {
	spans, _ := s.store.Range(ctx, 0, ^uint64(0))
	for _, span := range spans {
		n += span.To - span.From + 1
	}
	return n
}

// View is what GET /v1/services/chain/ answers.
type View struct {
	Heights []backfill.Span     `json:"heights"` // that are stored
	Target  string              `json:"target,omitempty"`
	Runs    []backfill.Progress `json:"runs"`
	Counts  backfill.Counts     `json:"counts"`
}

func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		spans, err := s.store.Range(r.Context(), 0, ^uint64(0))
		if err != nil {
			admin.Fail(w, http.StatusInternalServerError, err)
			return
		}
		v := View{Heights: spans, Runs: s.fill.Runs(), Counts: s.fill.Counts()}
		if t, made := s.Target(r.Context()); made {
			v.Target = t.String()
		}
		admin.Reply(w, http.StatusOK, v)
	})
	mux.HandleFunc("GET /events", s.events)
	return mux
}

const (
	eventsEvery  = 500 * time.Millisecond
	eventsWrite  = 10 * time.Second // for one event
	eventsReader = 8                // at once
)

// events tells how far the runs are, as server-sent events, when that has changed.
func (s *Service) events(w http.ResponseWriter, r *http.Request) {
	if s.readers.Add(1) > eventsReader {
		s.readers.Add(-1)
		admin.Fail(w, http.StatusServiceUnavailable, fmt.Errorf("%d others read these events, the most at once",
			eventsReader))
		return
	}
	defer s.readers.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	send := func(format string, args ...any) bool {
		_ = out.SetWriteDeadline(time.Now().Add(eventsWrite))
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && out.Flush() == nil
	}
	tick := time.NewTicker(eventsEvery)
	defer tick.Stop()
	last := ""
	for ok, quiet := send(": from now on\n\n"), 0; ok; {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
		data, err := json.Marshal(s.fill.Runs())
		switch quiet++; {
		case err != nil:
			return
		case string(data) != last:
			last, quiet = string(data), 0
			ok = send("event: progress\ndata: %s\n\n", data)
		case quiet > 20:
			quiet = 0
			ok = send(": still here\n\n")
		}
	}
}

// metrics are the counters of the service, read when they are scraped.
func (s *Service) metrics() []prometheus.Collector {
	return backfill.Collectors(s.fill, "switchyard_chain")
}
