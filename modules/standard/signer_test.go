package standard

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/signergrpc"
	"github.com/switchyard-p2p/switchyard/transport"
)

// writeCertificate puts a certificate for 127.0.0.1, which is its own authority, and its key into a folder.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, secret)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der},
		"key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A node whose key is in a signer over mutual TLS links to others over each of its wires, and goes on doing so over all
// but comet when the signer is gone.
func TestNodeWithSignerOverTLS(t *testing.T) {
	key := handshake.NewIdentity([handshake.SeedSize]byte{9})
	keeper, err := signer.NewKeeper(t.Context(), key, signer.Default()...)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	writeCertificate(t, home)
	at := func(name string) string { return filepath.Join(home, name) }
	server, err := signergrpc.Listen(signergrpc.ServerConfig{Keeper: keeper,
		Address: signer.Address{Host: "127.0.0.1:0"},
		TLS:     signergrpc.TLSFiles{CA: at("cert.pem"), Cert: at("cert.pem"), Key: at("key.pem")}})
	if err != nil {
		t.Fatal(err)
	}
	serving, stopSigner := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Run(serving) }()

	run := func(change func(*modules.Config)) *host.Host {
		t.Helper()
		cfg := modules.Default()
		cfg.Home, cfg.Store.Path, cfg.Admin.Address = t.TempDir(), "", ""
		cfg.Listen.Addresses = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
		cfg.Limits.HandshakeTimeout = modules.Duration(2 * time.Second)
		cfg.Peers.PreferQUIC, cfg.Peers.MaxOutbound, cfg.Discovery = false, 0, []modules.Table{}
		change(&cfg)
		up, done := make(chan *host.Host, 1), make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			done <- modules.Run(ctx, modules.Node(cfg, Plugins()...), fx.Invoke(func(lc fx.Lifecycle, h *host.Host) {
				lc.Append(fx.StartHook(func() { up <- h }))
			}))
		}()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		select {
		case h := <-up:
			return h
		case err := <-done:
			done <- err
			t.Fatalf("the node ended: %v", err)
			return nil
		}
	}
	node := run(func(c *modules.Config) {
		c.Home = home
		c.Identity.Signer = "tls://" + server.Addr().String()
		c.Identity.SignerCA, c.Identity.SignerCert, c.Identity.SignerKey = "cert.pem", "cert.pem", "key.pem"
	})
	if node.Self() != key.ID() {
		t.Fatalf("the node is %s", node.Self())
	}
	if _, err := os.Stat(at("node_key.json")); err == nil {
		t.Error("it has made a key")
	}
	var tcp, quic string
	for _, a := range node.ListenAddrs() {
		if text := a.String(); filepath.Base(text) == "quic-v1" {
			quic = text
		} else {
			tcp = text
		}
	}
	peerID := key.Public().PeerID()
	wires := map[string]struct{ security, address string }{
		"comet": {"noise", tcp + "/mconn/" + string(key.ID())},
		"noise": {"noise", tcp + "/p2p/" + peerID},
		"tls":   {"tls", tcp + "/p2p/" + peerID},
		"quic":  {"noise", quic + "/p2p/" + peerID},
	}
	link := func(name string) error {
		t.Helper()
		other := run(func(c *modules.Config) { c.Stack.Security = []string{wires[name].security} })
		address, err := transport.ParseAddress(wires[name].address)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = other.Dial(ctx, address)
		return err
	}
	for name := range wires {
		if err := link(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	stopSigner()
	if err := <-served; err != nil {
		t.Error(err)
	}
	for name := range wires {
		if err := link(name); (err == nil) != (name != "comet") {
			t.Errorf("%s, without the signer: %v", name, err)
		}
	}
}
