package handshake

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
)

// The node key file is the one that CometBFT writes (p2p/key.go), so that a node can keep its identity when it changes
// stacks:
//
//	{"priv_key":{"type":"tendermint/PrivKeyEd25519","value":"<base64 of 64 bytes: seed, then public key>"}}
//
// Other members are ignored: Tendermint 0.35 also wrote an "id". But those of a validator key are refused: it has the
// same form, and must sign nothing else.
type keyFile struct {
	Address json.RawMessage `json:"address"` // of a validator key, as is PubKey
	PubKey  json.RawMessage `json:"pub_key"`
	PrivKey *struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"priv_key"`
}

const (
	keyFileType = "tendermint/PrivKeyEd25519"
	// maxKeyFile bounds what is read of a key file, in bytes. A real one has about 150.
	maxKeyFile = 4096

	mendKeyFile = "; put back a copy, or remove it: then a new key is made, and the node has another id"
)

// KeyFileError reports what is wrong with a node key file.
type KeyFileError struct {
	Path string // empty when the bytes came from elsewhere
	Why  string
	Err  error // the cause underneath, such as fs.ErrNotExist; may be nil
}

func (e *KeyFileError) Error() string {
	s := "node key"
	if e.Path != "" {
		s += " " + e.Path
	}
	s += ": " + e.Why
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *KeyFileError) Unwrap() error { return e.Err }

// LoadNodeKey reads a node key file. Its errors are *KeyFileError; that of a missing file wraps fs.ErrNotExist. A file
// that others may read is accepted with a NodeKey.Warning.
func LoadNodeKey(path string) (*NodeKey, error) {
	// Look before opening: to open a named pipe would wait for its other end.
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if to, err := os.Readlink(path); err == nil {
			return nil, &KeyFileError{path,
				fmt.Sprintf("is a link to %.100q, which is not there; mount or restore that, "+
					"or remove the link", to), nil}
		}
		return nil, &KeyFileError{path, "there is no such file", fs.ErrNotExist}
	case err != nil:
		return nil, &KeyFileError{path, "cannot be read", cause(err)}
	case !info.Mode().IsRegular():
		return nil, &KeyFileError{path, "is not a regular file", nil}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &KeyFileError{path, "cannot be read", cause(err)}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, &KeyFileError{path, "cannot be read", cause(err)}
	}
	key, err := ParseNodeKey(data)
	if err != nil {
		var bad *KeyFileError
		if errors.As(err, &bad) {
			bad.Path = path
		}
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		key.warning = &KeyFileError{path, fmt.Sprintf("others may use it (mode %04o): run chmod 600", mode), nil}
	}
	return key, nil
}

// ParseNodeKey reads the content of a node key file. Its errors are *KeyFileError, and never show the secret.
func ParseNodeKey(data []byte) (*NodeKey, error) {
	if len(data) > maxKeyFile {
		return nil, &KeyFileError{Why: fmt.Sprintf("longer than %d bytes: this is no node key file", maxKeyFile)}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // as some editors write
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, &KeyFileError{Why: "is empty" + mendKeyFile}
	}
	var file keyFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, &KeyFileError{Why: "is cut, or not the JSON of a node key" + mendKeyFile, Err: err}
	}
	switch {
	case file.PubKey != nil || file.Address != nil:
		return nil, &KeyFileError{Why: "is a validator key (priv_validator_key.json), which must never be a node's " +
			"key; " +
			"name the node_key.json beside it, or leave the file out to get a new one"}
	case file.PrivKey == nil:
		return nil, &KeyFileError{Why: `has no "priv_key"`}
	case file.PrivKey.Type != keyFileType:
		return nil, &KeyFileError{Why: fmt.Sprintf("key type is %.60q, only %q is supported", file.PrivKey.Type,
			keyFileType)}
	}
	secret, err := base64.StdEncoding.DecodeString(file.PrivKey.Value)
	if _, hexErr := hex.DecodeString(file.PrivKey.Value); hexErr == nil {
		return nil, &KeyFileError{Why: "the key is written in hex: write the same bytes in base64"}
	}
	if _, urlErr := base64.URLEncoding.DecodeString(file.PrivKey.Value); err != nil && urlErr == nil {
		return nil, &KeyFileError{Why: "the key is URL-safe base64: write + for - and / for _"}
	}
	if err != nil {
		return nil, &KeyFileError{Why: "the key is not base64" + mendKeyFile, Err: err}
	}
	if len(secret) == SeedSize {
		return nil, &KeyFileError{Why: fmt.Sprintf("the key has %d bytes, want %d: its public half is missing; "+
			"append those 32 bytes before base64", len(secret), keycrypto.Ed25519PrivateSize)}
	}
	if len(secret) != keycrypto.Ed25519PrivateSize {
		return nil, &KeyFileError{Why: fmt.Sprintf("the key has %d bytes, want %d", len(secret),
			keycrypto.Ed25519PrivateSize)}
	}
	whole := keycrypto.Ed25519FromSeed([SeedSize]byte(secret))
	if subtle.ConstantTimeCompare(whole, secret) != 1 {
		return nil, &KeyFileError{Why: "the public half of the key does not belong to its secret half: the file is " +
			"damaged" + mendKeyFile}
	}
	return newNodeKey(whole), nil
}

// encode returns the content of the key's file.
func (k *NodeKey) encode() []byte {
	return fmt.Appendf(nil, "{\"priv_key\":{\"type\":%q,\"value\":%q}}\n", keyFileType,
		base64.StdEncoding.EncodeToString(k.secret))
}

// SaveNodeKey writes k to a new file that only its owner may read, whole or not at all, and returns when it is on the
// disk. It never overwrites: an existing file of any kind is a *KeyFileError that wraps fs.ErrExist.
func SaveNodeKey(path string, k *NodeKey) error {
	// The name appears only when the content is complete: a hard link, unlike a rename, fails when the name is taken.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".node_key-*")
	if err != nil {
		return &KeyFileError{path, "cannot be written", cause(err)}
	}
	defer os.Remove(tmp.Name())
	if err := fill(tmp, k.encode()); err != nil {
		return &KeyFileError{path, "cannot be written", cause(err)}
	}
	err = os.Link(tmp.Name(), path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		// A file system without hard links: create the name itself, which a crash may leave incomplete.
		var f *os.File
		if f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			if err = fill(f, k.encode()); err != nil {
				_ = os.Remove(path) // it is ours: O_EXCL made it
			}
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return &KeyFileError{path, "exists already, and a node key is never overwritten", fs.ErrExist}
	}
	if err != nil {
		return &KeyFileError{path, "cannot be written", cause(err)}
	}
	return syncDir(filepath.Dir(path))
}

// fill writes data to f, private to its owner, onto the disk, and closes f.
func fill(f *os.File, data []byte) error {
	err := f.Chmod(0o600)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// syncDir puts a directory's entries onto the disk, where the file system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return &KeyFileError{dir, "cannot be synced", cause(err)}
	}
	defer d.Close()
	_ = d.Sync() // some file systems refuse to sync a directory; the file itself is synced
	return nil
}

// cause takes the path out of a *PathError: KeyFileError names it already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		return le.Err
	}
	return err
}
