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
	// Logger is told what was lost, what cannot be written, and little else; nil discards.
	Logger *slog.Logger
	// Interval is the longest time between a change and its writing; 0 means 100 ms.
	Interval time.Duration
	// MinFree is how many bytes of disk must be free for anything to be written; 0 means 64 MiB. The database maps its files into
	// memory, and a process that writes to such a file on a full disk is killed.
	MinFree uint64
	// GCInterval is how often the database's value log is cleaned; 0 means 10 minutes.
	GCInterval time.Duration
	// Seed sets the order of equal peers; 0 draws one.
	Seed uint64

	now func() time.Time // when the store is opened; tests set it
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
	if o.GCInterval <= 0 {
		o.GCInterval = 10 * time.Minute
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}

// memTable is the size of the database's table in memory, in bytes; its log is mapped with twice as many.
const memTable = 8 << 20

// Tables that come from memory are merged with all others once there are so many. Each merge reads and writes the whole database, so it is done the less often the larger
// that may be; until then they take as much of the disk again.
const (
	fewTables  = 5
	manyTables = 15
	peerSize   = 128 // bytes of a peer in a table, about
)

// databaseOptions keep the database small: its defaults are made for servers and take hundreds of megabytes. All is read once, at
// the start, and only written from then on, so there is nothing to cache and no key to look up.
func databaseOptions(dir string, maxPeers int, log *slog.Logger) bdb.Options {
	tables := min(max(fewTables, maxPeers*peerSize/memTable), manyTables)
	return bdb.DefaultOptions(dir).
		WithMemTableSize(memTable).
		WithNumMemtables(2).
		WithValueThreshold(128 << 10). // above the largest value, so that all values lie in the tree
		WithValueLogFileSize(1 << 20). // nothing but its header is in there
		WithCompression(options.None). // needs no cache of blocks
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithBloomFalsePositive(0).
		WithNumLevelZeroTables(tables).
		WithNumLevelZeroTablesStall(3 * tables).
		WithNumCompactors(2).
		WithNumGoroutines(2).
		WithDetectConflicts(false). // there is one writer
		WithMetricsEnabled(false).
		WithChecksumVerificationMode(options.OnTableAndBlockRead).
		WithSyncWrites(false). // the log is mapped: a kill of the process loses nothing. Flush and Ban sync.
		WithLogger(databaseLogger{log})
}

// databaseLogger passes the database's messages on. What it calls information is our debugging.
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
