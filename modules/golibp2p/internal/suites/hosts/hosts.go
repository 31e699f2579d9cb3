// Package hosts makes the hosts of others' tests: go-libp2p's own, or Switchyard's. Its subpackages stand in for those
// of go-libp2p that make hosts, with what the tests need of them.
package hosts

import (
	"cmp"
	"os"
)

// Variant says what the hosts are: "stock" for go-libp2p's, or how ours are secured and carried.
func Variant() string { return cmp.Or(os.Getenv("SUITES_VARIANT"), "stock") }

// Stock reports whether the hosts are go-libp2p's own.
func Stock() bool { return Variant() == "stock" }
