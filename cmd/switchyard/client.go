package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// client talks to the admin API of the node whose home is given.
type client struct {
	address string
	http    *http.Client
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

func (h *home) client() (*client, error) {
	cfg, err := h.config()
	if err != nil {
		return nil, err
	}
	if cfg.Admin.Address == "" {
		return nil, fmt.Errorf("the admin API of %s is off: set admin.address in its %s", cfg.Home, configName)
	}
	host, port, err := net.SplitHostPort(cfg.Admin.Address)
	if err != nil {
		return nil, err
	}
	if port == "0" {
		return nil, fmt.Errorf("admin.address %s has no fixed port: give the real one with --set admin.address=%s:PORT", cfg.Admin.Address, host)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() { // where it listens, not where it can be reached
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	transport := &http.Transport{DisableKeepAlives: true} // one call, and no proxy between us and the node
	return &client{address: net.JoinHostPort(host, port), http: &http.Client{Transport: transport, Timeout: 30 * time.Second}}, nil
}

// call makes one request and returns the answer's body. body is sent as JSON when it is not nil.
func (c *client) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	var send io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		send = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.address+path, send)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("no node answers at %s: is it running? (switchyard start; the address is admin.address)", c.address)
	}
	if err != nil {
		return nil, fmt.Errorf("admin API at %s: %w", c.address, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("admin API at %s: %w", c.address, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, &apiError{c.address, resp.StatusCode, errorText(data)}
	}
	return data, nil
}

// apiError is the node's refusal of a call.
type apiError struct {
	address string
	status  int
	text    string
}

func (e *apiError) Error() string {
	text := e.text
	if text == "" {
		text = http.StatusText(e.status)
	}
	return fmt.Sprintf("the node at %s refused: %s", e.address, clean(text))
}

// errorText finds the reason in an answer: {"error": "..."} or plain text.
func errorText(data []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(data, &e) == nil && e.Error != "" {
		return e.Error
	}
	return strings.TrimSpace(string(data))
}

// get reads an answer into v and hands over its bytes.
func (c *client) get(ctx context.Context, path string, v any) ([]byte, error) {
	data, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("admin API at %s: this is not a Switchyard node's answer: %w", c.address, err)
	}
	return data, nil
}
