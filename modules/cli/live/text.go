package live

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// maxText is the most characters of a remote text that Clean keeps.
const maxText = 200

// maxMarks is how many combining marks in a row Clean keeps.
const maxMarks = 2

// Clean makes text from a remote safe for a terminal, and its width predictable. Control characters become "?", and so
// do bytes that are not UTF-8. What would reorder or hide text goes: bidirectional controls, zero-width characters,
// variation selectors, tags, emoji modifiers, and combining marks beyond two in a row. Other spaces become a space.
// Text of more than 200 characters is cut.
func Clean(s string) string {
	var b strings.Builder
	kept, marks := 0, 0
	for _, r := range s {
		switch {
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Co, r) || unassigned(r):
			r = '?'
		case unicode.Is(unicode.Zs, r) || r == 0x2028 || r == 0x2029 || r == 0x2800: // a Braille blank, too
			r = ' '
		case invisible(r):
			continue
		}
		if unicode.Is(unicode.M, r) {
			if marks++; marks > maxMarks {
				continue
			}
		} else {
			marks = 0
		}
		if kept++; kept > maxText {
			b.WriteString("...")
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// invisible reports whether a character has no width of its own, or changes how others look.
func invisible(r rune) bool {
	switch {
	case unicode.Is(unicode.Cf, r): // bidirectional controls, zero-width spaces and joiners, soft hyphens, tags
		return true
	case unicode.Is(unicode.Variation_Selector, r), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
		return true // fillers and the grapheme joiner are among the latter
	}
	return r >= 0x1f3fb && r <= 0x1f3ff // emoji modifiers, which terminals measure differently
}

// unassigned reports whether a character is none that this program knows, so that its width is not known either.
func unassigned(r rune) bool {
	return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf,
		unicode.Co) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// Width returns how many columns a text takes. Colours take none.
func Width(s string) int { return ansi.StringWidthWc(s) }

// pad fills a text with spaces to n columns, on its right, or on its left.
func pad(s string, n int, left bool) string {
	space := strings.Repeat(" ", max(0, n-Width(s)))
	if left {
		return space + s
	}
	return s + space
}

// cut shortens a text to n columns. Its last one is then tail.
func cut(s string, n int, tail string) string {
	if n <= 0 {
		return ""
	}
	return ansi.TruncateWc(s, n, tail)
}

// wrap breaks a text into lines of at most n columns.
func wrap(s string, n int) []string {
	if n < 1 {
		return nil
	}
	return strings.Split(ansi.WrapWc(s, n, "/"), "\n")
}

// count formats a number with separators: 1,204.
func count[N ~int | ~int64 | ~uint64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// rate formats bytes a second: 0, 812 B/s, 41 kB/s, 1.2 MB/s.
func rate(perSecond float64) string {
	switch {
	case perSecond < 0.5:
		return "0"
	case perSecond < 999.5:
		return fmt.Sprintf("%.0f B/s", perSecond)
	}
	units := "kMGTPE"
	for perSecond /= 1000; perSecond >= 999.5 && len(units) > 1; units = units[1:] {
		perSecond /= 1000
	}
	if perSecond < 9.95 {
		return fmt.Sprintf("%.1f %cB/s", perSecond, units[0])
	}
	return fmt.Sprintf("%.0f %cB/s", perSecond, units[0])
}

// trip formats a round trip: 0.3ms, 41ms, 1.2s.
func trip(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case d <= 0:
		return "-"
	case ms < 0.095:
		return fmt.Sprintf("%.2fms", max(ms, 0.01))
	case ms < 9.95:
		return fmt.Sprintf("%.1fms", ms)
	case ms < 999.5:
		return fmt.Sprintf("%.0fms", ms)
	}
	return fmt.Sprintf("%.1fs", ms/1000)
}

// clock formats how long something has run: 0:12, 4:10, 2:05:09.
func clock(d time.Duration) string {
	s := int(max(d, 0) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// span formats a duration: 12 s, 4m10s, 2h05m, 3d4h.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(d, 0)/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// plural returns "1 node", "2 nodes".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}
