// Package progress shows how far a long run has come: one line on standard error that overwrites the last one. It
// prints nothing when standard error is not a terminal.
package progress

import (
	"fmt"
	"os"
)

// Show replaces the line.
func Show(format string, args ...any) {
	if i, err := os.Stderr.Stat(); err == nil && i.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
	}
}

// End removes the line.
func End() { Show("") }
