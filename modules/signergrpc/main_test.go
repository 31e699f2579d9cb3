package signergrpc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit bounds every wait.
const limit = 20 * time.Second

var nodeKey = handshake.NewIdentity([handshake.SeedSize]byte{42})

func challenge() []byte { return bytes.Repeat([]byte{7}, handshake.ChallengeSize) }

// gated is an identity whose next signatures may be held up.
type gated struct {
	*handshake.NodeKey
	mu    sync.Mutex
	hangs int           // how many of the next signatures wait for their context
	hung  chan struct{} // gets one for each that does
}

func (g *gated) Sign(ctx context.Context, p handshake.Purpose, msg []byte) ([]byte, error) {
	g.mu.Lock()
	hang := g.hangs > 0
	if hang {
		g.hangs--
	}
	g.mu.Unlock()
	if hang {
		g.hung <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return g.NodeKey.Sign(ctx, p, msg)
}

// serving is a server that runs.
type serving struct {
	*Server
	keeper *signer.Keeper
	cancel context.CancelFunc
	done   chan error
}

// serve runs a server until the test ends, or stop.
func serve(t testing.TB, cfg ServerConfig, key handshake.Identity, allowed ...handshake.Purpose) *serving {
	t.Helper()
	if allowed == nil {
		allowed = signer.Default()
	}
	keeper, err := signer.NewKeeper(t.Context(), key, allowed...)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Keeper = keeper
	server, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &serving{server, keeper, cancel, make(chan error, 1)}
	go func() { s.done <- server.Run(ctx) }()
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *serving) stop(t testing.TB) {
	t.Helper()
	s.cancel()
	select {
	case err := <-s.done:
		if err != nil {
			t.Error(err)
		}
		s.done <- nil
	case <-time.After(limit):
		t.Error("the server does not stop")
	}
}

// socket is the address of a socket in a folder of its own, with a short path.
func socket(t testing.TB) signer.Address {
	t.Helper()
	dir, err := os.MkdirTemp("", "signer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return signer.Address{Path: filepath.Join(dir, "run", "signer.sock")}
}

// dial makes a client and the identity over it.
func dial(t testing.TB, cfg ClientConfig) (*Client, *signer.Identity) {
	t.Helper()
	c, err := Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	})
	return c, signer.New(c, signer.Config{Signer: cfg.Address.String(), Timeout: limit, Logger: cfg.Logger})
}

// check asks for a signature.
func check(t testing.TB, id handshake.Identity) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	sig, err := id.Sign(ctx, handshake.SignChallenge, challenge())
	if err == nil && !nodeKey.Public().Verify(challenge(), sig) {
		t.Error("a wrong signature")
	}
	return err
}

// authority is a certificate authority in a folder.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{dir: t.TempDir(), key: key}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write(t, "ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(t testing.TB, name, kind string, der []byte) {
	t.Helper()
	err := os.WriteFile(filepath.Join(a.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	if err != nil {
		t.Fatal(err)
	}
}

// files makes a certificate for 127.0.0.1.
func (a *authority) files(t testing.TB, name string) TLSFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".pem", "CERTIFICATE", der)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".key", "PRIVATE KEY", secret)
	at := func(name string) string { return filepath.Join(a.dir, name) }
	return TLSFiles{CA: at("ca.pem"), Cert: at(name + ".pem"), Key: at(name + ".key")}
}

// logged is a log and its lines.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
