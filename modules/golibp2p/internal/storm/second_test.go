package storm

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

// A go-libp2p peer that dials us while we have a link to it is served on both connections. A second host with the
// peer's key is that peer to us, and opens its connection for sure: one host does not dial twice.
func TestSecondConnection(t *testing.T) {
	for _, via := range hostkit.Each {
		t.Run(string(via), func(t *testing.T) {
			served, times := 0, often(25, 5)
			us := start(t, hostkit.Ours, hostkit.Options{Via: via})
			for range times {
				if err := second(t, us, via); err != nil {
					t.Error(err)
					continue
				}
				served++
			}
			if served < times {
				t.Errorf("%d of %d served", served, times)
			}
		})
	}
}

func second(t *testing.T, us host.Host, via hostkit.Via) error {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return err
	}
	o := hostkit.Options{Via: via, Key: key}
	first, other := start(t, hostkit.Theirs, o), start(t, hostkit.Theirs, o)
	ctx := within(t)
	if err := hostkit.Connect(ctx, us, first); err != nil {
		return fmt.Errorf("we dial: %w", err)
	}
	if err := hostkit.Connect(ctx, other, us); err != nil {
		return fmt.Errorf("the peer dials: %w", err)
	}
	for range 3 {
		for name, open := range map[string]opener{
			"the peer, on the first":  toPeer(first, us.ID()),
			"the peer, on the second": toPeer(other, us.ID()),
			"we":                      toPeer(us, first.ID()),
		} {
			if err := echo(ctx, open, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if err := first.Close(); err != nil {
		return err
	}
	if err := echo(ctx, toPeer(other, us.ID()), "the other"); err != nil {
		return fmt.Errorf("the peer, on the connection that is left: %w", err)
	}
	var last error
	for ctx.Err() == nil { // until we know of the end, the first may be the one that we use
		if last = echo(ctx, toPeer(us, first.ID()), "the other"); last == nil {
			break
		}
	}
	if last != nil {
		return fmt.Errorf("we, on the connection that is left: %w", last)
	}
	return other.Close()
}
