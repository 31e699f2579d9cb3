// Package longtest reads how long tests run, and the seed with which to repeat one of random operations.
//
//	SWITCHYARD_MODEL_OPS     operations of each model test
//	SWITCHYARD_MODEL_SEED    seed of the first run; the only run without SWITCHYARD_MODEL_OPS (failures name it)
//	SWITCHYARD_CRASH_ROUNDS  kills or damages in each crash test
//	SWITCHYARD_LONG          any value: whole networks of all sizes, not only of those that take seconds; storms
//
// `make model`, `make crash`, `make networks` and `make golibp2p-storm` set them.
package longtest

import (
	"os"
	"strconv"
	"testing"
)

// The names of the environment variables.
const (
	Ops    = "SWITCHYARD_MODEL_OPS"
	Seed   = "SWITCHYARD_MODEL_SEED"
	Rounds = "SWITCHYARD_CRASH_ROUNDS"
	long   = "SWITCHYARD_LONG"
)

// Count returns the number in the environment variable name, or usual if it is not set.
func Count(t testing.TB, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number above 0", name, text)
	}
	return n
}

// Long reports whether tests may take minutes each.
func Long() bool { return os.Getenv(long) != "" }

// FromSeed returns the seed of the environment, and whether there is one.
func FromSeed(t testing.TB) (seed uint64, asked bool) {
	t.Helper()
	if os.Getenv(Seed) == "" {
		return 0, false
	}
	return uint64(Count(t, Seed, 0)), true
}
