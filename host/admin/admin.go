// Package admin is the node's HTTP API for its operator: JSON below /v1/, Prometheus metrics, a health check and a live
// page. docs/admin-api.md describes it; it is a contract.
//
// Everybody who reaches the API may read. Every method but GET needs the token of the present start, or comes over the
// unix socket (Config.Protect). It listens on loopback unless the configuration says otherwise. It refuses requests
// from web pages of another origin, and requests for host names that are not its own, so that no web page reaches it
// through a name that resolves to this machine.
package admin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	maxBody        = 64 << 10 // bytes of a request's JSON
	maxItem        = 1 << 20  // bytes of a body below /v1/services/
	maxConns       = 128      // connections at once
	maxReaders     = 32       // of them, those that read events: others must get their answers
	requestTimeout = 10 * time.Second
	dialTimeout    = 30 * time.Second
	eventsBeat     = 15 * time.Second // between two keep-alives of an event stream
	stopGrace      = 2 * time.Second  // for requests in flight when the node stops
)

// Config is where the API listens and what it reports.
type Config struct {
	Address string // host:port, where port 0 asks for a free one, or unix:///path; "" means DefaultAddress
	Version string // of the software
	Profile bool   // serve /debug/pprof/ too
	Files   int    // file descriptors that the process may open, for a finding; 0: not known

	Protect Protect // which requests need the token; "" means ProtectWrites
	Token   string  // at least 32 characters; "" means that New makes one
	// TokenFile is where Run writes the token, for its owner alone, while it listens on TCP; "" means nowhere. Then the
	// program passes Server.Token on, or Server.URL.
	TokenFile string
	// SocketMode is the mode of a unix socket: 0600 or 0660, which lets Group in, too; 0 means 0600.
	SocketMode fs.FileMode
	Group      string // of a unix socket of mode 0660: a name or a number; "" means that of the process
	// Listener, if set, is served in place of a listener at Address, which says where the node's user looks for it:
	// somebody else has made it. Run closes it, and changes no mode and no group.
	Listener net.Listener
	// InsecureRemote allows an address that other machines reach. What they send and get is not encrypted.
	InsecureRemote bool
}

// Node is what the API shows and controls. Of builds it from a host; tests and other kinds of nodes fill it themselves.
// About, Links, Watch, Peers and Store are required.
type Node struct {
	About   About
	Links   Links
	Watch   Watch
	Peers   Peers
	Store   Store
	Metrics prometheus.Gatherer // nil: no /metrics
	Health  Health              // nil: all is well
	// Observed returns the addresses at which peers see the node; nil: nobody asks them.
	Observed func() []Observed
	// Reachability returns whether others can dial the node (host.Reach.Status); nil: nobody says.
	Reachability func() host.Reachability
	// Services are the handlers of services by name, served below /v1/services/NAME/. A handler sees the rest of the
	// path.
	Services map[string]http.Handler
	Relay    Relay    // nil: the node has no relay
	Settings Settings // nil: the node has no configuration
}

// About identifies the node. *host.Host implements it.
type About interface {
	Self() transport.NodeID
	PublicKey() handshake.PublicKey
	Network() string
	Moniker() string
}

// Links holds the node's links. *host.Host implements it.
type Links interface {
	Peers() []host.PeerInfo
	Dial(context.Context, ...transport.Address) (host.PeerInfo, error)
	Disconnect(transport.NodeID, muxer.Code, string)
	WaitDown(context.Context, transport.NodeID) error
	Channels() []host.ChannelTotals
}

// Watch reports what happens. *host.Host implements it.
type Watch interface {
	WaitListening(context.Context) error
	ListenAddrs() []ma.Multiaddr
	Journal() *host.Journal
}

// Health judges the node. *host.Health does.
type Health interface {
	Note(*host.Event)
	Check(now time.Time) []host.Finding
}

// Peers bans peers and gives them roles, and tells which ones are missing.
type Peers interface {
	Tally() peers.Tally
	Down() []peers.DownPeer
	Quarantined() []transport.NodeID
	Clear(transport.NodeID) bool
	Status(transport.NodeID) (peers.Status, bool)
	Add(transport.Address, peerstore.Source) error
	SetRole(transport.NodeID, peers.Role) error
	Ban(target peerstore.Target, until time.Time, reason string) error
	Unban(target peerstore.Target) (bool, error)
	Banned(transport.NodeID, netip.Addr) (peerstore.Ban, bool)
}

// Store has the known peers. Every peerstore.Store implements it.
type Store interface {
	Get(transport.NodeID) (peerstore.Record, bool)
	Remove(transport.NodeID) bool
	Groups() *peerstore.Groups
	Buckets() peerstore.Buckets
	Range(func(peerstore.Record) bool)
	Stats() peerstore.Stats
	ClearBans(now time.Time)
	Bans(now time.Time) []peerstore.Ban
}

// Of returns the Node of a host and its store.
func Of(h *host.Host, store peerstore.Store, metrics prometheus.Gatherer) Node {
	return Node{About: h, Links: h, Watch: h, Peers: operator{h.PeerManager(), h}, Store: store, Metrics: metrics,
		Health: host.NewHealth(h), Reachability: h.Reach.Status, Observed: func() []Observed {
			var out []Observed
			for _, o := range h.Reach.Observed() {
				out = append(out, Observed{Address: o.Address.String(), Peers: o.Peers, Transport: o.Transport})
			}
			return out
		}}
}

// operator is the peer manager with what the host does of it: it tells the log of bans, and knows what it can dial.
type operator struct {
	*peers.Manager
	host *host.Host
}

func (o operator) Add(a transport.Address, source peerstore.Source) error {
	if err := o.host.CheckAddress(a); err != nil {
		return err
	}
	return o.Manager.Add(a, source)
}

func (o operator) Ban(target peerstore.Target, until time.Time, reason string) error {
	return o.host.Ban(target, until, reason)
}

func (o operator) Unban(target peerstore.Target) (bool, error) { return o.host.Unban(target) }

var serviceName = regexp.MustCompile(`^[a-z0-9_-]+$`)

// RemoteError reports an address that other machines reach, without Config.InsecureRemote.
type RemoteError struct{ Address string }

func (e *RemoteError) Error() string {
	return fmt.Sprintf("admin: other machines reach %s, without encryption: set admin.insecure_remote = true if that "+
		"is meant, or listen on 127.0.0.1 or a unix socket", e.Address)
}

// Server serves the API. New builds it, Run works.
type Server struct {
	cfg     Config
	node    Node
	log     *slog.Logger
	host    string // of the configured address
	started time.Time
	handler http.Handler
	readers chan struct{} // a place each for those that read events
	scans   chan struct{} // a place for the one that looks at all known peers
	boot    string        // names this start
	feed    *feed

	listening chan struct{}
	mu        sync.Mutex
	addr      net.Addr // once it listens; guarded by mu, as is what follows

	open    int       // file descriptors, when they were counted
	counted time.Time // when that was
	scarce  time.Time // since when they run out
}

// New checks cfg and builds a server, which listens only in Run. A nil logger discards.
func New(cfg Config, node Node, logger *slog.Logger) (*Server, error) {
	if node.About == nil || node.Links == nil || node.Watch == nil || node.Peers == nil || node.Store == nil {
		return nil, errors.New("admin: About, Links, Watch, Peers and Store are required")
	}
	if cfg.Address == "" {
		cfg.Address = DefaultAddress
	}
	network, where, err := ParseAddress(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("admin: address %.120q: %w", cfg.Address, err)
	}
	if cfg.SocketMode == 0 {
		cfg.SocketMode = ownerSocket
	}
	if cfg.Protect == "" {
		cfg.Protect = ProtectWrites
	}
	if cfg.Token == "" {
		cfg.Token = newToken()
	}
	name := ""
	if network == "tcp" {
		name, _, _ = net.SplitHostPort(where)
		if Remote(where) && !cfg.InsecureRemote {
			return nil, &RemoteError{cfg.Address}
		}
	}
	switch {
	case cfg.Protect != ProtectWrites && cfg.Protect != ProtectAll && cfg.Protect != ProtectNone:
		return nil, fmt.Errorf("admin: protect %.40q: want writes, all or none", cfg.Protect)
	case cfg.Protect == ProtectNone && cfg.InsecureRemote:
		return nil, errors.New("admin: an API that other machines reach does not do without the token")
	case len(cfg.Token) < leastToken:
		return nil, fmt.Errorf("admin: a token of %d characters; want at least %d", len(cfg.Token), leastToken)
	}
	if err := checkSocket(&cfg); err != nil {
		return nil, err
	}
	for name := range node.Services {
		if !serviceName.MatchString(name) {
			return nil, fmt.Errorf("admin: service %.60q: a name that is in paths has only a-z, 0-9, - and _", name)
		}
	}
	if logger == nil {
		logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s := &Server{cfg: cfg, node: node, log: logger, host: name, started: time.Now(),
		readers: make(chan struct{}, maxReaders), scans: make(chan struct{}, 1), listening: make(chan struct{})}
	var boot [8]byte
	_, _ = rand.Read(boot[:]) // it never fails
	s.boot = hex.EncodeToString(boot[:])
	s.feed = newFeed(s)
	s.handler = s.guard(s.routes())
	return s, nil
}

// Handler returns the API without a listener, for a server of your own. Watch must run beside it.
func (s *Server) Handler() http.Handler { return s.handler }

// Listening is closed once Run listens.
func (s *Server) Listening() <-chan struct{} { return s.listening }

// Addr returns where the API listens, with the real port; nil before Listening is closed.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Run listens and serves until ctx ends; it returns after all requests have. It runs once.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := s.cfg.Listener, error(nil)
	if ln == nil {
		if ln, err = listen(ctx, &s.cfg); err != nil {
			return fmt.Errorf("admin: %w (admin.address; \"\" turns the API off)", err)
		}
	} else if network, where, _ := ParseAddress(s.cfg.Address); ln.Addr().Network() != network ||
		ln.Addr().String() != where {
		s.log.Warn("the socket that was passed is not admin.address: commands look for the node there",
			"passed", ln.Addr().String(), "address", s.cfg.Address)
	}
	a, tcp := ln.Addr().(*net.TCPAddr)
	if tcp && !a.IP.IsLoopback() {
		if !s.cfg.InsecureRemote { // of a name, only now it is known
			_ = ln.Close()
			return &RemoteError{a.String()}
		}
		s.log.Warn("the admin API can be reached from other machines, without encryption", "address", a.String())
	}
	if tcp && s.cfg.TokenFile != "" && s.cfg.Protect != ProtectNone {
		if err := writeToken(s.cfg.TokenFile, s.cfg.Token); err != nil { // say, a disk that is full: reading works
			s.log.Warn("the token of the admin API cannot be written: the commands may only read", "err", err)
		}
		defer removeToken(s.cfg.TokenFile, s.cfg.Token)
	}
	s.mu.Lock()
	s.addr = ln.Addr()
	s.mu.Unlock()
	close(s.listening)
	s.log.Debug("admin API", "address", ln.Addr().String())

	var requests inFlight // http.Server.Close does not wait for handlers
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !requests.begin() {
				Fail(w, http.StatusServiceUnavailable, errors.New("the node stops"))
				return
			}
			defer requests.wg.Done()
			s.handler.ServeHTTP(w, r)
		}),
		// so that event streams and dials end with us
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       identify,
		ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout,
		WriteTimeout: requestTimeout, // handlers that take longer say so
		IdleTimeout:  time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		_ = s.Watch(ctx)
	}()
	served := make(chan error, 1)
	go func() { served <- server.Serve(newLimited(ln, maxConns)) }()
	select {
	case err = <-served: // the listener failed
		err = fmt.Errorf("admin: %w", err)
	case <-ctx.Done():
		grace, stop := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		_ = server.Shutdown(grace) // then Close ends what is still open
		stop()
		<-served
		err = nil
	}
	cancel()
	_ = server.Close()
	requests.end()
	<-fed
	return err
}

// inFlight counts requests until it ends; after that none begins.
type inFlight struct {
	wg    sync.WaitGroup
	mu    sync.Mutex // orders begin with end
	ended bool
}

func (f *inFlight) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.wg.Add(1)
	}
	return !f.ended
}

func (f *inFlight) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.wg.Wait()
}

// limited bounds the connections at once; further ones wait in the system's queue.
type limited struct {
	net.Listener
	free chan struct{}
	done chan struct{}
	once sync.Once
}

func newLimited(ln net.Listener, n int) *limited {
	return &limited{Listener: ln, free: make(chan struct{}, n), done: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
