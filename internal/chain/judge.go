package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	judged = 12 // blocks
	share  = 90 // per cent of them that each validator must have signed
)

// figures holds what a judgement measured.
type figures struct {
	blocks float64       // a minute
	commit time.Duration // from a transaction's sending until its block, the median of the nodes
}

func (f figures) String() string {
	return fmt.Sprintf("%.0f blocks/min, commit %d ms", f.blocks, f.commit.Milliseconds())
}

// judge looks at the next blocks of a network: every validator signs them and proposes, all nodes have the same blocks
// and application hash, a transaction through each node commits, and the /net_info of each is complete. It returns all
// that is wrong.
func judge(ctx context.Context, w *network) (figures, error) {
	var f figures
	first := int64(0)
	for _, n := range w.nodes {
		h, err := n.height(ctx)
		if err != nil {
			return f, fmt.Errorf("%s: %w", n.name, err)
		}
		first = max(first, h+1)
	}
	last := first + judged - 1
	took, errs := make([]time.Duration, len(w.nodes)), make([]error, len(w.nodes)+1)
	var sending sync.WaitGroup
	for i, n := range w.nodes {
		sending.Go(func() {
			began := time.Now()
			if _, err := n.commit(ctx, transaction(n.name, 0)); err != nil {
				errs[i] = fmt.Errorf("%s: a transaction through it: %w", n.name, err)
			}
			took[i] = time.Since(began)
		})
	}
	sending.Wait()
	if err := w.nodes[0].reach(ctx, last+1, 2*time.Minute); err != nil {
		errs = append(errs, err)
	}
	for _, n := range w.nodes { // together
		if err := n.reach(ctx, last+1, 10*time.Second); err != nil {
			errs = append(errs, err)
		}
	}
	slices.Sort(took)
	f.commit = took[len(took)/2]
	var err error
	f.blocks, err = judgeBlocks(ctx, w, first, last)
	errs = append(errs, err)
	for _, n := range w.nodes {
		errs = append(errs, judgeLinks(ctx, w, n, w.nodes), judgeTransports(ctx, w, n))
	}
	return f, errors.Join(errs...)
}

// transaction returns a transaction of its own for the key-value application, padded to a size.
func transaction(name string, size int) []byte {
	tx := fmt.Sprintf("%s-%x=v", name, rand.Uint64())
	return []byte(tx + strings.Repeat("x", max(0, size-len(tx))))
}

// judgeBlocks judges the blocks from first to last, and returns how many there were a minute.
func judgeBlocks(ctx context.Context, w *network, first, last int64) (perMinute float64, _ error) {
	// The node that is furthest tells of all blocks; the others must have the same.
	var source *node
	most := int64(0)
	for _, n := range w.nodes {
		if h, err := n.height(ctx); err == nil && h > most {
			source, most = n, h
		}
	}
	if most <= last {
		return 0, fmt.Errorf("no node has blocks %d to %d: the furthest is at %d", first, last, most)
	}
	var errs []error
	signed, proposed := map[string]int{}, map[string]int{}
	var times []time.Time
	for h := first; h <= last; h++ {
		b, err := source.block(ctx, h)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", source.name, err)
		}
		times = append(times, b.Block.Header.Time)
		proposed[b.Block.Header.Proposer]++
		signers, err := source.signers(ctx, h)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", source.name, err)
		}
		for address := range signers {
			signed[address]++
		}
		for _, n := range w.nodes {
			switch other, err := n.block(ctx, h); {
			case err != nil:
				errs = append(errs, fmt.Errorf("%s: block %d: %w", n.name, h, err))
			case other.ID.Hash != b.ID.Hash || other.Block.Header.AppHash != b.Block.Header.AppHash:
				errs = append(errs, fmt.Errorf("block %d of %s and %s differ: %s and %s, application %s and %s", h,
					source.name, n.name, b.ID.Hash, other.ID.Hash, b.Block.Header.AppHash, other.Block.Header.AppHash))
			}
		}
	}
	blocks := int(last - first + 1)
	for _, n := range w.nodes {
		if 100*signed[n.val] < share*blocks {
			errs = append(errs, fmt.Errorf("%s signed %d of %d blocks", n.name, signed[n.val], blocks))
		}
		if proposed[n.val] == 0 {
			errs = append(errs, fmt.Errorf("%s proposed none of %d blocks", n.name, blocks))
		}
	}
	minutes := times[len(times)-1].Sub(times[0]).Minutes()
	return float64(len(times)-1) / minutes, errors.Join(errs...)
}

// channels are those of CometBFT's reactors but for PEX.
var channels = []string{"20", "21", "22", "23", "30", "38", "40", "60", "61"}

// judgeLinks judges the /net_info of a node: it has each of the others that it can link to, and says all of it.
func judgeLinks(ctx context.Context, w *network, n *node, others []*node) error {
	info, err := n.netInfo(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	var errs []error
	complain := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("/net_info of "+n.name+": "+format, args...))
	}
	byID := map[string]peerInfo{}
	for _, p := range info.Peers {
		if _, twice := byID[p.NodeInfo.ID]; twice {
			complain("%s is there twice", p.NodeInfo.ID)
		}
		byID[p.NodeInfo.ID] = p
	}
	for _, other := range others {
		if other == n || !n.links(other.kind) {
			continue
		}
		id := other.id
		if n.kind == libp2p {
			id = other.peer
		}
		p, ok := byID[id]
		delete(byID, id)
		if !ok {
			complain("%s (%c) is missing", other.name, other.kind)
			continue
		}
		if n.kind == libp2p || other.kind == libp2p {
			continue // CometBFT's libp2p mode exchanges no node info
		}
		i := p.NodeInfo
		for _, c := range []struct {
			what      string
			got, want string
		}{
			{"moniker", i.Moniker, other.name},
			{"network", i.Network, w.chain},
			{"rpc_address", i.Other.RPC, other.rpcAddress()},
			{"tx_index", i.Other.TxIndex, "off"},
			{"version", i.Version, other.bins.says},
			{"remote_ip", p.RemoteIP, other.host},
		} {
			if c.got != c.want {
				complain("%s: %s is %q, not %q", other.name, c.what, c.got, c.want)
			}
		}
		if !strings.HasSuffix(i.Listen, fmt.Sprintf(":%d", other.p2p)) {
			complain("%s: listen_addr is %q; it listens at port %d", other.name, i.Listen, other.p2p)
		}
		if p.Status.Duration <= 0 || len(p.Status.Channels) == 0 {
			complain("%s: connection_status is %+v", other.name, p.Status)
		}
		for _, c := range channels {
			if !slices.Contains(hexPairs(i.Channels), c) {
				complain("%s: channels %s lack %s", other.name, i.Channels, c)
			}
		}
	}
	if w.seed != nil {
		delete(byID, w.seed.id)
	}
	for _, late := range w.joining {
		delete(byID, late.id)
		delete(byID, late.peer)
	}
	for id, p := range byID {
		complain("unexpected %s (%s)", id, p.NodeInfo.Moniker)
	}
	return errors.Join(errs...)
}

func hexPairs(text string) (pairs []string) {
	for i := 0; i+2 <= len(text); i += 2 {
		pairs = append(pairs, strings.ToLower(text[i:i+2]))
	}
	return pairs
}
