package signergrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/internal/signerpb"
)

// Bounds of a Server.
const (
	maxConnections = 64   // at once
	maxCalls       = 1024 // of a connection, at once
	maxHeaders     = 8 << 10
	envelope       = 1 << 10 // bytes of a request beside its body
	handshakeTime  = 5 * time.Second
	stopTime       = 2 * time.Second // for calls that are under way when the server stops
)

// ServerConfig is what a Server needs. Address and Keeper are required.
type ServerConfig struct {
	Address signer.Address
	TLS     TLSFiles // for an address of mutual TLS
	Keeper  *signer.Keeper
	Logger  *slog.Logger // nil discards
}

// Server serves a Keeper. Listen makes one, Run works.
type Server struct {
	keeper *signer.Keeper
	log    *slog.Logger
	gate   *gate
	grpc   *grpc.Server

	strangers atomic.Uint64 // connections of other users
	crowded   atomic.Uint64 // connections beyond maxConnections
	panics    atomic.Uint64

	mu      sync.Mutex // guards what follows
	said    time.Time  // when the log was told of a refusal last
	refused uint64     // in all
}

// Listen makes a Server that listens at its address, and serves nothing before Run. The folder of a unix socket is made
// with mode 0700 where there is none, and must be ours alone; the socket gets the mode 0600.
func Listen(cfg ServerConfig) (*Server, error) {
	if cfg.Keeper == nil {
		return nil, errors.New("signergrpc: a server needs a keeper")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{keeper: cfg.Keeper, log: cfg.Logger}
	largest := handshake.MaxPeerRecord
	if slices.Contains(cfg.Keeper.Describe().Allowed, handshake.SignPubsub) {
		largest = handshake.MaxPubsub
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(largest + envelope), grpc.MaxConcurrentStreams(maxCalls),
		grpc.MaxHeaderListSize(maxHeaders), grpc.ConnectionTimeout(handshakeTime),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		grpc.NumStreamWorkers(uint32(runtime.GOMAXPROCS(0))), grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingAfter / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 3 * pingAfter, Timeout: pingTimeout}),
	}
	var listener net.Listener
	var err error
	if cfg.Address.TLS() {
		config, err := cfg.TLS.config()
		if err != nil {
			return nil, err
		}
		cfg.TLS.warn(s.log)
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
		listener, err = net.Listen("tcp", cfg.Address.Host)
		if err != nil {
			return nil, err
		}
	} else {
		if cfg.TLS != (TLSFiles{}) {
			return nil, errors.New("a unix socket needs no certificates")
		}
		if listener, err = listenUnix(cfg.Address.Path); err != nil {
			return nil, err
		}
	}
	s.gate = &gate{Listener: listener, server: s, check: !cfg.Address.TLS()}
	s.grpc = grpc.NewServer(options...)
	s.grpc.RegisterService(serviceDesc(), s)
	return s, nil
}

// Addr returns where the server listens.
func (s *Server) Addr() net.Addr { return s.gate.Addr() }

// Run serves until ctx ends. Calls that are under way then have two seconds. It runs once.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(s.gate) }()
	select {
	case err := <-served:
		s.grpc.Stop()
		return fmt.Errorf("signer: %w", err)
	case <-ctx.Done():
	}
	hurry := time.AfterFunc(stopTime, s.grpc.Stop)
	s.grpc.GracefulStop()
	hurry.Stop()
	<-served
	return nil
}

// Close frees a Server that never ran.
func (s *Server) Close() error {
	s.grpc.Stop()
	return s.gate.Close()
}

// Strangers returns how many connections were turned away: those of other users, and those beyond the limit.
func (s *Server) Strangers() (others, crowded uint64) { return s.strangers.Load(), s.crowded.Load() }

func (s *Server) describe(context.Context, *signerpb.DescribeRequest) (*signerpb.DescribeResponse, error) {
	d := s.keeper.Describe()
	resp := &signerpb.DescribeResponse{PublicKey: d.Key.Raw()}
	for _, p := range d.Allowed {
		resp.Purposes = append(resp.Purposes, uint32(p))
	}
	return resp, nil
}

func (s *Server) sign(ctx context.Context, req *signerpb.SignRequest) (resp *signerpb.SignResponse, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.panics.Add(1)
			s.log.Error("a request panicked", slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			resp, err = nil, status.Error(codes.Internal, "the signer panicked")
		}
	}()
	sig, err := s.keeper.Sign(ctx, fromProto(req))
	if err != nil {
		s.tell(err)
		return nil, toStatus(err)
	}
	return &signerpb.SignResponse{Signature: sig}, nil
}

// tell tells the log of a refusal, and how many there were.
func (s *Server) tell(err error) {
	s.mu.Lock()
	s.refused++
	refused, now := s.refused, time.Now()
	tell := now.Sub(s.said) >= sayAgain
	if tell {
		s.said = now
	}
	s.mu.Unlock()
	if tell {
		s.log.Warn("refused", slog.String("error", err.Error()), slog.Uint64("refused", refused))
	}
}

// gate accepts the connections of our own user alone, and no more than maxConnections at once.
type gate struct {
	net.Listener
	server *Server
	check  bool // look at the user of the other end
	open   atomic.Int32
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g.check {
			if err := checkPeer(conn); err != nil {
				g.server.strangers.Add(1)
				g.server.log.Warn("turned a connection away", slog.String("error", err.Error()))
				_ = conn.Close()
				continue
			}
		}
		if g.open.Add(1) > maxConnections {
			g.open.Add(-1)
			g.server.crowded.Add(1)
			_ = conn.Close()
			continue
		}
		return &counted{Conn: conn, gate: g}, nil
	}
}

// counted is a connection that the gate counts.
type counted struct {
	net.Conn
	gate *gate
	once sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(func() { c.gate.open.Add(-1) })
	return c.Conn.Close()
}
