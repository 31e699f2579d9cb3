package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Modes of a socket.
const (
	ownerSocket = fs.FileMode(0o600)
	groupSocket = fs.FileMode(0o660)
)

// checkSocket refuses a mode and a group that make no sense.
func checkSocket(c *Config) error {
	switch {
	case c.SocketMode != ownerSocket && c.SocketMode != groupSocket:
		return fmt.Errorf("admin: socket mode %#o: want 0600 or 0660", uint32(c.SocketMode))
	case c.Group != "" && c.SocketMode != groupSocket:
		return errors.New("admin: a group needs the socket mode 0660")
	}
	return nil
}

// listen listens at an address that is valid. A socket that a process has left behind is replaced. Any other file, and
// a socket on which somebody listens, is left alone.
func listen(ctx context.Context, c *Config) (net.Listener, error) {
	network, where, err := ParseAddress(c.Address)
	if err != nil {
		return nil, err
	}
	if network != "unix" {
		return new(net.ListenConfig).Listen(ctx, network, where)
	}
	cfg := net.ListenConfig{Control: narrow}
	ln, err := cfg.Listen(ctx, network, where)
	if errors.Is(err, syscall.EADDRINUSE) {
		info, lerr := os.Lstat(where)
		if lerr == nil && info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s exists and is not a socket: it is left as it is", where)
		}
		there, derr := new(net.Dialer).DialContext(ctx, network, where)
		if derr == nil {
			_ = there.Close()
		} else if errors.Is(derr, syscall.ECONNREFUSED) && os.Remove(where) == nil {
			ln, err = cfg.Listen(ctx, network, where)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := own(where, c); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
}

// own gives a socket its group and its mode, in this order: before, only its owner opens it.
func own(where string, c *Config) error {
	if c.Group != "" {
		gid, err := groupID(c.Group)
		if err != nil {
			return fmt.Errorf("admin.group: %w", err)
		}
		if gid != os.Getegid() { // a sandbox may forbid any chown
			if err := os.Chown(where, -1, gid); err != nil {
				return err
			}
		}
	}
	return os.Chmod(where, c.SocketMode)
}

// groupID returns the number of a group: of its name, or as it is.
func groupID(name string) (int, error) {
	if gid, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(gid), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
