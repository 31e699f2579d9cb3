package modules

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// TestSecuritiesAreShared shows that all parts of a node share one instance of a security, and that a transport finds
// those that [stack] leaves out.
func TestSecuritiesAreShared(t *testing.T) {
	c := quiet(t)
	c.Stack.Transports, c.Stack.Security = []string{"tcp", "secure"}, []string{"tls"}
	var inside, left handshake.Security
	var failed error
	var identity handshake.Identity
	list := realPlugins(nil, SecureTransport("secure", zero[struct{}],
		func(_ struct{}, env TransportEnv) (transport.Transport, error) {
			inside, _ = env.Security("tls")
			left, _ = env.Security("noise")
			_, failed = env.Security("nois")
			identity = env.Identity
			return namedTransport{tcp.New(tcp.Config{}), "secure"}, nil
		}))
	var chosen []handshake.Security
	var id handshake.Identity
	var transports []transport.Transport
	if err := fx.New(Node(c, list...), fx.Populate(&chosen, &id, &transports)).Err(); err != nil {
		t.Fatal(err)
	}
	if len(chosen) != 1 || chosen[0] != inside || inside.Name() != "tls" || left.Name() != "noise" || identity != id {
		t.Errorf("the node has %v, the transport %v, %v, %v", chosen, inside, left, identity)
	}
	if failed == nil || failed.Error() != "this build has no such security (did you mean noise?)" {
		t.Errorf("an unknown one: %v", failed)
	}
}

// TestMessageMemoryReachesSessions shows that limits.message_memory reaches all that makes sessions.
func TestMessageMemoryReachesSessions(t *testing.T) {
	c := quiet(t)
	c.Limits.MessageMemory = 77 << 20
	c.Stack.Transports, c.Stack.Wires, c.Stack.Muxers = []string{"secure"}, []string{"wire", "streams"}, []string{"mux"}
	var got [4]int64
	list := realPlugins(nil,
		SecureTransport("secure", zero[struct{}], func(_ struct{}, env TransportEnv) (transport.Transport, error) {
			got[0] = env.MessageMemory
			return namedTransport{tcp.New(tcp.Config{}), "secure"}, nil
		}),
		Wire("wire", zero[struct{}], func(_ struct{}, env WireEnv) (handshake.Wire, error) {
			got[1] = env.MessageMemory
			return otherWire{}, nil
		}),
		StreamWire("streams", zero[struct{}], func(_ struct{}, env WireEnv) (handshake.Wire, error) {
			got[2] = env.MessageMemory
			return otherWire{}, nil
		}),
		Muxer("mux", zero[struct{}], func(_ struct{}, env MuxerEnv) (otherMuxer, error) {
			got[3] = env.MessageMemory
			return otherMuxer{}, nil
		}))
	var wires []handshake.Wire
	var transports []transport.Transport
	if err := fx.New(Base(c), Transports(c, list...), Handshake(c, list...),
		fx.Populate(&wires, &transports)).Err(); err != nil {
		t.Fatal(err)
	}
	if want := c.Limits.MessageMemory; got != [4]int64{want, want, want, want} {
		t.Errorf("they get %d, want %d", got, want)
	}
}

// TestAbsentServiceWarns shows that the log warns of a service that this build lacks, unless it is off.
func TestAbsentServiceWarns(t *testing.T) {
	for text, want := range map[string]int{"": 0, "[services.relay]\nenabled = true": 1, "[services.relay]": 1,
		"[services.relay]\nenabled = false": 0} {
		c, err := Parse("config.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c.Home, c.Store.Path, c.Admin.Address = t.TempDir(), "", ""
		var log bytes.Buffer
		logger := fx.Supply(slog.New(slog.NewTextHandler(&log, nil)))
		if err := fx.New(Node(c, realPlugins(nil, AbsentService("relay"))...), logger).Err(); err != nil {
			t.Fatal(err)
		}
		const warning = "config.toml:1: services.relay: this build has no such service"
		if got := strings.Count(log.String(), warning); got != want {
			t.Errorf("%q: %d warnings, want %d:\n%s", text, got, want, log.String())
		}
	}
}

// TestAdminAnswers shows the admin API of a whole node.
func TestAdminAnswers(t *testing.T) {
	c := quiet(t)
	c.Admin.Address, c.Version = "127.0.0.1:0", "switchyard/test"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := Run(ctx, Node(c, realPlugins(nil)...), fx.Invoke(func(lc fx.Lifecycle, a *admin.Server, h *host.Host) {
		lc.Append(fx.StartHook(func() error {
			defer cancel()
			client, err := admin.NewClient(a.Addr().String())
			if err != nil {
				return err
			}
			s, err := client.Status(ctx)
			if err != nil || s.NodeID != h.Self() || s.Version != c.Version || len(s.Listen) != 1 {
				return fmt.Errorf("status %+v, %w", s, err)
			}
			resp, err := http.Get("http://" + a.Addr().String() + "/metrics")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			defer http.DefaultClient.CloseIdleConnections()
			if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), "go_goroutines") {
				return fmt.Errorf("metrics: %.200s, %w", text, err)
			}
			return nil
		}))
	}))
	if err != nil {
		t.Error(err)
	}
}
