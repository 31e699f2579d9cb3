//go:build !linux

package main

// fillDisk is for TestFullDisk, which needs Linux.
func fillDisk(string) {}
