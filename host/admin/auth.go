package admin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Protect says which requests need the token. Over a unix socket none does: its mode and group decide.
type Protect string

// The zero Protect means ProtectWrites.
const (
	ProtectWrites Protect = "writes" // every method but GET and HEAD
	ProtectAll    Protect = "all"    // these, and GET /metrics and /debug/pprof/
	ProtectNone   Protect = "none"   // none; only on loopback, or behind a check of your own
)

// What Status.Writes says: who may send requests that are not GET.
const (
	WritesToken  = "token"  // those who have the token
	WritesSocket = "socket" // this connection is over the unix socket, so it may
	WritesOpen   = "open"   // everybody who reaches the API
)

// caller is the other end of a connection. Run puts it into the context of each request.
type caller struct {
	socket bool
	who    string // for the log
}

type callerKey struct{}

// identify is the ConnContext of Run's http.Server.
func identify(ctx context.Context, c net.Conn) context.Context {
	if l, ok := c.(*limitedConn); ok {
		c = l.Conn
	}
	if u, ok := c.(*net.UnixConn); ok {
		return context.WithValue(ctx, callerKey{}, caller{socket: true, who: credentials(u)})
	}
	return context.WithValue(ctx, callerKey{}, caller{who: c.RemoteAddr().String()})
}

// writes returns who may send requests that are not GET, for those who come as r did.
func (s *Server) writes(r *http.Request) string {
	if from, _ := r.Context().Value(callerKey{}).(caller); from.socket {
		return WritesSocket
	}
	if s.cfg.Protect == ProtectNone {
		return WritesOpen
	}
	return WritesToken
}

var errToken = errors.New("this needs the token of the node's present start, as \"Authorization: Bearer TOKEN\": " +
	"it is in " + TokenName + " in the node's home, and in the address of the page that start prints")

// allowed reports whether r may do what not everybody may. If not, it answers the request.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request) bool {
	if s.writes(r) != WritesToken {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") &&
		subtle.ConstantTimeCompare([]byte(strings.TrimSpace(token)), []byte(s.cfg.Token)) == 1 {
		return true
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	Fail(w, http.StatusUnauthorized, errToken)
	return false
}

// authorize asks for the token, and logs who sends what.
func (s *Server) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		if !s.allowed(w, r) {
			return
		}
		level := slog.LevelInfo
		if strings.HasPrefix(r.URL.Path, "/v1/relay") || strings.HasPrefix(r.URL.Path, "/v1/services/") {
			level = slog.LevelDebug // perhaps thousands a second
		}
		from, _ := r.Context().Value(callerKey{}).(caller)
		s.log.Log(r.Context(), level, "admin request", slog.String("method", r.Method),
			slog.String("path", r.URL.Path), slog.String("by", from.who))
		next.ServeHTTP(w, r)
	})
}

// private makes a handler of GET ask for the token if admin.protect is "all".
func (s *Server) private(fn http.HandlerFunc) http.HandlerFunc {
	if s.cfg.Protect != ProtectAll {
		return fn
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if s.allowed(w, r) {
			fn(w, r)
		}
	}
}

// The widest networks that are banned without force, in bits of their prefixes.
const (
	widestBan4 = 8
	widestBan6 = 16
)

// forcible returns why a ban needs force; nil if it does not: it covers a large part of the Internet, or ends more than
// half of the links. One that ends a single link never needs it.
func (s *Server) forcible(target peerstore.Target) error {
	p := target.Prefix
	if !p.IsValid() {
		return nil
	}
	widest := widestBan6
	if p.Addr().Is4() {
		widest = widestBan4
	}
	if p.Bits() < widest {
		return fmt.Errorf("%s is wider than /%d: banning it needs force", target, widest)
	}
	links, ended := s.node.Links.Peers(), 0
	for i := range links {
		if links[i].IP.IsValid() && p.Contains(links[i].IP.Unmap()) {
			ended++
		}
	}
	if ended > 1 && 2*ended > len(links) {
		return fmt.Errorf("banning %s ends %d of the %d links: that needs force", target, ended, len(links))
	}
	return nil
}
