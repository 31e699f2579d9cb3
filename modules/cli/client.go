package cli

import (
	"fmt"
	"net"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// client returns a client of the admin API of the node in the home.
func (h *home) client() (*admin.Client, error) {
	cfg, err := h.read()
	if err != nil {
		return nil, err
	}
	if cfg.Admin.Address == "" {
		return nil, fmt.Errorf("the admin API of %s is off: set admin.address in its %s", cfg.Home, configName)
	}
	if host, port, err := net.SplitHostPort(cfg.Admin.Address); err == nil && port == "0" {
		return nil, fmt.Errorf("admin.address %s has no fixed port: give the real one with --set admin.address=%s:PORT",
			cfg.Admin.Address, host)
	}
	c, err := cfg.AdminClient()
	if err == nil && h.timeout > 0 {
		c.SetTimeout(h.timeout)
	}
	return c, err
}
