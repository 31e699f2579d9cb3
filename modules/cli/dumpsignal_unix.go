//go:build unix

package cli

import (
	"os"
	"syscall"
)

// dumpSignal makes a node log its goroutines.
var dumpSignal os.Signal = syscall.SIGUSR1
