package tls

import (
	"context"
	"crypto/tls"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Our dialer offers the post-quantum hybrid unless Classic is set; our listener takes it from every dialer.
func TestPostQuantum(t *testing.T) {
	theirs := func(c *tls.Config) { c.CurvePreferences = nil } // as go-libp2p has it
	for name, c := range map[string]struct {
		dialer   Config
		listener Config
		dials    func(*tls.Config) // what a dialer that is not ours does otherwise
		want     tls.CurveID
	}{
		"the default":          {want: tls.X25519MLKEM768},
		"a classic dialer":     {dialer: Config{Classic: true}, want: tls.X25519},
		"a classic listener":   {listener: Config{Classic: true}, want: tls.X25519MLKEM768},
		"a dialer of crypto's": {dials: theirs, want: tls.X25519MLKEM768},
		"a dialer that has P-256 only": {dials: func(c *tls.Config) {
			c.CurvePreferences = []tls.CurveID{tls.CurveP256}
		},
			want: tls.CurveP256},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := memPipe()
			defer a.Close()
			defer b.Close()
			done := make(chan shaken, 1)
			go func() { done <- secure(New(c.listener), b, securing(muxer.Listener)) }()
			config, err := New(c.dialer).ClientConfig(t.Context(), dialerKey, "")
			if err != nil {
				t.Fatal(err)
			}
			if c.dials != nil {
				c.dials(config)
			}
			if err := tls.Client(a, config).HandshakeContext(context.Background()); err != nil {
				t.Fatal(err)
			}
			r := <-done
			if r.err != nil {
				t.Fatal(r.err)
			}
			if got := r.conn.ConnectionState().CurveID; got != c.want {
				t.Errorf("agreed on keys with %v, not %v", got, c.want)
			}
		})
	}
}
