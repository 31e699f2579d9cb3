// Package longtest lets tests of random operations run for as long as somebody wants, and again as they ran.
//
//	SWITCHYARD_MODEL_OPS     operations of each model test
//	SWITCHYARD_MODEL_SEED    where runs begin, and without a number of operations the only one: a failure names the seed of its run
//	SWITCHYARD_CRASH_ROUNDS  kills and damages of each crash test
//
// `make model` sets them.
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
)

// Count is the number that a variable holds, else the usual one.
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

// FromSeed is the seed that was asked for.
func FromSeed(t testing.TB) (seed uint64, asked bool) {
	t.Helper()
	if os.Getenv(Seed) == "" {
		return 0, false
	}
	return uint64(Count(t, Seed, 0)), true
}
