package modules

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/host"
)

// lateSigner is a SignerConn in memory whose signer comes later.
type lateSigner struct {
	keeper *signer.Keeper
	here   chan struct{} // closed once the signer is here

	mu     sync.Mutex
	closed int
}

func newLateSigner(t *testing.T, key *handshake.NodeKey) *lateSigner {
	keeper, err := signer.NewKeeper(t.Context(), key, signer.Default()...)
	if err != nil {
		t.Fatal(err)
	}
	return &lateSigner{keeper: keeper, here: make(chan struct{})}
}

func (l *lateSigner) absent() error {
	select {
	case <-l.here:
		return nil
	default:
		return &signer.AbsentError{Why: "not yet"}
	}
}

func (l *lateSigner) Describe(context.Context) (signer.Description, error) {
	return l.keeper.Describe(), l.absent()
}

func (l *lateSigner) Sign(ctx context.Context, r signer.Request) ([]byte, error) {
	if err := l.absent(); err != nil {
		return nil, err
	}
	return l.keeper.Sign(ctx, r)
}

func (l *lateSigner) Ready(ctx context.Context) error {
	select {
	case <-l.here:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lateSigner) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed++
	return nil
}

func (l *lateSigner) closes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// withSigner is a configuration of a node in memory whose key is in a signer, and its catalogue.
func withSigner(l *lateSigner, t *testing.T, more ...Plugin) (Config, []Plugin) {
	c := Default()
	c.Home, c.Store.Path, c.Admin.Address = t.TempDir(), "", ""
	c.Identity.Signer = "unix:///run/signer.sock"
	dial := Signer(func(SignerEnv) (SignerConn, error) { return l, nil })
	return c, realPlugins(newMachine("0.0.0.0"), append(more, dial)...)
}

// The node waits for a signer that is late, longer than any start may take, and takes its key from it. The connection
// ends with the node.
func TestNodeWaitsForItsSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := handshake.NewIdentity([handshake.SeedSize]byte{5})
		l := newLateSigner(t, key)
		c, plugins := withSigner(l, t)
		var p parts
		up := make(chan *host.Host, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- Run(ctx, Node(c, plugins...), fx.Supply(p.logger()), fx.Invoke(func(lc fx.Lifecycle, h *host.Host) {
				lc.Append(fx.StartHook(func() { up <- h }))
			}))
		}()
		time.Sleep(3 * StartTimeout)
		synctest.Wait()
		if len(up)+len(done) > 0 {
			t.Fatal("it did not wait")
		}
		close(l.here)
		h := <-up
		time.Sleep(time.Second)
		if h.Self() != key.ID() || len(h.ListenAddrs()) != 1 || l.closes() != 0 {
			t.Fatal("it does not run")
		}
		if _, err := os.Stat(filepath.Join(c.Home, "node_key.json")); err == nil {
			t.Error("it has made a key")
		}
		if n := l.keeper.Counts().Signed; n[handshake.SignNoiseKey] != 1 || n[handshake.SignCertificateKey] != 2 {
			t.Errorf("signed ahead: %v", n)
		}
		cancel()
		if err := <-done; err != nil || l.closes() != 1 {
			t.Errorf("%v, closed %d times", err, l.closes())
		}
	})
}

// A node that is stopped while it waits, or that fails for another reason, lets go of its signer.
func TestNodeGivesUpItsSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLateSigner(t, handshake.NewIdentity([handshake.SeedSize]byte{5}))
		c, plugins := withSigner(l, t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Run(ctx, Node(c, plugins...)) }()
		time.Sleep(time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if l.closes() != 1 {
			t.Errorf("closed %d times", l.closes())
		}

		l = newLateSigner(t, handshake.NewIdentity([handshake.SeedSize]byte{5}))
		close(l.here)
		c, plugins = withSigner(l, t, Extend("broken", func(Config) fx.Option {
			return fx.Invoke(func(handshake.Identity) error { return errors.New("broken") })
		}))
		if err := Run(t.Context(), Node(c, plugins...)); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Error(err)
		}
		if l.closes() != 1 {
			t.Errorf("closed %d times", l.closes())
		}
	})
}

// Another identity takes the place of the signer's, which is not asked then.
func TestDecoratedIdentityNeedsNoSigner(t *testing.T) {
	own := handshake.NewIdentity([handshake.SeedSize]byte{6})
	l := newLateSigner(t, own)
	c, plugins := withSigner(l, t)
	var id handshake.Identity
	err := fx.New(Base(c), Handshake(c, plugins...), fx.Decorate(func() handshake.Identity { return own }),
		fx.Populate(&id)).Err()
	if err != nil || id != handshake.Identity(own) {
		t.Error(id, err)
	}
}
