package live

import (
	"strings"
	"testing"
)

func TestDemoKeys(t *testing.T) {
	s := NewDemo("switchyard")
	s.Set(demoOf(8, 4))
	for _, tt := range []struct {
		keys string
		want Action
	}{
		{"k", Kill{1}}, {"down k", Kill{2}}, {"end k", Kill{8}}, {"home r", Revive{4}}, {"s", Send{1}}, {"o", Open{}},
		{"c", Cut{1, 0}}, {"enter down down c", Cut{1, 5}}, {"esc down c", Cut{2, 0}}, {"? k", nil}, {"? q", Quit{}},
		{"/ 6 enter k", Kill{6}}, {"esc / q u i", nil}, {"enter k", Kill{4}}, {"esc q", Quit{}},
	} {
		var got Action
		for _, k := range strings.Fields(tt.keys) {
			got = s.Key(k)
		}
		if got != tt.want {
			t.Errorf("%s: %v, want %v", tt.keys, got, tt.want)
		}
	}
	s.Set(demoOf(2))
	if got := s.Key("r"); got != nil || s.input.notice != "all nodes run" {
		t.Errorf("r: %v, %q", got, s.input.notice)
	}
}

// The header keeps the time in which the network has formed, and wires have colours besides shapes.
func TestDemoColours(t *testing.T) {
	s := NewDemo("switchyard")
	s.Set(demoOf(8))
	text := strings.Join(s.Frame(looks[1]), "\n")
	for _, want := range []string{"\x1b[33m●", "\x1b[34m■", "\x1b[36m◆", "\x1b[32mall linked in 1.9 s"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}
