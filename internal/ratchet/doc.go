// Package ratchet bounds what makes a tree hard to read: optional interfaces, wide types, long files and lines, and the
// number of functions that one message or one dial runs through. Its test prints every figure beside its bound and
// fails when one grows. `make ratchets` runs it; bounds are lowered when a figure falls, and never raised to let a
// change pass.
package ratchet
