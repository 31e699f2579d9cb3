package badger

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Options are the settings of a store. The zero value works.
type Options struct {
	Limits peerstore.Limits
	// Logger is told what was lost and what cannot be written; nil discards.
	Logger *slog.Logger
	// Interval is the longest time between a change of a peer and its writing; 0 means 100 ms.
	Interval time.Duration
	// MinFree is how many bytes of disk must be free for the store to write; 0 means 64 MiB. The database maps its
	// files into memory, and the system kills a process that writes to such a file on a full disk.
	MinFree uint64
	// Seed sets the random choices; 0 draws a seed.
	Seed uint64

	now func() time.Time // tests set the time at which the store is opened
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Interval <= 0 {
		o.Interval = 100 * time.Millisecond
	}
	if o.MinFree == 0 {
		o.MinFree = 64 << 20
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}

// memTable is the size of the database's table in memory. The database ends the process when it opens a log that was
// written with a larger one, so it must never shrink.
const memTable = 8 << 20

// maxValue is the size of the largest value, in bytes.
const maxValue = 1 << 20

// databaseOptions keep the database small: the defaults are made for servers and take hundreds of megabytes. The store
// reads everything once, at its start, and only writes from then on, so no cache is needed and no key is looked up.
func databaseOptions(dir string, log *slog.Logger) bdb.Options {
	return bdb.DefaultOptions(dir).
		WithMemTableSize(memTable).
		WithNumMemtables(2).
		WithValueThreshold(maxValue).  // all values lie in the tables
		WithValueLogFileSize(1 << 20). // holds nothing but its header
		WithCompression(options.None). // needs no cache of blocks
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithBloomFalsePositive(0).
		WithNumCompactors(2).
		WithNumGoroutines(2).
		WithDetectConflicts(false). // there is one writer
		WithMetricsEnabled(false).
		WithChecksumVerificationMode(options.OnTableAndBlockRead).
		WithSyncWrites(false). // the log is mapped, so a killed process loses nothing; Flush syncs
		WithLogger(databaseLogger{log})
}

// databaseLogger passes the database's messages on. Its information is for debugging.
type databaseLogger struct{ log *slog.Logger }

func (l databaseLogger) Errorf(f string, a ...any)   { l.log.Error(l.text(f, a)) }
func (l databaseLogger) Warningf(f string, a ...any) { l.log.Warn(l.text(f, a)) }
func (l databaseLogger) Infof(f string, a ...any)    { l.log.Debug(l.text(f, a)) }
func (l databaseLogger) Debugf(string, ...any)       {}

func (l databaseLogger) text(f string, a []any) string {
	const longest = 512
	s := strings.TrimSpace(fmt.Sprintf(f, a...))
	return "peer store database: " + strings.ToValidUTF8(s[:min(len(s), longest)], "?")
}
