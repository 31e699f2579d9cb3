package admin

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// maxAnswer bounds what a client reads: 10,000 known peers of 8 addresses take about 30 MB.
const maxAnswer = 64 << 20

// callTimeout bounds every call; one that dials may take longer.
const callTimeout = 10 * time.Second

// Client calls the admin API of a node. Its methods may be called concurrently. Errors are *APIError if the node
// answered, and *UnreachableError if it did not.
type Client struct {
	address string // as errors show it
	host    string // in URLs
	http    *http.Client
	token   func() (string, error) // nil: none
	timeout time.Duration          // of a call; 0 means callTimeout
}

// NewClient returns a client of the API at address (host:port or unix:///path, as in the node's configuration). It does
// not connect yet. Over TCP, methods that change something need WithToken or WithTokenFile.
func NewClient(address string, opts ...ClientOption) (*Client, error) {
	network, where, err := ParseAddress(address)
	if err != nil {
		return nil, fmt.Errorf("admin address %.120q: %w", address, err)
	}
	if network == "unix" {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, where)
		}
		return &Client{address: address, host: "localhost",
			http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}}, nil
	}
	address = reachable(where)
	c := &Client{address: address, host: address,
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	for _, opt := range opts {
		opt(c)
	}
	return c, nil
}

// SetTimeout bounds every later call, and how long a stream may take to begin. 0 means 10 seconds.
func (c *Client) SetTimeout(d time.Duration) { c.timeout = d }

// patience is how long a call may take.
func (c *Client) patience() time.Duration { return cmp.Or(c.timeout, callTimeout) }

// APIError is an answer that is not a success.
type APIError struct {
	Status  int // of HTTP
	Message string
	Reason  *Reason // why a dial failed, where known
}

func (e *APIError) Error() string { return e.Message }

// UnreachableError reports that no node answered.
type UnreachableError struct {
	Address string
	Err     error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no node answers at %s: %v (does it run, and is admin.address right?)", e.Address, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Status returns the state of the node.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, "GET", "/v1/status", nil)
}

// Peers returns the links that are up.
func (c *Client) Peers(ctx context.Context) ([]Peer, error) {
	return call[[]Peer](ctx, c, "GET", "/v1/peers", nil)
}

// Store returns up to limit known peers, best ranked first; 0 means the node's default of 100.
func (c *Client) Store(ctx context.Context, limit int) ([]KnownPeer, error) {
	path := "/v1/store"
	if limit != 0 {
		path += "?limit=" + strconv.Itoa(limit)
	}
	return call[[]KnownPeer](ctx, c, "GET", path, nil)
}

// Dial makes the node connect to an address, and returns once the link is up.
func (c *Client) Dial(ctx context.Context, address string) (Peer, error) {
	return call[Peer](ctx, c, "POST", "/v1/dial", dialRequest{Address: address})
}

// Disconnect ends a link.
func (c *Client) Disconnect(ctx context.Context, id transport.NodeID) error {
	_, err := call[any](ctx, c, "POST", "/v1/disconnect", disconnectRequest{NodeID: string(id)})
	return err
}

// Bans returns the bans that hold.
func (c *Client) Bans(ctx context.Context) ([]Ban, error) {
	return call[[]Ban](ctx, c, "GET", "/v1/bans", nil)
}

// Ban bans a node id, an IP address or a CIDR for d; 0 means forever.
func (c *Client) Ban(ctx context.Context, target string, d time.Duration, reason string) (Ban, error) {
	in := banRequest{Target: target, Reason: reason}
	if d != 0 {
		in.For = d.String()
	}
	return call[Ban](ctx, c, "POST", "/v1/ban", in)
}

// ForceBan is Ban for a target that covers a large part of the Internet, or more than half of the links, which Ban
// refuses (409).
func (c *Client) ForceBan(ctx context.Context, target string, d time.Duration, reason string) (Ban, error) {
	in := banRequest{Target: target, Reason: reason, Force: true}
	if d != 0 {
		in.For = d.String()
	}
	return call[Ban](ctx, c, "POST", "/v1/ban", in)
}

// Unban lifts a ban.
func (c *Client) Unban(ctx context.Context, target string) error {
	_, err := call[any](ctx, c, "DELETE", "/v1/ban/"+url.PathEscape(target), nil)
	return err
}

// Protect gives a peer a role. An *APIError with a Reason says why its address was refused.
func (c *Client) Protect(ctx context.Context, r Role) (Role, error) {
	return call[Role](ctx, c, "POST", "/v1/protect", r)
}

// Unprotect takes all of a peer's role back.
func (c *Client) Unprotect(ctx context.Context, id transport.NodeID) error {
	_, err := call[any](ctx, c, "DELETE", "/v1/protect/"+url.PathEscape(string(id)), nil)
	return err
}

// Healthy returns nil if the node listens.
func (c *Client) Healthy(ctx context.Context) error {
	_, err := call[any](ctx, c, "GET", "/healthz", nil)
	return err
}

// Events calls fn with each event from now on, until ctx ends, the node stops, or fn returns an error. ready, if not
// nil, is called once the stream has begun.
func (c *Client) Events(ctx context.Context, ready func(), fn func(Event) error) error {
	return follow(ctx, c, "/v1/events", ready, fn)
}

// ServiceEvents calls fn with the data of each event of a stream of server-sent events, as Events does. It is for the
// routes of services, below /v1/services/, whose handlers send them with SendEvents.
func (c *Client) ServiceEvents(ctx context.Context, path string, ready func(),
	fn func(data json.RawMessage) error) error {
	return follow(ctx, c, path, ready, fn)
}

// follow reads a stream of server-sent events.
func follow[E any](ctx context.Context, c *Client, path string, ready func(), fn func(E) error) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(c.patience(), func() { cancel(errSilent) })
	defer silence.Stop()
	body, err := c.do(ctx, "GET", path, "", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		silence.Reset(2 * eventsBeat)
		if ready != nil {
			ready()
			ready = nil
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e E
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("event: %w", err)
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	if parent.Err() != nil {
		return parent.Err()
	}
	if err := cmp.Or(context.Cause(ctx), lines.Err()); err != nil {
		return &UnreachableError{c.address, err}
	}
	return &UnreachableError{c.address, io.EOF}
}

// Call sends in as JSON (nothing for nil) and decodes the answer into out (dropped for nil). It is for the routes of
// services, below /v1/services/.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	patience := c.patience()
	if path == "/v1/dial" {
		patience += dialTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSilent)
	defer cancel()
	answer, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer answer.Close()
	if out == nil {
		return nil
	}
	if err := c.decode(answer, path, out); err != nil {
		return c.silent(ctx, err)
	}
	return nil
}

// errSilent is why a call to a node that hangs ends.
var errSilent = errors.New("it accepts connections, but does not answer in time")

// silent returns err, or that the node hangs if that is why ctx has ended.
func (c *Client) silent(ctx context.Context, err error) error {
	if context.Cause(ctx) == errSilent {
		return &UnreachableError{c.address, errSilent}
	}
	return err
}

// call is Call with an answer of type T.
func call[T any](ctx context.Context, c *Client, method, path string, in any) (out T, err error) {
	err = c.Call(ctx, method, path, in, &out)
	return out, err
}

// send sends in as JSON, or nothing for nil. The caller closes the body that it returns.
func (c *Client) send(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	if in == nil {
		return c.do(ctx, method, path, "", nil)
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, method, path, "application/json", bytes.NewReader(b))
}

// decode reads an answer.
func (c *Client) decode(answer io.Reader, path string, out any) error {
	if err := json.NewDecoder(io.LimitReader(answer, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("the answer of %s to %s is not what was expected: %w", c.address, path, err)
	}
	return nil
}

// do sends a request. The caller closes the returned body.
func (c *Client) do(ctx context.Context, method, path, contentType string, body io.Reader) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.host+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", contentType)
	}
	unsigned := c.sign(r)
	answer, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, c.silent(ctx, ctx.Err())
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, &UnreachableError{c.address, err}
	}
	if answer.StatusCode/100 == 2 {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var f failure
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxBody)).Decode(&f); err != nil || f.Error == "" {
		return nil, &APIError{Status: answer.StatusCode,
			Message: fmt.Sprintf("the admin API of %s answered %s %s with %s", c.address, method, path, answer.Status)}
	}
	if answer.StatusCode == http.StatusUnauthorized && unsigned != nil {
		f.Error += ": " + unsigned.Error()
	}
	return nil, &APIError{Status: answer.StatusCode, Message: f.Error, Reason: f.Reason}
}
