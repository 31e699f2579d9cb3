package handshake

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// AskingGate makes a gate of a function that asks somebody and may take a while, such as an application over RPC. It is
// asked once a connection, when the remote's key is proven (AtKey): ID and IP are known then, and only the remote's own
// handshake waits. At the other checkpoints it lets everything pass, so that the accept loop never waits for it.
//
// ctx ends after timeout, at which ask must return; if the answer comes too late, the remote is refused. Keep timeout
// below that of the whole handshake (Config.Timeout). A connection that waits holds its place among limits.handshakes.
func AskingGate(timeout time.Duration, ask func(ctx context.Context, v Visitor) error) Gate {
	return func(v Visitor) error {
		if v.At != AtKey {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		err := ask(ctx, v)
		if ctx.Err() != nil {
			return &Refusal{Code: muxer.CodeFiltered,
				Reason: fmt.Sprintf("the filter did not answer within %v", timeout)}
		}
		return err
	}
}
