package peerstore

import "syscall"

const hugePage = 2 << 20 // bytes, on most machines; where such pages are larger the system refuses what is not a multiple

// useHugePages asks for huge pages beneath a piece of memory, and beneath what shares its first and last page: other arrays of a book, as a rule, for Go takes memory
// from the system in pieces of many MiB. It costs nothing but the call: the system gives them as the memory is first used. If it does not want to, all is as it was.
func useHugePages(at, size uintptr) {
	from := at &^ (hugePage - 1)
	to := (at + size + hugePage - 1) &^ (hugePage - 1)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_HUGEPAGE)
}
