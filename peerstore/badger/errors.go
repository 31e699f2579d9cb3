package badger

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// Errors of Open and of what persists, wrapped in a *StoreError.
var (
	// ErrInUse says that another process has the store open.
	ErrInUse = errors.New("in use by another process")
	// ErrNotFolder says that the path, or one above it, is a file.
	ErrNotFolder = errors.New("is a file, not a folder")
	// ErrNewer says that a later version of this program wrote the store.
	ErrNewer = errors.New("written by a later version of this program")
	// ErrDiskFull says that too little space is left to write safely: see Options.MinFree. It is a syscall.ENOSPC.
	ErrDiskFull = fmt.Errorf("too little disk space: %w", syscall.ENOSPC)
)

// StoreError says what failed, and on which store.
type StoreError struct {
	Op   string // "open", "write", "close", ...
	Path string
	Err  error
}

// Error is one line, whatever the database's errors are.
func (e *StoreError) Error() string {
	return strings.ReplaceAll(fmt.Sprintf("peer store %s: %s: %v", e.Path, e.Op, e.Err), "\n", "; ")
}

func (e *StoreError) Unwrap() error { return e.Err }
