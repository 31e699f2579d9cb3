package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/switchyard-p2p/switchyard/modules"
)

// adminSocket is the name of the socket of the admin API among those that a service manager passes.
const adminSocket = "admin"

const (
	firstSocket = 3 // its file descriptor: after those of standard input, output and error
	mostSockets = 16
)

// passedSocket returns the socket for the admin API that a service manager listens on and has passed, as systemd's
// sd_listen_fds(3) has it; nil if it has passed none. It takes the variables away, as no child process is meant.
func passedSocket() (*modules.AdminListener, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	if count == "" || pid != strconv.Itoa(os.Getpid()) { // they are another process's
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > mostSockets {
		return nil, fmt.Errorf("LISTEN_FDS=%.20q: want a number up to %d", count, mostSockets)
	}
	files := make([]*os.File, n)
	for i := range files {
		closeOnExec(firstSocket + i)
		files[i] = os.NewFile(uintptr(firstSocket+i), "socket")
	}
	var out *modules.AdminListener
	named := strings.Split(names, ":")
	for i, f := range files {
		switch {
		case i >= len(named) || named[i] != adminSocket:
			name := "without a name"
			if i < len(named) && named[i] != "" {
				name = strconv.QuoteToASCII(named[i])
			}
			err = errors.Join(err, fmt.Errorf("the service manager passed a socket %s: this program takes one of the "+
				"name %s (FileDescriptorName=%s), for the admin API", name, adminSocket, adminSocket))
		case out != nil:
			err = errors.Join(err, fmt.Errorf("the service manager passed two sockets of the name %s", adminSocket))
		default:
			ln, lerr := net.FileListener(f)
			if lerr != nil {
				err = errors.Join(err, fmt.Errorf("the socket %s of the service manager: %w", adminSocket, lerr))
				break
			}
			out = &modules.AdminListener{Listener: ln}
		}
		_ = f.Close() // the listener has a copy
	}
	if err != nil && out != nil {
		_ = out.Close()
	}
	return out, err
}
