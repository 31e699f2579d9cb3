package stock

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

const (
	// ResetKeySize is the length of QUIC's stateless reset key in bytes.
	ResetKeySize = 32
	// ResetKeyFile is the name of its file in the node's folder.
	ResetKeyFile = "quic_reset_key"
)

// ResetKey reads QUIC's stateless reset key from a file. Where there is none, or one that is damaged, it makes a random
// key and the file, with mode 0600. Without the file remotes only learn later that a crashed node has lost its
// connections, so an error goes to the log, and the key is nil: one for this process alone.
func ResetKey(path string, log *slog.Logger) *[ResetKeySize]byte {
	key, err := readResetKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		log.Warn("made a new key of QUIC's resets", slog.String("file", path), slog.String("error", err.Error()))
	}
	if key != nil {
		return key
	}
	key = new([ResetKeySize]byte)
	_, _ = rand.Read(key[:]) // never fails
	if err := writeResetKey(path, key); err != nil {
		log.Warn("cannot keep the key of QUIC's resets: after a crash, peers take longer to notice",
			slog.String("file", path), slog.String("error", err.Error()))
		return nil
	}
	return key
}

func readResetKey(path string) (*[ResetKeySize]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() != ResetKeySize {
		return nil, fmt.Errorf("it is not a file of %d bytes", ResetKeySize)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var key [ResetKeySize]byte
	if _, err := io.ReadFull(f, key[:]); err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		_ = os.Chmod(path, 0o600)
	}
	return &key, nil
}

// writeResetKey puts the file in place whole or not at all.
func writeResetKey(path string, key *[ResetKeySize]byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".quic_reset_key-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(key[:])
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
