package badger

import (
	"fmt"
	"log/slog"
	"math"
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

	// Tests set these.
	now      func() time.Time // when the store is opened
	floor    int              // see cleanFloor
	least    int              // see cleanLeast
	little   int64            // see littleToLoad
	memTable int64            // see memTable
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
	if o.floor == 0 {
		o.floor = cleanFloor
	}
	if o.least == 0 {
		o.least = cleanLeast
	}
	if o.little == 0 {
		o.little = littleToLoad
	}
	if o.memTable == 0 {
		o.memTable = memTable
	}
	return o
}

// memTable is the size of the database's table in memory, in bytes, and of its tables; its log is mapped with twice as many.
const memTable = 1 << 20

// Tables that come from memory are merged with others once there are so many. As pages are in the order of time they hardly overlap with older tables, so most of this is done
// once for each page, and once more when those are removed that do not hold any more.
const tablesToMerge = 40

// memTableFor is the size of the tables in memory for a folder whose largest log has so many bytes: when the database opens it reads each log into a table of that size and a third more,
// or ends the process. Earlier versions of this program wrote longer ones, and what is small takes up to twice as much in a table.
func (o *Options) memTableFor(log int) int64 { return max(o.memTable, int64(log)*3/2) }

// databaseOptions keep the database small: its defaults are made for servers and take hundreds of megabytes. All is read once, at
// the start, and only written from then on, so there is nothing to cache and no key to look up.
func databaseOptions(dir string, memTable int64, log *slog.Logger) bdb.Options {
	return bdb.DefaultOptions(dir).
		WithMemTableSize(memTable).
		WithNumMemtables(2).
		WithValueThreshold(128 << 10). // above the largest value, so that all values lie in the tree
		WithValueLogFileSize(1 << 20). // nothing but its header is in there
		WithCompression(options.None). // needs no cache of blocks
		WithBlockSize(16 << 10).       // for one packed page as a rule: what is damaged is lost by blocks, and a page that outgrows its block is copied
		WithBaseTableSize(memTable).
		WithBaseLevelSize(math.MaxInt64 / 2). // all tables but the newest are of one level: from one to the next all would be written again
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithBloomFalsePositive(0).
		WithNumLevelZeroTables(tablesToMerge).
		WithNumLevelZeroTablesStall(3 * tablesToMerge).
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
