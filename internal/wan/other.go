//go:build !linux

// Command wan runs on Linux only.
package main

func main() { println("wan: only on Linux: it needs network namespaces and TUN devices") }
