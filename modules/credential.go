package modules

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// credentialPrefix begins a path that names a credential of the service manager.
const credentialPrefix = "credential:"

// maxSecret bounds a file with a token, in bytes.
const maxSecret = 4096

// Credential returns the file of a path that is credential:NAME: NAME in the folder $CREDENTIALS_DIRECTORY, which
// systemd fills (LoadCredential=NAME:FILE). Any other path is returned as it is.
func Credential(path string) (string, error) {
	name, ok := strings.CutPrefix(path, credentialPrefix)
	if !ok {
		return path, nil
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		return "", fmt.Errorf("%.120q: want credential:NAME, a name without slashes", path)
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", fmt.Errorf("%.120q: CREDENTIALS_DIRECTORY is not set: this is for a service with "+
			"LoadCredential=%s:FILE in its unit", path, name)
	}
	file := filepath.Join(dir, name)
	if _, err := os.Stat(file); err != nil {
		return "", fmt.Errorf("%.120q: %w (LoadCredential=%s:FILE in the unit brings it there)", path, err, name)
	}
	return file, nil
}

// checkCredential reports why the credential that a key names cannot be had; nil for any other path.
func (c *Config) checkCredential(key, path string) error {
	if _, err := Credential(path); err != nil {
		return c.errorAt(key, "%s", oneLine(err.Error()))
	}
	return nil
}

// CheckKey reports whether the file that identity.key names can be there: if it is a credential, nobody makes it.
func (c *Config) CheckKey() error { return c.checkCredential("identity.key", c.Identity.Key) }

// adminToken returns the token in the file of admin.token_file; "" if the key is empty.
func (c *Config) adminToken() (string, error) {
	const key = "admin.token_file"
	if c.Admin.TokenFile == "" {
		return "", nil
	}
	if err := c.checkCredential(key, c.Admin.TokenFile); err != nil {
		return "", err
	}
	f, err := os.Open(c.Path(c.Admin.TokenFile))
	if err != nil {
		return "", c.errorAt(key, "%s", oneLine(err.Error()))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", c.errorAt(key, "%s", oneLine(err.Error()))
	}
	token := strings.TrimSpace(string(b))
	if len(token) < 32 || len(token) > 1024 {
		return "", c.errorAt(key, "the file has a token of %d characters; want 32 to 1024", len(token))
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return "", c.errorAt(key, "the token in the file has a character that is no ASCII, or a space")
		}
	}
	return token, nil
}
