//go:build !unix

package cli

// closeOnExec does nothing: no service manager of this system passes sockets.
func closeOnExec(int) {}
