package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func jsonInto(text string, v any) error { return json.Unmarshal([]byte(text), v) }

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
	tb.add("东京\u202e", "2") // two columns each, and what would turn the row around goes
	want := "NAME       N\né          1\nlonger?  100\n东京       2"
	if got := strings.Join(tb.lines(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
