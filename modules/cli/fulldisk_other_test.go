//go:build !linux

package cli

// fillDisk is for TestFullDisk, which needs Linux.
func fillDisk(string) {}
