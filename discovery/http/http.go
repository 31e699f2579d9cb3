// Package http finds peers in a list that a web server has: JSON or lines, as discovery.ParseList reads them. The
// server is asked at an interval, and answers with the list or, by its ETag, that nothing has changed. A list that
// cannot be fetched changes nothing, and is asked for again after a pause that grows.
//
// The operator has chosen the server, and nobody else: a redirect leads no request into a private network.
package http

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	defaultInterval = 10 * time.Minute
	defaultTimeout  = 10 * time.Second
	// minRetry is the first pause after a failure. It doubles up to the interval.
	minRetry     = 15 * time.Second
	maxRetry     = 24 * time.Hour // what a server's Retry-After may ask for
	maxRedirects = 3
	maxHeader    = 64 << 10
	maxETag      = 1 << 10
)

// Config says where the list is.
type Config struct {
	// URL of the list: https, or http on a loopback address. Required.
	URL string `toml:"url"`
	// Interval between two requests, give or take a tenth; 0 means 10m.
	Interval time.Duration `toml:"interval"`
	// Timeout of a request with its redirects and its body; 0 means 10s.
	Timeout time.Duration `toml:"timeout"`
	// AllowPrivate lets redirects lead to private and loopback addresses.
	AllowPrivate bool `toml:"allow_private"`
}

// Default has no URL.
func Default() Config { return Config{Interval: defaultInterval, Timeout: defaultTimeout} }

// Validate returns what is wrong.
func (c Config) Validate() error {
	switch {
	case c.URL == "":
		return errors.New("url: name the list")
	case c.Interval < 0:
		return fmt.Errorf("interval: %v is negative (0 means %v)", c.Interval, defaultInterval)
	case c.Timeout < 0:
		return fmt.Errorf("timeout: %v is negative (0 means %v)", c.Timeout, defaultTimeout)
	}
	_, err := parseURL(c.URL)
	return err
}

// parseURL reads the URL of a list, and refuses one that anyone on the way could change.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if err := secure(u); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	return u, nil
}

func secure(u *url.URL) error {
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := err == nil && ip.IsLoopback() || u.Hostname() == "localhost"
	switch {
	case u.Host == "" || u.Hostname() == "":
		return fmt.Errorf("%.120q names no server", u.Redacted())
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback):
		return fmt.Errorf("%.120q: want https (http only on a loopback address)", u.Redacted())
	}
	return nil
}

// New checks the settings. It asks nobody yet.
func New(cfg Config, env discovery.Env) (discovery.Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("discovery http: %w", err)
	}
	if cfg.Interval == 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	u, err := parseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("discovery http: %w", err)
	}
	dialer := &net.Dialer{ControlContext: checkDial}
	return &source{cfg: cfg, url: u, env: env, log: env.Log(), dial: dialer.DialContext}, nil
}

type source struct {
	cfg  Config
	url  *url.URL
	env  discovery.Env
	log  *slog.Logger
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Run's goroutine owns what follows.
	tag  string            // of the list that was read last
	last [sha256.Size]byte // its content
}

// Run asks for the list until ctx ends.
func (s *source) Run(ctx context.Context, _ discovery.Network, found func(transport.Address, transport.NodeID)) error {
	client := &nethttp.Client{
		// Requests are rare, so connections are not kept. A proxy would hide where a redirect leads.
		Transport: &nethttp.Transport{DialContext: s.dial, DisableKeepAlives: true,
			MaxResponseHeaderBytes: maxHeader},
		CheckRedirect: func(*nethttp.Request, []*nethttp.Request) error { return nethttp.ErrUseLastResponse },
	}
	retry := minRetry
	for {
		text, err := s.fetch(ctx, client)
		pause := s.cfg.Interval
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			pause = min(retry, s.cfg.Interval)
			if busy, ok := errors.AsType[*statusError](err); ok {
				pause = max(pause, busy.after)
			}
			retry = min(2*retry, s.cfg.Interval)
			s.log.Warn("the list of peers cannot be fetched; peers that it named stay known", slog.Any("error", err),
				slog.Duration("retry", pause))
		default:
			retry = minRetry
		}
		if text != nil {
			list := discovery.ParseList(text)
			usable := s.env.Usable(list.Addresses)
			if sum := sha256.Sum256(text); sum != s.last { // not every server has tags
				s.last = sum
				list.Report(s.log, s.url.Redacted(), len(usable))
			}
			for _, a := range usable {
				if ctx.Err() != nil {
					return nil
				}
				found(a, "")
			}
		}
		if !discovery.Pause(ctx, pause) {
			return nil
		}
	}
}

// statusError is an answer that is no list.
type statusError struct {
	status string
	after  time.Duration // what the server asks us to wait
}

func (e *statusError) Error() string { return fmt.Sprintf("the server answers %.80q", e.status) }

// fetch returns the list, or nil if it has not changed. It follows redirects itself, to look at each.
func (s *source) fetch(ctx context.Context, client *nethttp.Client) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	at := s.url
	for range maxRedirects + 1 {
		req, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodGet, at.String(), nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/json, text/plain")
		req.Header.Set("User-Agent", "switchyard")
		if s.tag != "" {
			req.Header.Set("If-None-Match", s.tag)
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		text, next, err := s.read(resp, at)
		if next == nil {
			return text, err
		}
		if next.Host != at.Host && !s.cfg.AllowPrivate {
			ctx = context.WithValue(ctx, publicOnly{}, true)
		}
		at = next
	}
	return nil, fmt.Errorf("more than %d redirects", maxRedirects)
}

// read takes an answer: a list, or where to ask instead.
func (s *source) read(resp *nethttp.Response, at *url.URL) (text []byte, next *url.URL, err error) {
	defer resp.Body.Close()
	switch resp.StatusCode {
	case nethttp.StatusOK:
	case nethttp.StatusNotModified:
		return nil, nil, nil
	case nethttp.StatusMovedPermanently, nethttp.StatusFound, nethttp.StatusSeeOther, nethttp.StatusTemporaryRedirect,
		nethttp.StatusPermanentRedirect:
		if next, err = at.Parse(resp.Header.Get("Location")); err == nil {
			err = secure(next)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("a redirect: %w", err)
		}
		return nil, next, nil
	default:
		e := &statusError{status: resp.Status}
		if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 32); err == nil {
			e.after = min(time.Duration(seconds)*time.Second, maxRetry)
		}
		return nil, nil, e
	}
	text, err = io.ReadAll(io.LimitReader(resp.Body, discovery.MaxListBytes+1))
	if err != nil {
		return nil, nil, err
	}
	if len(text) > discovery.MaxListBytes {
		return nil, nil, fmt.Errorf("the list has more than %d bytes", discovery.MaxListBytes)
	}
	if s.tag = resp.Header.Get("ETag"); len(s.tag) > maxETag || strings.ContainsAny(s.tag, "\r\n") {
		s.tag = ""
	}
	return text, nil, nil
}

// publicOnly in a context is true where a redirect to another server leads.
type publicOnly struct{}

// checkDial refuses to connect to a private address on behalf of a redirect. It sees the IP that is dialed, so a name
// cannot change its meaning in between.
func checkDial(ctx context.Context, _, address string, _ syscall.RawConn) error {
	if only, _ := ctx.Value(publicOnly{}).(bool); !only {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !transport.IsPublicIP(to.Addr()) {
		return fmt.Errorf("a redirect leads to %s, which is not public (allow_private)", to.Addr())
	}
	return nil
}
