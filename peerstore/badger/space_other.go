//go:build !linux && !darwin

package badger

import "math"

func freeSpace(string) uint64 { return math.MaxUint64 }
