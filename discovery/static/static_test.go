package static

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "0123456789abcdef0123456789abcdef01234567"

func TestHandsOverAndWaits(t *testing.T) {
	cfg := Config{Addresses: []string{id + "@10.0.0.1:26656", "/dns/node.example/tcp/1/mconn/" + id}}
	s, err := New(cfg, discovery.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var got []string
	err = s.Run(ctx, nil, func(a transport.Address, _ transport.NodeID) {
		if got = append(got, a.String()); len(got) == 2 {
			stop()
		}
	})
	want := "/ip4/10.0.0.1/tcp/26656/mconn/" + id + " /dns/node.example/tcp/1/mconn/" + id
	if err != nil || strings.Join(got, " ") != want {
		t.Errorf("found %v, %v", got, err)
	}
}

func TestStopsBetweenAddresses(t *testing.T) {
	s, err := New(Config{Addresses: []string{id + "@10.0.0.1:1", id + "@10.0.0.2:1"}}, discovery.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	count := 0
	if err := s.Run(ctx, nil, func(transport.Address, transport.NodeID) { count++; stop() }); err != nil || count != 1 {
		t.Errorf("%d found, %v", count, err)
	}
}

func TestBadAddresses(t *testing.T) {
	for _, bad := range []string{"", "nonsense", "10.0.0.1:26656", "/ip4/10.0.0.1/tcp/1"} {
		_, err := New(Config{Addresses: []string{id + "@10.0.0.1:1", bad}}, discovery.Env{})
		if err == nil || !strings.Contains(err.Error(), "addresses[1]") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err := New(Config{Addresses: []string{"nonsense"}}, discovery.Env{})
	var e *transport.AddressError
	if !errors.As(err, &e) {
		t.Errorf("%v does not wrap the reason", err)
	}
	if s, err := New(Default(), discovery.Env{}); s == nil || err != nil {
		t.Errorf("the default: %v", err)
	}
}
