package signergrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/internal/signerpb"
)

// How a Client connects: with the jitter, at most 240 ms pass between two tries.
const (
	connectTimeout  = time.Second
	firstReconnect  = 25 * time.Millisecond
	longestPause    = 200 * time.Millisecond
	reconnectJitter = 0.2
	pingAfter       = 10 * time.Second // without traffic; the least that gRPC allows
	pingTimeout     = 3 * time.Second
	sayAgain        = 10 * time.Second // between two lines about the connection
	longestWhy      = 300              // bytes of what a signer says

	// Windows of fixed size, at both ends: gRPC would measure the path with pings beside the calls.
	streamWindow = 256 << 10
	connWindow   = 1 << 20
)

// ClientConfig is where a Client finds its signer.
type ClientConfig struct {
	Address signer.Address
	// TLS is needed for an address of mutual TLS, and for no other.
	TLS    TLSFiles
	Logger *slog.Logger // nil discards
}

// Client is a signer.Remote over gRPC. Its methods may be called concurrently.
type Client struct {
	name string
	conn *grpc.ClientConn
	log  *slog.Logger

	stop context.CancelFunc
	done sync.WaitGroup // of watch
}

var _ signer.Remote = (*Client)(nil)

// Dial makes a Client, which begins to connect. It does not wait for the signer; it fails only if cfg is impossible.
func Dial(cfg ClientConfig) (*Client, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	dial, secure := dialUnix(cfg.Address.Path), insecure.NewCredentials()
	if cfg.Address.TLS() {
		config, err := cfg.TLS.client(cfg.Address.Host)
		if err != nil {
			return nil, err
		}
		cfg.TLS.warn(cfg.Logger)
		dial, secure = dialTCP(cfg.Address.Host), credentials.NewTLS(config)
	} else if cfg.TLS != (TLSFiles{}) {
		return nil, errors.New("a unix socket needs no certificates")
	}
	conn, err := grpc.NewClient("passthrough:///signer",
		grpc.WithTransportCredentials(secure),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithDisableHealthCheck(),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: connectTimeout,
			Backoff: backoff.Config{BaseDelay: firstReconnect, Multiplier: 2, Jitter: reconnectJitter,
				MaxDelay: longestPause}}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout,
			PermitWithoutStream: true}),
		grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(false)),
	)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{name: cfg.Address.String(), conn: conn, log: cfg.Logger, stop: stop}
	c.done.Go(func() { c.watch(ctx) })
	return c, nil
}

// Close ends the connection, and all calls.
func (c *Client) Close() error {
	c.stop()
	c.done.Wait()
	err := c.conn.Close()
	if status.Code(err) == codes.Canceled { // it was closed before
		return nil
	}
	return err
}

// watch keeps the connection up, which gRPC does not do by itself between calls, and tells the log.
func (c *Client) watch(ctx context.Context) {
	var up bool
	var said time.Time
	for {
		state := c.conn.GetState()
		now := time.Now()
		switch {
		case state == connectivity.Idle:
			c.conn.Connect()
		case state == connectivity.Ready && !up:
			c.log.Debug("connected to the signer", slog.String("signer", c.name))
		}
		if up && state != connectivity.Ready && now.Sub(said) >= sayAgain {
			said = now
			c.log.Warn("the connection to the signer broke", slog.String("signer", c.name))
		}
		up = state == connectivity.Ready
		if !c.conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}

// Ready implements signer.Remote.
func (c *Client) Ready(ctx context.Context) error {
	for {
		switch state := c.conn.GetState(); state {
		case connectivity.Ready:
			return nil
		case connectivity.Shutdown:
			return net.ErrClosed
		default:
			if !c.conn.WaitForStateChange(ctx, state) {
				return context.Cause(ctx)
			}
		}
	}
}

// Describe implements signer.Remote.
func (c *Client) Describe(ctx context.Context) (d signer.Description, err error) {
	resp := new(signerpb.DescribeResponse)
	if err := c.conn.Invoke(ctx, pathDescribe, &signerpb.DescribeRequest{}, resp); err != nil {
		return d, c.failed(ctx, err)
	}
	if d.Key, err = handshake.NewEd25519Key(resp.PublicKey); err != nil {
		return d, &signer.AbsentError{Signer: c.name, Why: "it is no signer", Err: err}
	}
	for _, n := range resp.Purposes {
		if p := handshake.Purpose(n); n > 0 && n <= uint32(handshake.SignPubsub) {
			d.Allowed = append(d.Allowed, p)
		}
	}
	return d, nil
}

// Sign implements signer.Remote.
func (c *Client) Sign(ctx context.Context, r signer.Request) ([]byte, error) {
	req, err := toProto(r)
	if err != nil {
		return nil, err
	}
	resp := new(signerpb.SignResponse)
	if err := c.conn.Invoke(ctx, pathSign, req, resp); err != nil {
		return nil, c.failed(ctx, err)
	}
	return resp.Signature, nil
}

// failed returns the error of a call: a refusal of the signer, or an absence.
func (c *Client) failed(ctx context.Context, err error) error {
	s := status.Convert(err)
	switch s.Code() {
	case codes.PermissionDenied, codes.InvalidArgument, codes.Unimplemented, codes.FailedPrecondition:
		return &signer.RefusedError{Signer: c.name, Why: cut(s.Message())}
	case codes.DeadlineExceeded, codes.Canceled:
		if c.conn.GetState() == connectivity.Ready {
			return &signer.AbsentError{Signer: c.name, Why: "it is connected and does not answer", Err: ctx.Err()}
		}
	}
	return &signer.AbsentError{Signer: c.name, Why: cut(s.Message())}
}

// cut shortens what gRPC says of a connection to its cause.
func cut(why string) string {
	const before = `connection error: desc = "transport: `
	if at := strings.LastIndex(why, before); at >= 0 {
		why = strings.TrimSuffix(why[at+len(before):], `"`)
	}
	why = strings.TrimPrefix(why, "Error while dialing: ")
	return fmt.Sprintf("%.*s", longestWhy, why)
}

// dialTCP dials host:port.
func dialTCP(host string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", host)
	}
}

// dialUnix dials a socket and checks its user: another user's could be a false signer.
func dialUnix(path string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		if err := checkPeer(conn); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("the signer at %s: %w", path, err)
		}
		return conn, nil
	}
}
