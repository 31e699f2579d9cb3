// Command app is CometBFT's key-value application in a process of its own: it can be slow at checking transactions, and
// it has snapshots, which CometBFT's own lacks. It is built within the source of a release of CometBFT.
package main

import (
	"bytes"
	"context"
	"encoding/gob"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/abci/example/kvstore"
	"github.com/cometbft/cometbft/abci/server"
	"github.com/cometbft/cometbft/abci/types"
)

func main() {
	addr := flag.String("listen", "unix://app.sock", "where CometBFT finds it")
	transport := flag.String("transport", "socket", "socket or grpc; over grpc, CheckTx does not hold up other calls")
	slow := flag.Duration("check-tx", 0, "how long CheckTx takes")
	every := flag.Int64("snapshots", 0, "blocks between snapshots; 0 makes none")
	flag.Parse()
	db := dbm.NewMemDB()
	a := &app{Application: kvstore.NewApplication(db), db: db, slow: *slow, every: *every}
	s, err := server.NewServer(*addr, *transport, a)
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	_ = s.Stop()
}

// app is the application. CometBFT makes one call at a time on each of its connections, but for CheckTx.
type app struct {
	checking sync.Mutex // held by CheckTx
	*kvstore.Application
	db        dbm.DB
	slow      time.Duration
	every     int64
	height    int64
	snapshots []snapshot // the latest few
	restoring *snapshot
}

const (
	kept  = 4       // snapshots
	chunk = 1 << 18 // bytes
)

// snapshot is the whole database at a height.
type snapshot struct {
	height uint64
	data   []byte
}

func (s snapshot) chunks() uint32 { return uint32((len(s.data) + chunk - 1) / chunk) }

func (s snapshot) hash() []byte { return fmt.Appendf(nil, "%08x", crc32.ChecksumIEEE(s.data)) }

// CheckTx takes its time with new transactions, one after another.
func (a *app) CheckTx(ctx context.Context, req *checkRequest) (*checkResponse, error) {
	a.checking.Lock()
	defer a.checking.Unlock()
	if req.Type == checkNew {
		time.Sleep(a.slow)
	}
	return a.Application.CheckTx(ctx, req)
}

// FinalizeBlock drops the events, which repeat each transaction several times.
func (a *app) FinalizeBlock(ctx context.Context, req *finalizeRequest) (*finalizeResponse, error) {
	resp, err := a.Application.FinalizeBlock(ctx, req)
	if err == nil {
		a.height = req.Height
		for _, r := range resp.TxResults {
			r.Events = nil
		}
	}
	return resp, err
}

// Commit makes a snapshot when one is due.
func (a *app) Commit(ctx context.Context, req *commitRequest) (*commitResponse, error) {
	resp, err := a.Application.Commit(ctx, req)
	if err == nil && a.every > 0 && a.height%a.every == 0 {
		a.snapshots = append(a.snapshots, snapshot{uint64(a.height), a.dump()})
		a.snapshots = a.snapshots[max(0, len(a.snapshots)-kept):]
	}
	return resp, err
}

type pair struct{ Key, Value []byte }

func (a *app) dump() []byte {
	var pairs []pair
	it, err := a.db.Iterator(nil, nil)
	must(err)
	defer it.Close()
	for ; it.Valid(); it.Next() {
		pairs = append(pairs, pair{bytes.Clone(it.Key()), bytes.Clone(it.Value())})
	}
	must(it.Error())
	var buf bytes.Buffer
	must(gob.NewEncoder(&buf).Encode(pairs))
	return buf.Bytes()
}

func (a *app) restore(data []byte) error {
	var pairs []pair
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&pairs); err != nil {
		return err
	}
	a.db = dbm.NewMemDB()
	for _, p := range pairs {
		must(a.db.Set(p.Key, p.Value))
	}
	a.Application = kvstore.NewApplication(a.db)
	return nil
}

func (a *app) ListSnapshots(context.Context, *listRequest) (*listResponse, error) {
	resp := &listResponse{}
	for _, s := range a.snapshots {
		resp.Snapshots = append(resp.Snapshots,
			&types.Snapshot{Height: s.height, Format: 1, Chunks: s.chunks(), Hash: s.hash()})
	}
	return resp, nil
}

func (a *app) LoadSnapshotChunk(_ context.Context, req *loadRequest) (*loadResponse, error) {
	for _, s := range a.snapshots {
		if s.height == req.Height && req.Chunk < s.chunks() {
			from := int(req.Chunk) * chunk
			return &loadResponse{Chunk: s.data[from:min(from+chunk, len(s.data))]}, nil
		}
	}
	return &loadResponse{}, nil
}

func (a *app) OfferSnapshot(_ context.Context, req *offerRequest) (*offerResponse, error) {
	a.restoring = &snapshot{height: req.Snapshot.Height}
	return &offerResponse{Result: offerAccept}, nil
}

func (a *app) ApplySnapshotChunk(_ context.Context, req *applyRequest) (*applyResponse, error) {
	a.restoring.data = append(a.restoring.data, req.Chunk...)
	if len(req.Chunk) < chunk { // the last one
		if err := a.restore(a.restoring.data); err != nil {
			return nil, err
		}
		fmt.Println("restored the snapshot of height", a.restoring.height)
	}
	return &applyResponse{Result: applyAccept}, nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
