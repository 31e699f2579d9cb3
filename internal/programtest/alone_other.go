//go:build !linux

package programtest

import "testing"

// Alone skips the test: only Linux has networks of one process.
func Alone(t *testing.T) bool {
	t.Helper()
	t.Skip("it needs Linux")
	return false
}
