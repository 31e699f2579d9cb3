package tls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// forged is a certificate of which a test may get any part wrong.
type forged struct {
	secret     crypto.Signer // the certificate's
	signer     crypto.Signer // of the certificate; nil: secret
	node       []byte        // public key in the extension
	sign       func(spki []byte) []byte
	value      []byte // of the extension, instead
	none       bool   // no extension
	critical   bool
	extra      []pkix.Extension
	from, till time.Duration
	count      int // of certificates
}

func honest(tb testing.TB) *forged {
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return &forged{
		secret: secret,
		node:   dialerKey.Public().AppendProto(nil),
		sign: func(spki []byte) []byte {
			return handshaketest.Sign([handshake.SeedSize]byte{1},
				append([]byte(handshake.CertificateKeyPrefix), spki...))
		},
		from: -time.Hour, till: time.Hour, count: 1,
	}
}

func (f *forged) make(tb testing.TB) tls.Certificate {
	tb.Helper()
	spki, err := x509.MarshalPKIXPublicKey(f.secret.Public())
	if err != nil {
		tb.Fatal(err)
	}
	value := f.value
	if value == nil {
		if value, err = asn1.Marshal(signedKey{f.node, f.sign(spki)}); err != nil {
			tb.Fatal(err)
		}
	}
	extensions := f.extra
	if !f.none {
		extensions = append(extensions, pkix.Extension{Id: extensionID, Critical: f.critical, Value: value})
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{SerialNumber: "1"},
		NotBefore: time.Now().Add(f.from), NotAfter: time.Now().Add(f.till), ExtraExtensions: extensions,
	}
	if _, ok := f.signer.(*ecdsa.PrivateKey); ok {
		template.SignatureAlgorithm = x509.ECDSAWithSHA256
	}
	signer := f.signer
	if signer == nil {
		signer = f.secret
	}
	// CreateCertificate checks its own signature unless the parent is another.
	parent := *template
	parent.PublicKey = signer.Public()
	der, err := x509.CreateCertificate(rand.Reader, template, &parent, f.secret.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	c := tls.Certificate{PrivateKey: f.secret}
	for range f.count {
		c.Certificate = append(c.Certificate, der)
	}
	return c
}

func bigRSA(bits int) []byte {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537})
	if err != nil {
		panic(err)
	}
	size := len(der)
	form := []byte{8, 0, 0x12}
	for ; size >= 0x80; size >>= 7 {
		form = append(form, byte(size)|0x80)
	}
	return append(append(form, byte(size)), der...)
}

// Every certificate that does not prove a node key is refused, by VerifyCertificates and in a handshake, by dialers and
// by listeners.
func TestCertificates(t *testing.T) {
	anError := errors.New("any error")
	keyError := &handshake.KeyError{}
	other := honest(t).secret
	_, edSecret, _ := ed25519.GenerateKey(rand.Reader)
	rsaSecret, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	known := unknown
	known.Critical = false
	edwards := make([]ed25519.PrivateKey, 2)
	for i := range edwards {
		_, edwards[i], _ = ed25519.GenerateKey(nil)
	}
	for name, tc := range map[string]struct {
		change func(f *forged)
		want   error
	}{
		"honest":                     {func(f *forged) {}, nil},
		"critical extension":         {func(f *forged) { f.critical = true }, nil},
		"unknown extension":          {func(f *forged) { f.extra = []pkix.Extension{known} }, nil},
		"ed25519 certificate":        {func(f *forged) { f.secret = edSecret }, nil},
		"rsa certificate":            {func(f *forged) { f.secret = rsaSecret }, nil},
		"P-384 certificate":          {func(f *forged) { f.secret = p384 }, nil},
		"two certificates":           {func(f *forged) { f.count = 2 }, ErrCertificate},
		"none":                       {func(f *forged) { f.count = 0 }, anError},
		"expired":                    {func(f *forged) { f.till = -time.Minute }, ErrCertificate},
		"not yet valid":              {func(f *forged) { f.from = time.Minute }, ErrCertificate},
		"no extension":               {func(f *forged) { f.none = true }, ErrCertificate},
		"unknown critical extension": {func(f *forged) { f.extra = []pkix.Extension{unknown} }, ErrCertificate},
		"the extension twice": {func(f *forged) {
			f.extra = []pkix.Extension{{Id: extensionID, Value: []byte{0x30, 0}}}
		}, anError},
		"junk in the extension": {func(f *forged) { f.value = []byte{1, 2, 3} }, ErrCertificate},
		"empty extension":       {func(f *forged) { f.value = []byte{} }, ErrCertificate},
		"bytes after the extension": {func(f *forged) {
			f.value, _ = asn1.Marshal(signedKey{f.node, nil})
			f.value = append(f.value, 0)
		}, ErrCertificate},
		"no key":                    {func(f *forged) { f.node = nil }, keyError},
		"wrong key type":            {func(f *forged) { f.node[1] = 2 }, keyError},
		"rsa key of 16384 bits":     {func(f *forged) { f.node = bigRSA(16384) }, keyError},
		"rsa key of 1024 bits":      {func(f *forged) { f.node = bigRSA(1024) }, keyError},
		"rsa key without signature": {func(f *forged) { f.node = bigRSA(8192) }, ErrBadSignature},
		"another's key": {func(f *forged) { f.node = listenerKey.Public().AppendProto(nil) },
			ErrBadSignature},
		"no signature": {func(f *forged) { f.sign = func([]byte) []byte { return nil } }, ErrBadSignature},
		"signature of another key": {func(f *forged) {
			s := f.sign
			f.sign = func(b []byte) []byte { return s(b[1:]) }
		}, ErrBadSignature},
		"signature without a prefix": {func(f *forged) {
			f.sign = func(b []byte) []byte { return handshaketest.Sign([handshake.SeedSize]byte{1}, b) }
		}, ErrBadSignature},
		"not self-signed":          {func(f *forged) { f.signer = other }, ErrCertificate},
		"not self-signed, ed25519": {func(f *forged) { f.secret, f.signer = edwards[0], edwards[1] }, ErrCertificate},
		"ed25519 signed by ecdsa":  {func(f *forged) { f.secret, f.signer = edwards[0], other }, ErrCertificate},
		"ed25519":                  {func(f *forged) { f.secret = edwards[0] }, nil},
	} {
		f := honest(t)
		tc.change(f)
		cert := f.make(t)
		certs := []*x509.Certificate{}
		var err error
		for _, der := range cert.Certificate {
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(der); err == nil {
				certs = append(certs, c)
			}
		}
		var key handshake.PublicKey
		if err == nil {
			key, err = VerifyCertificates(certs, time.Now())
		}
		right := func(err error) bool {
			var bad *handshake.KeyError
			switch tc.want {
			case nil:
				return err == nil
			case anError:
				return err != nil
			case keyError:
				return errors.As(err, &bad)
			}
			return errors.Is(err, tc.want)
		}
		if !right(err) || (err == nil) != (key == dialerKey.Public()) || err != nil &&
			strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%s: %v, %v", name, key.NodeID(), err)
		}
		for _, side := range sides {
			r := against(t, side, func(c *tls.Config) { c.Certificates = []tls.Certificate{cert} })
			if f.count == 0 && side == muxer.Dialer {
				continue // the remote, our server, does not even begin
			}
			if !right(r.err) {
				t.Errorf("%s, to a %s: %v", name, side, r.err)
			}
			if r.err == nil && r.conn.RemotePublicKey() != dialerKey.Public() {
				t.Errorf("%s, to a %s: %v", name, side, r.conn.RemotePublicKey())
			}
		}
	}
}

// A remote with hundreds of certificates is refused before they have all arrived, and so before any is parsed.
func TestHundredsOfCertificates(t *testing.T) {
	for _, side := range sides {
		for count, want := range map[int]error{2: ErrCertificate, 15: ErrCertificate, 900: ErrTooLong} {
			f := honest(t)
			f.count = count
			cert := f.make(t)
			r := against(t, side, func(c *tls.Config) { c.Certificates = []tls.Certificate{cert} })
			if !errors.Is(r.err, want) {
				t.Errorf("%d certificates, to a %s: %v", count, side, r.err)
			}
		}
	}
}

// against runs a handshake of ours, on side, against crypto/tls with a changed configuration.
func against(t *testing.T, side muxer.Side, change func(*tls.Config)) shaken {
	t.Helper()
	return againstWith(t, securing(side), change)
}

func againstWith(t *testing.T, opts handshake.Securing, change func(*tls.Config)) shaken {
	t.Helper()
	a, b := memPipe()
	a.SetDeadline(time.Now().Add(handshaketest.Timeout))
	b.SetDeadline(time.Now().Add(handshaketest.Timeout))
	config := &tls.Config{
		InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"/yamux/1.0.0", ALPN},
		Certificates: []tls.Certificate{honest(t).make(t)},
	}
	change(config)
	done := make(chan struct{})
	go func() {
		defer close(done)
		peer := tls.Client(b, config)
		if opts.Side == muxer.Dialer {
			peer = tls.Server(b, config)
		}
		if peer.Handshake() != nil {
			b.Close()
		}
	}()
	r := secure(New(Config{}), a, opts)
	a.CloseWrite() // or a peer that still waits would wait on
	<-done
	return r
}

func TestOldTLS(t *testing.T) {
	for _, side := range sides {
		if r := against(t, side, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }); r.err == nil {
			t.Errorf("a %s takes TLS 1.2", side)
		}
		if r := against(t, side, func(c *tls.Config) { c.NextProtos = []string{"h2"} }); r.err == nil {
			t.Errorf("a %s takes another ALPN", side)
		}
		if r := against(t, side, func(c *tls.Config) { c.NextProtos = nil }); !errors.Is(r.err, ErrALPN) {
			t.Errorf("a %s without ALPN: %v", side, r.err)
		}
		if r := against(t, side, func(c *tls.Config) { c.NextProtos = []string{ALPN} }); r.err != nil ||
			r.conn.Muxer() != "" {
			t.Errorf("a %s without early muxers: %v", side, r.err)
		}
	}
}

func TestWrongID(t *testing.T) {
	for _, side := range sides {
		opts := securing(side)
		opts.Want = handshake.NewIdentity([32]byte{7}).ID()
		opts.CheckKey = func(handshake.PublicKey) error { t.Error("asked"); return nil }
		r := againstWith(t, opts, func(*tls.Config) {})
		var refusal *handshake.Refusal
		if !errors.As(r.err, &refusal) || refusal.Code != muxer.CodeWrongID ||
			refusal.Stage != handshake.StageSecurity {
			t.Errorf("to a %s: %v", side, r.err)
		}
		no := errors.New("not welcome")
		opts.Want = dialerKey.ID()
		opts.CheckKey = func(k handshake.PublicKey) error {
			if k != dialerKey.Public() {
				t.Error(k)
			}
			return no
		}
		if r := againstWith(t, opts, func(*tls.Config) {}); !errors.Is(r.err, no) {
			t.Errorf("to a %s: %v", side, r.err)
		}
	}
}

// CheckKey is not called for a certificate whose secret key the remote lacks, such as a stolen one.
func TestStolenCertificate(t *testing.T) {
	for _, side := range sides {
		opts := securing(side)
		opts.CheckKey = func(handshake.PublicKey) error { t.Error("asked about a key that is not proven"); return nil }
		cert := honest(t).make(t)
		cert.PrivateKey = honest(t).secret
		if r := againstWith(t, opts, func(c *tls.Config) { c.Certificates = []tls.Certificate{cert} }); r.err == nil {
			t.Errorf("a %s took it", side)
		}
	}
}

func FuzzVerifyCertificate(f *testing.F) {
	for _, change := range []func(*forged){
		func(*forged) {},
		func(c *forged) { c.none = true },
		func(c *forged) { c.node = bigRSA(2048) },
		func(c *forged) { c.critical = true },
	} {
		c := honest(f)
		change(c)
		der := c.make(f).Certificate[0]
		parsed, _ := x509.ParseCertificate(der)
		value := []byte{}
		for _, e := range parsed.Extensions {
			value = e.Value
		}
		f.Add(der, value)
	}
	f.Fuzz(func(t *testing.T, der, value []byte) {
		if cert, err := x509.ParseCertificate(der); err == nil {
			key, err := VerifyCertificates([]*x509.Certificate{cert}, cert.NotBefore)
			if (err == nil) == key.IsZero() {
				t.Fatal(key, err)
			}
		}
		key, _, err := extension(&x509.Certificate{Extensions: []pkix.Extension{{Id: extensionID, Value: value}}})
		if (err == nil) == key.IsZero() {
			t.Fatal(key, err)
		}
		if err == nil && fmt.Sprint(key.NodeID()) == "" {
			t.Fatal("a key without id")
		}
	})
}
