package storm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

// A block is as large as those of kubo; 400 of them are 100 MB.
const blockSize = 256 << 10

// Blocks come over bitswap complete and whole, from theirs to ours, back, and between ours.
func TestBitswap(t *testing.T) {
	for _, via := range hostkit.Each {
		for _, from := range kinds {
			for _, to := range kinds {
				if from.name == "theirs" && to.name == "theirs" {
					continue
				}
				t.Run(fmt.Sprintf("%s to %s over %s", from.name, to.name, via), func(t *testing.T) {
					o := hostkit.Options{Via: via}
					fetch(t, start(t, from.make, o), start(t, to.make, o), often(400, 40))
				})
			}
		}
	}
}

// exchanger is a host's bitswap and its blocks.
type exchanger struct {
	*bitswap.Bitswap
	store blockstore.Blockstore
}

func newExchanger(t *testing.T, h host.Host) *exchanger {
	net := bsnet.NewFromIpfsHost(h)
	store := blockstore.NewBlockstore(sync.MutexWrap(datastore.NewMapDatastore()))
	e := &exchanger{bitswap.New(context.WithoutCancel(t.Context()), net, nil, store), store}
	t.Cleanup(func() {
		_ = e.Close()
		net.Stop()
	})
	return e
}

func fetch(t *testing.T, from, to host.Host, n int) {
	has, wants := newExchanger(t, from), newExchanger(t, to)
	made := make(map[cid.Cid][sha256.Size]byte, n)
	keys := make([]cid.Cid, n)
	random := rand.NewChaCha8([32]byte{1})
	ctx := within(t)
	for i := range keys {
		data := make([]byte, blockSize)
		_, _ = random.Read(data)
		binary.BigEndian.PutUint64(data, uint64(i))
		b := blocks.NewBlock(data)
		if err := has.store.Put(ctx, b); err != nil {
			t.Fatal(err)
		}
		keys[i], made[b.Cid()] = b.Cid(), sha256.Sum256(data)
	}
	if err := hostkit.Connect(ctx, to, from); err != nil {
		t.Fatal(err)
	}
	got, err := wants.NewSession(ctx).GetBlocks(ctx, keys)
	if err != nil {
		t.Fatal(err)
	}
	for b := range got {
		sum, known := made[b.Cid()]
		if !known || sha256.Sum256(b.RawData()) != sum {
			t.Fatalf("block %v is not what was asked for", b.Cid())
		}
		delete(made, b.Cid())
	}
	if len(made) > 0 {
		t.Errorf("%d of %d blocks are missing: %v", len(made), n, ctx.Err())
	}
}
