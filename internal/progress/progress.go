// Package progress shows how far a long run has come: one line on standard error, over the last one, where that is a terminal; nothing elsewhere.
package progress

import (
	"fmt"
	"os"
)

// Show prints the line, in the place of the one before.
func Show(format string, args ...any) {
	if i, err := os.Stderr.Stat(); err == nil && i.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
	}
}

// End takes the line away.
func End() { Show("") }
