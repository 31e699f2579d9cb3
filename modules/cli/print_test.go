package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func jsonInto(text string, v any) error { return json.Unmarshal([]byte(text), v) }

func TestClean(t *testing.T) {
	if got := clean("a\x1b[31mb\nc\u0085é"); got != "a?[31mb?c?é" {
		t.Errorf("got %q", got)
	}
	if got := clean(strings.Repeat("é", 300)); len([]rune(got)) != 203 {
		t.Errorf("%d characters", len([]rune(got)))
	}
}

func TestForPeople(t *testing.T) {
	for got, want := range map[string]string{
		span(-1): "0s", span(3200 * time.Millisecond): "3.2s", span(250 * time.Second): "4m10s",
		span(125 * time.Minute): "2h05m", span(76 * time.Hour): "3d4h",
		rtt(0): "-", rtt(0.05): "50µs", rtt(1.26): "1.3ms", rtt(250): "250ms", rtt(12_345): "12.3s",
		size(0): "0B", size(1023): "1023B", size(1536): "1.5kB", size(5 << 20): "5.0MB",
		bare("/ip4/1.2.3.4/tcp/5/mconn/abc"): "/ip4/1.2.3.4/tcp/5", bare("/ip4/1.2.3.4/tcp/5"): "/ip4/1.2.3.4/tcp/5",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTable(t *testing.T) {
	tb := table{heads: []string{"NAME", ">N"}}
	tb.add("é", "1")
	tb.add("longer\n", "100")
	want := "NAME       N\né          1\nlonger?  100"
	if got := strings.Join(tb.lines(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
