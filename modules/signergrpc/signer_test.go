package signergrpc

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/internal/signerpb"
)

// Every purpose travels; refusals come back as such and leave the connection up.
func TestOverASocket(t *testing.T) {
	at := socket(t)
	var log logged
	s := serve(t, ServerConfig{Address: at, Logger: log.logger()}, nodeKey,
		append(signer.Default(), handshake.SignPubsub)...)
	for path, mode := range map[string]os.FileMode{at.Path: 0o600, filepath.Dir(at.Path): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	c, id := dial(t, ClientConfig{Address: at})
	if err := id.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if key, err := id.PublicKey(t.Context()); err != nil || key != nodeKey.Public() {
		t.Error(key, err)
	}
	for _, p := range handshake.Purposes() {
		if err := id.Allows(t.Context(), p); err != nil {
			t.Error(err)
		}
		if p == handshake.SignPeerRecord {
			continue // the signer's own test has one
		}
		body := make([]byte, 32)
		if p == handshake.SignCertificateKey {
			body = make([]byte, 91)
		}
		msg, err := p.Message(body)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := id.Sign(t.Context(), p, msg)
		if err != nil || !nodeKey.Public().Verify(msg, sig) {
			t.Errorf("%s: %v", p, err)
		}
	}
	long, err := id.Sign(t.Context(), handshake.SignPubsub, append([]byte(handshake.PubsubPrefix),
		make([]byte, handshake.MaxPubsub)...))
	if err != nil || len(long) != 64 {
		t.Errorf("a long message: %v", err)
	}

	for _, r := range []signer.Request{{}, {Purpose: handshake.SignChallenge, Body: []byte("short")},
		{Purpose: handshake.SignPeerRecord, Body: []byte("another's")}, {Purpose: 77, Body: challenge()}} {
		var refused *signer.RefusedError
		if _, err := c.Sign(t.Context(), r); !errors.As(err, &refused) {
			t.Errorf("%+v: %v", r, err)
		}
		if err := check(t, id); err != nil {
			t.Error(err)
		}
	}
	// What a client of ours never sends.
	resp := new(signerpb.SignResponse)
	huge := &signerpb.SignRequest{What: &signerpb.SignRequest_PubsubMessage{PubsubMessage: make([]byte, 3<<20)}}
	for _, raw := range []struct {
		path string
		req  *signerpb.SignRequest
		want codes.Code
	}{
		{pathSign, &signerpb.SignRequest{}, codes.PermissionDenied},
		{"/" + serviceName + "/Export", &signerpb.SignRequest{}, codes.Unimplemented},
		{pathSign, huge, codes.ResourceExhausted},
	} {
		if err := c.conn.Invoke(t.Context(), raw.path, raw.req, resp); status.Code(err) != raw.want {
			t.Errorf("%s: %v", raw.path, err)
		}
	}
	if err := check(t, id); err != nil {
		t.Error(err)
	}
	n := s.keeper.Counts().Refused
	if n[0] != 1 || n[handshake.SignChallenge] != 1 || n[handshake.SignPeerRecord] != 1 {
		t.Errorf("refused %v", n)
	}
	if !strings.Contains(log.String(), "refused") {
		t.Error("the log does not tell")
	}
}

// Mutual TLS: only ends with a certificate of the authority talk to each other.
func TestOverTLS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	server := ours.files(t, "signer")
	s := serve(t, ServerConfig{Address: signer.Address{Host: "127.0.0.1:0"}, TLS: server}, nodeKey)
	at := signer.Address{Host: s.Addr().String()}
	_, id := dial(t, ClientConfig{Address: at, TLS: ours.files(t, "node")})
	if err := check(t, id); err != nil {
		t.Fatal(err)
	}
	stranger := others.files(t, "stranger")
	for name, files := range map[string]TLSFiles{
		"a stranger":             {CA: server.CA, Cert: stranger.Cert, Key: stranger.Key},
		"to another's authority": {CA: stranger.CA, Cert: server.Cert, Key: server.Key},
	} {
		c, _ := dial(t, ClientConfig{Address: at, TLS: files})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if c.Ready(ctx) == nil { // a client of TLS 1.3 believes so before the server has looked at it
			_, err := c.Sign(ctx, signer.Request{Purpose: handshake.SignChallenge, Body: challenge()})
			var absent *signer.AbsentError
			if !errors.As(err, &absent) {
				t.Errorf("%s: %v", name, err)
			}
		}
		cancel()
	}
	// Plain bytes, and TLS without a certificate, get nothing.
	plain, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_, _ = plain.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	_ = plain.SetReadDeadline(time.Now().Add(limit))
	got := make([]byte, 9)
	if n, err := plain.Read(got); err == nil && got[3] == 4 && n == 9 { // a SETTINGS frame
		t.Error("the signer speaks HTTP/2 in the clear")
	}
	if err := check(t, id); err != nil {
		t.Error(err)
	}
	// A renewed certificate is shown from the next connection on; files that are gone do no harm.
	if err := os.Remove(server.Cert); err != nil {
		t.Fatal(err)
	}
	_, again := dial(t, ClientConfig{Address: at, TLS: ours.files(t, "node")})
	if err := check(t, again); err != nil {
		t.Error(err)
	}
	for name, files := range map[string]TLSFiles{"nothing": {}, "no key": {CA: server.CA, Cert: stranger.Cert},
		"missing": {CA: server.CA + "x", Cert: stranger.Cert, Key: stranger.Key},
		"no CA":   {CA: stranger.Key, Cert: stranger.Cert, Key: stranger.Key}} {
		if _, err := Dial(ClientConfig{Address: at, TLS: files}); err == nil {
			t.Errorf("%s: it dials", name)
		}
		if _, err := Listen(ServerConfig{Address: signer.Address{Host: "127.0.0.1:0"}, TLS: files,
			Keeper: s.keeper}); err == nil {
			t.Errorf("%s: it listens", name)
		}
	}
}

// The signer restarts, also at once and again: calls wait for it and go on. It may come later than the node.
func TestRestarts(t *testing.T) {
	at := socket(t)
	c, id := dial(t, ClientConfig{Address: at})
	if _, err := c.Sign(t.Context(), signer.Request{Purpose: handshake.SignChallenge, Body: challenge()}); err == nil {
		t.Error("a signature of nobody")
	}
	early := make(chan error, 1)
	go func() { early <- id.Wait(t.Context()) }()
	for range 5 {
		s := serve(t, ServerConfig{Address: at}, nodeKey)
		if err := check(t, id); err != nil {
			t.Fatal(err)
		}
		s.stop(t)
		if _, err := os.Stat(at.Path); err == nil {
			t.Error("the socket stays behind")
		}
		// Calls that begin now are served by the next one.
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := check(t, id); err != nil {
					t.Error(err)
				}
			})
		}
		s = serve(t, ServerConfig{Address: at}, nodeKey)
		wg.Wait()
		s.stop(t)
	}
	if err := <-early; err != nil {
		t.Error(err)
	}
}

// A signature that hangs in the signer holds up no other, and ends at its deadline.
func TestHungCalls(t *testing.T) {
	at := socket(t)
	key := &gated{NodeKey: nodeKey, hangs: 100, hung: make(chan struct{}, 100)}
	serve(t, ServerConfig{Address: at}, key)
	c, id := dial(t, ClientConfig{Address: at})
	if err := id.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			_, err := c.Sign(ctx, signer.Request{Purpose: handshake.SignChallenge, Body: challenge()})
			var absent *signer.AbsentError
			if !errors.As(err, &absent) || absent.Signer != at.String() {
				t.Error(err)
			}
		})
	}
	for range 100 {
		<-key.hung
	}
	for range 100 {
		if err := check(t, id); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wg.Wait()
	if err := check(t, id); err != nil {
		t.Error(err)
	}
}

// A socket is refused where others could reach it, and a left-behind one is replaced.
func TestSockets(t *testing.T) {
	keeper, err := signer.NewKeeper(t.Context(), nodeKey, signer.Default()...)
	if err != nil {
		t.Fatal(err)
	}
	listen := func(at signer.Address) error {
		s, err := Listen(ServerConfig{Address: at, Keeper: keeper})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	at := socket(t)
	dir := filepath.Dir(at.Path)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := listen(at); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("in a folder of all: %v", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := listen(at); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(at.Path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := listen(at); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("over a file: %v", err)
	}
	if err := os.Remove(at.Path); err != nil {
		t.Fatal(err)
	}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: at.Path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if err := listen(at); err == nil || !strings.Contains(err.Error(), "another signer") {
		t.Errorf("beside another: %v", err)
	}
	left.SetUnlinkOnClose(false)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	if err := listen(at); err != nil {
		t.Errorf("over a left-behind one: %v", err)
	}
	if _, err := Dial(ClientConfig{Address: at, TLS: TLSFiles{CA: "x"}}); err == nil {
		t.Error("certificates for a socket")
	}
}

// A server takes so many connections and no more.
func TestConnectionsAreBounded(t *testing.T) {
	at := socket(t)
	s := serve(t, ServerConfig{Address: at}, nodeKey)
	var conns []net.Conn
	for range maxConnections {
		c, err := net.Dial("unix", at.Path)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	more, err := net.Dial("unix", at.Path)
	if err != nil {
		t.Fatal(err)
	}
	_ = more.SetReadDeadline(time.Now().Add(limit))
	if _, err := more.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one too many: %v", err)
	}
	_ = more.Close()
	for _, c := range conns {
		_ = c.Close()
	}
	_, id := dial(t, ClientConfig{Address: at})
	if err := check(t, id); err != nil { // as soon as there is room
		t.Error(err)
	}
	if _, crowded := s.Strangers(); crowded == 0 {
		t.Error("not counted")
	}
}
