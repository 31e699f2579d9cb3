package modules

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// nothing is a Runner whose nil pointer runs.
type nothing struct{}

func (*nothing) Run(context.Context) error { return nil }

// closedStore fails unless the store of c can be opened: the node that had it open has closed it.
func closedStore(t *testing.T, c *Config) {
	t.Helper()
	s, err := OpenStore(c, nil)
	if err != nil {
		t.Fatalf("the store is still open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestPanicsStopTheNode shows that a plug-in that panics, or makes nothing, ends the node with an error that names it,
// after the store was closed.
func TestPanicsStopTheNode(t *testing.T) {
	built := func(build func() (*nothing, error)) Plugin {
		return Service("bad", zero[struct{}],
			func(struct{}, *host.Host, *slog.Logger) (*nothing, error) { return build() }).OnByDefault()
	}
	source := func(run sourceFunc) Plugin {
		return Discovery("bad", zero[struct{}],
			func(struct{}, discovery.Env) (discovery.Source, error) { return run, nil })
	}
	for _, tt := range []struct {
		name   string
		plugin Plugin
		want   string
		stack  bool
	}{
		{"service panics in New", built(func() (*nothing, error) { panic("a\nb") }), "service bad: panic: a b", true},
		{"service is nil", built(func() (*nothing, error) { return nil, nil }),
			"service bad: its constructor returned nil", false},
		{"service panics in Run", service("bad", func(context.Context) error { panic(errors.New("boom")) }),
			"bad: panic: boom", true},
		{"transport is nil", Transport("tcp", zero[tcp.Config],
			func(tcp.Config) (transport.Transport, error) { return nil, nil }),
			"transport tcp: its constructor returned nil", false},
		{"source panics in Run",
			source(func(context.Context, discovery.Network, func(transport.Address, transport.NodeID)) error {
				panic("boom")
			}), "bad: panic: boom", true},
		{"extension panics", Extend("bad", func(Config) fx.Option { return fx.Invoke(func() { panic("boom") }) }),
			`panic: "boom" in func`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := quiet(t)
			c.Store.Path = "data/peers"
			if tt.plugin.kind == kindDiscovery {
				c.Discovery = []Table{{"use": "bad"}}
			}
			var log bytes.Buffer
			err := Run(t.Context(), Node(c, With(realPlugins(nil), tt.plugin)...),
				fx.Supply(slog.New(slog.NewTextHandler(&log, nil))))
			if err == nil || !strings.HasPrefix(strings.Join(strings.Fields(err.Error()), " "), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if got := strings.Contains(log.String(), "panic_test.go"); got != tt.stack {
				t.Errorf("a stack in the log: %v\n%s", got, log.String())
			}
			closedStore(t, &c)
		})
	}
}

// TestStopWhileBuilding ends the context of a node while a constructor is at work.
func TestStopWhileBuilding(t *testing.T) {
	c := quiet(t)
	c.Store.Path = "data/peers"
	entered, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	slow := Extend("slow", func(Config) fx.Option {
		return fx.Options(
			fx.Invoke(func(*host.Host) {
				close(entered)
				<-release
			}),
			// Handlers run in the order of their options: the store is closed before.
			fx.ErrorHook(closer(func() { close(done) })))
	})
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() { returned <- Run(ctx, Node(c, With(realPlugins(nil), slow)...)) }()
	<-entered
	cancel()
	if err := <-returned; err != nil {
		t.Errorf("got %v", err)
	}
	close(release)
	<-done
	closedStore(t, &c)
}
