//go:build !linux

// Command e2e runs on Linux only.
package main

func main() { println("e2e: only on Linux: it needs network namespaces and TUN devices") }
