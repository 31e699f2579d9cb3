package services

import (
	"fmt"
	"strings"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	record "github.com/libp2p/go-libp2p-record"
)

// The values of DHTConfig.Mode.
const (
	// ModeAuto answers others unless the node is known to be behind NAT.
	ModeAuto = "auto"
	// ModeServer always answers others.
	ModeServer = "server"
	// ModeClient only asks.
	ModeClient = "client"
)

// modes are go-libp2p's words for them.
var modes = map[string]dht.ModeOpt{ModeAuto: dht.ModeAutoServer, ModeServer: dht.ModeServer, ModeClient: dht.ModeClient}

// DHTConfig is what [services.dht] may say.
type DHTConfig struct {
	// Prefix names the table: nodes with the same one make one table. "" means /switchyard/ and the network's name. The
	// public table of IPFS is /ipfs.
	Prefix string
	// Mode is ModeAuto, ModeServer or ModeClient.
	Mode string
	// PublicOnly takes addresses and peers of the public Internet alone. Turn it on in a table that strangers are in:
	// they cannot make the node dial into its own network then.
	PublicOnly bool
	// Lookups is how many lookups of the API and of programs run at once. Timeout bounds each.
	Lookups int
	Timeout time.Duration
	// BucketSize is how many peers of each distance are kept (k), Concurrency how many a lookup asks at once (alpha).
	BucketSize, Concurrency int
	// Refresh is how often the table looks for peers of each distance.
	Refresh time.Duration
	// MaxRecords and MaxRecordMemory bound what others store here: how many records, and their bytes. They are in
	// memory.
	MaxRecords      int
	MaxRecordMemory int64
	// RecordAge is how long a value is kept.
	RecordAge time.Duration

	// Validators decide which values are good, by the first part of their keys, beside "pk", "ipns" and "sha256". They
	// are for Go programs; the table of IPFS takes none.
	Validators map[string]record.Validator `toml:"-"`
	// Options are further options of the library.
	Options []dht.Option `toml:"-"`
}

// DefaultDHT returns the defaults.
func DefaultDHT() DHTConfig {
	return DHTConfig{Mode: ModeAuto, Lookups: 16, Timeout: time.Minute, BucketSize: 20, Concurrency: 10,
		Refresh: 10 * time.Minute, MaxRecords: 100_000, MaxRecordMemory: 64 << 20, RecordAge: 48 * time.Hour}
}

// publicTable is the prefix of IPFS's table, whose settings are fixed.
const publicTable = string(dht.DefaultPrefix)

// Validate reports an impossible setting.
func (c DHTConfig) Validate() error {
	if c.Prefix != "" && (!strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/") ||
		len(c.Prefix) > MaxTopic) {
		return fmt.Errorf("prefix: %.80q: want / and a name, of at most %d bytes", c.Prefix, MaxTopic)
	}
	if _, ok := modes[c.Mode]; !ok {
		return fmt.Errorf("mode: want %q, %q or %q, got %.40q", ModeAuto, ModeServer, ModeClient, c.Mode)
	}
	if c.Prefix == publicTable && (c.BucketSize != DefaultDHT().BucketSize || len(c.Validators) > 0) {
		return fmt.Errorf("prefix: %s has a bucket_size of %d and no further validators", publicTable,
			DefaultDHT().BucketSize)
	}
	for _, n := range []struct {
		key             string
		value, min, max int64
	}{
		{"lookups", int64(c.Lookups), 1, 1000},
		{"bucket_size", int64(c.BucketSize), 1, 200},
		{"concurrency", int64(c.Concurrency), 1, 100},
		{"max_records", int64(c.MaxRecords), 1, 1 << 30},
		{"max_record_memory", c.MaxRecordMemory, 1 << 10, 1 << 40},
	} {
		if n.value < n.min || n.value > n.max {
			return fmt.Errorf("%s: %d is not in %d to %d", n.key, n.value, n.min, n.max)
		}
	}
	for _, d := range []struct {
		key             string
		value, min, max time.Duration
	}{
		{"timeout", c.Timeout, time.Second, 10 * time.Minute},
		{"refresh", c.Refresh, time.Second, 24 * time.Hour},
		{"record_age", c.RecordAge, time.Minute, 30 * 24 * time.Hour},
	} {
		if d.value < d.min || d.value > d.max {
			return fmt.Errorf("%s: %v is not in %v to %v", d.key, d.value, d.min, d.max)
		}
	}
	return nil
}
