package signergrpc

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// listenUnix listens on a socket that only our user can reach. A socket that a killed signer left behind is replaced.
func listenUnix(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := checkFolder(dir); err != nil {
		return nil, err
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there and not a socket: choose another path, or remove it", path)
	default:
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("%s: another signer listens there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil { // until then its folder keeps others out
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// checkFolder refuses a folder that others may look into: they could connect, or put a socket of theirs there.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("others may enter %s (mode %04o), the folder of the signer's socket: run chmod 700, "+
			"or give the socket a folder of its own", dir, mode)
	}
	if uid, ok := ownerOf(info); !ok || uid != os.Getuid() {
		return fmt.Errorf("%s, the folder of the signer's socket, belongs to another user", dir)
	}
	return nil
}

// checkPeer refuses the other end of a unix connection if it is of another user. root may be there.
func checkPeer(conn net.Conn) error {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("a %T is no unix socket", conn)
	}
	uid, err := peerUID(c)
	if err != nil {
		return fmt.Errorf("cannot find out the user of the other end: %w", err)
	}
	return checkUser(uid, os.Getuid())
}

// checkUser refuses a user other than our own, and root.
func checkUser(uid, own int) error {
	if uid != 0 && uid != own {
		return fmt.Errorf("the other end is of user %d, want %d", uid, own)
	}
	return nil
}
