//go:build !unix

package cli

import "os"

// dumpSignal: this system has none that a user can send.
var dumpSignal os.Signal
