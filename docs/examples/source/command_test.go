package command

import (
	"context"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

const id = "0123456789abcdef0123456789abcdef01234567"

// The source reports what the program prints, also when the program fails at first.
func TestSource(t *testing.T) {
	for name, run := range map[string][]string{
		"lines": {"echo", id + "@10.0.0.1:26656"},
		"JSON":  {"echo", `[{"address":"` + id + `@10.0.0.1:26656"}]`},
		"fails": {"sh", "-c", "test -e $0 && echo $1 || { touch $0; exit 1; }", t.TempDir() + "/ran",
			id + "@10.0.0.1:26656"},
	} {
		cfg := Default()
		cfg.Run, cfg.Every = run, time.Second
		s, err := New(cfg, discovery.Env{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		found := ""
		if err := s.Run(ctx, nil, func(a transport.Address, _ transport.NodeID) {
			found = a.CometString()
			stop()
		}); err != nil || found != id+"@10.0.0.1:26656" {
			t.Errorf("%s: found %q, %v", name, found, err)
		}
		stop()
	}
}

// A program that is not there, that fails, that hangs or that prints without end gives no list.
func TestBadPrograms(t *testing.T) {
	for _, run := range [][]string{{"/does/not/exist"}, {"false"}, {"sleep", "60"}, {"yes"}} {
		s := &source{cfg: Config{Run: run, Timeout: 300 * time.Millisecond}}
		if text, err := s.ask(t.Context()); err == nil || len(text) > 0 {
			t.Errorf("%v: %d bytes, %v", run, len(text), err)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []Config{{}, {Run: []string{""}}, {Run: []string{"x"}, Every: time.Millisecond, Timeout: 1}} {
		if _, err := New(c, discovery.Env{}); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
