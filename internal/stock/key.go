package stock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// NodeKey reads a node key file. Where there is none it makes a key, and the file with its folder.
func NodeKey(path string) (key *handshake.NodeKey, made bool, err error) {
	key, err = handshake.LoadNodeKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	if key, err = handshake.GenerateNodeKey(); err != nil {
		return nil, false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, false, err
	}
	return key, true, handshake.SaveNodeKey(path, key)
}
