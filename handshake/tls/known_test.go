package tls

import (
	"crypto/x509"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// A certificate that has passed is not checked again until many others have come; a refused one is checked each time.
func TestKnown(t *testing.T) {
	var k known
	asked := 0
	ask := func(n uint32, answer error) bool {
		t.Helper()
		before := asked
		raw := binary.BigEndian.AppendUint32(nil, n)
		key, err := k.node(raw, func() (handshake.PublicKey, error) { asked++; return dialerKey.Public(), answer })
		if want := asked > before && answer != nil; want != (err != nil) || (key == dialerKey.Public()) == want {
			t.Fatalf("node: %v, want an error %v", err, want)
		}
		return asked > before
	}
	bad := errors.New("bad")
	for i, answer := range []error{bad, bad, nil} {
		if !ask(0, answer) {
			t.Errorf("not checked at %d, before it has passed", i)
		}
	}
	for n := range uint32(10 * knownHalf) {
		if ask(0, nil) {
			t.Fatal("one that comes again and again was forgotten")
		}
		if !ask(n+1, nil) {
			t.Fatal("one that never came is known")
		}
		if held := len(k.newer) + len(k.past); held > 2*knownHalf {
			t.Fatalf("%d are remembered", held)
		}
	}
	if !ask(1, nil) {
		t.Error("one of long ago is remembered")
	}
}

// The validity period of a known certificate is still checked.
func TestKnownExpires(t *testing.T) {
	cert, err := x509.ParseCertificate(honest(t).make(t).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	var k known
	for _, c := range []struct {
		at time.Time
		ok bool
	}{{time.Now(), true}, {cert.NotAfter.Add(time.Second), false}, {cert.NotBefore.Add(-time.Second), false},
		{time.Now(), true}} {
		if _, err := verifyCertificates([]*x509.Certificate{cert}, c.at, &k); (err == nil) != c.ok {
			t.Errorf("at %v: %v", c.at, err)
		}
	}
}
