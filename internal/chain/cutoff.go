package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cutOff checks the judge itself: it cuts a node off, whose RPC goes on, and the judge must object to all of it.
func cutOff(ctx context.Context, w *network) (_ string, err error) {
	v := w.nodes[len(w.nodes)-1]
	port := v.p2p
	defer func() { // as it was
		v.kill()
		v.p2p = port
		err = errors.Join(err, w.configure(v), v.start())
		if err == nil {
			_, err = recovered(ctx, w, v)
		}
	}()
	v.kill()
	if v.p2p, err = w.ports.next(); err != nil {
		return "", err
	}
	if err := w.isolate(v); err != nil {
		return "", err
	}
	if err := v.start(); err != nil {
		return "", err
	}
	if err := v.reach(ctx, 0, time.Minute); err != nil { // its RPC answers
		return "", err
	}
	_, verdict := judge(ctx, w)
	if verdict == nil {
		return "", fmt.Errorf("%s is cut off, and the judge says that all is well", v.name)
	}
	for _, want := range []string{
		v.name + " signed 0 of", v.name + " proposed none of", v.name + ": a transaction through it",
		"/net_info of " + v.name, "/net_info of " + w.nodes[0].name + ": " + v.name,
	} {
		if !strings.Contains(verdict.Error(), want) {
			return "", fmt.Errorf("%s is cut off, and the judge says nothing of %q: %w", v.name, want, verdict)
		}
	}
	faults := strings.Count(verdict.Error(), "\n") + 1
	return fmt.Sprintf("the judge finds %d faults with a node that is cut off", faults), nil
}

// isolate makes a node one that knows nobody.
func (w *network) isolate(n *node) error {
	for _, learned := range []string{"config/addrbook.json", "data/switchyard-peers"} {
		if err := os.RemoveAll(filepath.Join(n.home, learned)); err != nil {
			return err
		}
	}
	alone := *w
	alone.nodes, alone.seed, alone.pex = nil, nil, false
	return alone.configure(n)
}
