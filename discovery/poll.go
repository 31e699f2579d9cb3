package discovery

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Poll is the Run of a source whose list is read again and again. Until ctx ends, which gives nil, it calls read,
// reports to found what ParseList finds and the node can dial, and pauses (see Pause). where names the list in the log,
// which tells of a list when it is new or has changed, and of each error of read; peers that were found before stay
// known then. read bounds what it reads: more than MaxListBytes is no list.
func (e Env) Poll(ctx context.Context, every time.Duration, where string,
	found func(transport.Address, transport.NodeID), read func(context.Context) ([]byte, error)) error {
	var last [sha256.Size]byte
	for {
		text, err := read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			e.Log().Warn("a list of peers cannot be read; peers that it named stay known", slog.String("list", where),
				slog.Any("error", err))
		default:
			list := ParseList(text)
			usable := e.Usable(list.Addresses)
			if sum := sha256.Sum256(text); sum != last {
				last = sum
				list.Report(e.Log(), where, len(usable))
			}
			for _, a := range usable {
				if ctx.Err() != nil {
					return nil
				}
				found(a, "")
			}
		}
		if !Pause(ctx, every) {
			return nil
		}
	}
}
