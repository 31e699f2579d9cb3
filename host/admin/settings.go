package admin

import (
	"context"
	"errors"
	"net/http"
)

// Settings is the configuration of a node.
type Settings interface {
	// Effective returns every key with the value that the node works with, without secrets.
	Effective() []Setting
	// Reload reads the configuration again and applies what it can. An error means that nothing has changed.
	Reload() (Reloaded, error)
}

// Setting is a key of the configuration: an element of GET /v1/config.
type Setting struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	From  string `json:"from"`            // default, file, env or flag
	Where string `json:"where,omitempty"` // such as config.toml:12, SWITCHYARD_NETWORK or --set
	Live  bool   `json:"live"`            // a reload applies it
}

// Reloaded is the answer of POST /v1/reload: the keys whose values have changed.
type Reloaded struct {
	Applied []string `json:"applied"`
	Restart []string `json:"restart"` // these keep their old values until the node starts again
}

var errNoSettings = errors.New("this node has no configuration that can be read again")

func (s *Server) config(w http.ResponseWriter, _ *http.Request) {
	if s.node.Settings == nil {
		Fail(w, http.StatusNotFound, errNoSettings)
		return
	}
	Reply(w, http.StatusOK, s.node.Settings.Effective())
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if s.node.Settings == nil {
		Fail(w, http.StatusNotFound, errNoSettings)
		return
	}
	if r.ContentLength != 0 && !read(w, r, &struct{}{}) {
		return
	}
	out, err := s.node.Settings.Reload()
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	Reply(w, http.StatusOK, out)
}

// Config returns the node's configuration.
func (c *Client) Config(ctx context.Context) ([]Setting, error) {
	return call[[]Setting](ctx, c, "GET", "/v1/config", nil)
}

// Reload makes the node read its configuration again.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	return call[Reloaded](ctx, c, "POST", "/v1/reload", struct{}{})
}
