package admin

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
)

// TokenName is the file in a node's home that holds the token of its present start.
const TokenName = "admin.token"

const (
	tokenBytes  = 32
	leastToken  = 32   // characters of a token that the program chooses
	maxTokenLen = 1024 // bytes of a file that is read as a token
)

func newToken() string {
	var b [tokenBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// writeToken makes a file that only its owner reads. What was there is removed, not followed.
func writeToken(path, token string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(token + "\n")
	return errors.Join(err, f.Close())
}

// removeToken removes a file that still holds the token.
func removeToken(path, token string) {
	if got, err := readToken(path); err == nil && got == token {
		_ = os.Remove(path)
	}
}

func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTokenLen))
	return string(bytes.TrimSpace(b)), err
}

// Token returns the token that requests need (Config.Protect): Config.Token, or the one that New made.
func (s *Server) Token() string { return s.cfg.Token }

// URL returns the address of the live page, once Listening is closed. Its fragment has the token, unless none is
// needed; a browser keeps a fragment to itself. Over a socket there is no page: "".
func (s *Server) URL() string {
	url := s.pageURL()
	if url != "" && s.cfg.Protect != ProtectNone {
		url += "#token=" + s.cfg.Token
	}
	return url
}

func (s *Server) pageURL() string {
	a, ok := s.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	return "http://" + reachable(a.String()) + "/"
}

// ClientOption is an option of NewClient.
type ClientOption func(*Client)

// WithToken makes a client send a token: Server.Token has it.
func WithToken(token string) ClientOption {
	return func(c *Client) { c.token = func() (string, error) { return token, nil } }
}

// WithTokenFile makes a client send the token in a file: admin.token in a node's home. It is read anew for each request
// that needs it, so that the client outlives a restart of the node.
func WithTokenFile(path string) ClientOption {
	return func(c *Client) { c.token = func() (string, error) { return readToken(path) } }
}

// sign adds the token to a request that may need it. The error says why there is none.
func (c *Client) sign(r *http.Request) error {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if c.token == nil || read && r.URL.Path != "/metrics" && !strings.HasPrefix(r.URL.Path, "/debug/") {
		return nil
	}
	token, err := c.token()
	if err == nil && token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return err
}
