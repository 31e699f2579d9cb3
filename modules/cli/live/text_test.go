package live

import (
	"strings"
	"testing"
	"time"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b[31mb\nc\u0085é":          "a?[31mb?c?é",
		"\u202egnp.exe":                 "gnp.exe", // would read from right to left
		"a\u200bb\u200dc\ufeffd\u2060e": "abcde",
		"\u2066x\u2069\u061c":           "x",
		"no\u00a0break\u3000wide":       "no break wide",
		"two\u2028lines":                "two lines",
		"\u115f\u3164fill\u034f":        "fill",
		"tag\U000e0041\U000e007f":       "tag",
		"x\ufe0f":                       "x",
		"👍🏽":                            "👍",
		"e\u0301\u0301\u0301\u0301!":    "e\u0301\u0301!",
		"\xff\xfe":                      "??",
		"\ue000":                        "?",
		"\U0010ffff":                    "?",
		"东京🚂":                           "东京🚂",
		"":                              "",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Clean(strings.Repeat("é", 300)); len([]rune(got)) != maxText+3 {
		t.Errorf("%d characters", len([]rune(got)))
	}
}

// FuzzClean: whatever a remote says, what is left takes one line, changes nothing around it, and passes unchanged.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"node-1", "\x1b]0;x\a", "a\u202eb", "👨\u200d👩\u200d👧", "\xc3\x28",
		strings.Repeat("\u0301", 50), "..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		for _, r := range got {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || invisible(r) {
				t.Errorf("%q has %q", got, r)
			}
		}
		if n := len([]rune(got)); n > maxText+3 {
			t.Errorf("%d characters", n)
		}
		if len([]rune(s)) < maxText {
			if again := Clean(got); again != got {
				t.Errorf("%q, then %q", got, again)
			}
		}
	})
}

func TestWidth(t *testing.T) {
	for in, want := range map[string]int{"": 0, "abc": 3, "é": 1, "e\u0301": 1, "东京": 4, "🚂": 2,
		"\x1b[31mred\x1b[m": 3, "●■◆": 3, "👍": 2} {
		if got := Width(in); got != want {
			t.Errorf("Width(%q) = %d, want %d", in, got, want)
		}
	}
	if got := pad(cut("东京都庁舎", 6, "…"), 8, false); Width(got) != 8 {
		t.Errorf("%q has %d columns", got, Width(got))
	}
}

func TestForPeople(t *testing.T) {
	for got, want := range map[string]string{
		count(0): "0", count(999): "999", count(1204): "1,204", count(1234567): "1,234,567", count(-1234): "-1,234",
		rate(0): "0", rate(812): "812 B/s", rate(1200): "1.2 kB/s", rate(41_000): "41 kB/s", rate(1.24e6): "1.2 MB/s",
		rate(999_600): "1.0 MB/s", trip(0): "-", trip(300 * time.Microsecond): "0.3ms",
		trip(41 * time.Millisecond): "41ms",
		trip(20 * time.Microsecond): "0.02ms", trip(1200 * time.Millisecond): "1.2s",
		clock(12 * time.Second): "0:12", clock(3*time.Hour + 65*time.Second): "3:01:05", clock(-1): "0:00",
		span(12 * time.Second): "12 s", span(250 * time.Second): "4m10s", span(76 * time.Hour): "3d4h",
		plural(1, "node"): "1 node", plural(2, "node"): "2 nodes",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestUTF8(t *testing.T) {
	for _, tt := range []struct {
		env  string
		want bool
	}{{"LANG=en_US.UTF-8", true}, {"LANG=C", false}, {"", false}, {"LANG=en_US.UTF-8 LC_ALL=C", false},
		{"LC_CTYPE=C.utf8", true}} {
		if got := isUTF8(strings.Fields(tt.env)); got != tt.want {
			t.Errorf("%q: %v", tt.env, got)
		}
	}
}
