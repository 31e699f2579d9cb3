package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// methods holds the handlers of one path.
type methods map[string]func(http.ResponseWriter, *http.Request)

// routes returns the handler of all paths. docs/admin-api.md describes each.
func (s *Server) routes() http.Handler {
	paths := s.paths()
	mux := http.NewServeMux()
	for path, m := range paths {
		mux.HandleFunc(path, m.serve)
	}
	for name, h := range s.node.Services {
		prefix := "/v1/services/" + name
		mux.Handle(prefix+"/", http.StripPrefix(prefix, http.MaxBytesHandler(h, maxItem)))
	}
	mux.HandleFunc("/v1/services/{name}/", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		Fail(w, http.StatusNotFound, fmt.Errorf("no service %.64q with an API runs in this node: "+
			"set services.%.64s.enabled = true if the program has it", name, name))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		Fail(w, http.StatusNotFound, fmt.Errorf("no such path: %.200q", r.URL.Path))
	})
	return mux
}

// reads serves what only tells: the state of the node, as it is and as it changes.
type reads struct{ *Server }

// paths returns the handlers of all paths but those of services. operations describes each.
func (s *Server) paths() map[string]methods {
	tell := reads{s}
	paths := map[string]methods{
		"/{$}":                {"GET": servePage},
		"/page/{file...}":     {"GET": servePage},
		"/healthz":            {"GET": s.health},
		"/v1/status":          {"GET": tell.status},
		"/v1/peers":           {"GET": tell.peers},
		"/v1/store":           {"GET": tell.store},
		"/v1/dials":           {"GET": tell.dials},
		"/v1/traffic":         {"GET": tell.traffic},
		"/v1/waiting":         {"GET": tell.waiting},
		"/v1/clear":           {"POST": s.clear},
		"/v1/forget":          {"POST": s.forget},
		"/v1/book":            {"GET": tell.book},
		"/v1/graph":           {"GET": tell.graph},
		"/v1/openapi.json":    {"GET": tell.openAPI},
		"/v1/events":          {"GET": tell.events},
		"/v1/stream":          {"GET": tell.stream},
		"/v1/dial":            {"POST": s.dial},
		"/v1/disconnect":      {"POST": s.disconnect},
		"/v1/bans":            {"GET": tell.bans},
		"/v1/ban":             {"POST": s.ban},
		"/v1/ban/{target...}": {"DELETE": s.unban},
		"/v1/protect":         {"POST": s.protect},
		"/v1/protect/{id}":    {"DELETE": s.unprotect},
		"/v1/config":          {"GET": s.config},
		"/v1/reload":          {"POST": s.reload},
		"/v1/relay":           {"POST": s.publish},
		"/v1/relay/events":    {"GET": s.relayEvents},
	}
	if s.node.Metrics != nil {
		metrics := promhttp.HandlerFor(s.node.Metrics,
			promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: requestTimeout / 2})
		paths["/metrics"] = methods{"GET": s.private(metrics.ServeHTTP)}
	}
	if s.cfg.Profile {
		paths["/debug/pprof/"] = methods{"GET": s.private(pprof.Index)}
		paths["/debug/pprof/profile"] = methods{"GET": s.private(long(pprof.Profile))}
		paths["/debug/pprof/trace"] = methods{"GET": s.private(long(pprof.Trace))}
		paths["/debug/pprof/symbol"] = methods{"GET": s.private(pprof.Symbol)}
		paths["/debug/pprof/cmdline"] = methods{"GET": s.private(pprof.Cmdline)}
	}
	return paths
}

func (m methods) serve(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if fn := m[method]; fn != nil {
		fn(w, r)
		return
	}
	allowed := slices.Sorted(maps.Keys(m))
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	Fail(w, http.StatusMethodNotAllowed,
		fmt.Errorf("%.20s is not for this path: use %s", r.Method, strings.Join(allowed, " or ")))
}

// long extends the write deadline to the duration of a profile.
func long(fn http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(10 * time.Minute))
		fn(w, r)
	}
}

// guard refuses requests that a web page of another origin sends through a browser, and those that need a token and
// have none.
func (s *Server) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		Fail(w, http.StatusForbidden, errors.New("requests from pages of another origin are refused"))
	}))
	guarded := origin.Handler(s.authorize(next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if !s.knows(r.Host) {
			Fail(w, http.StatusForbidden,
				fmt.Errorf("host %.100q is refused: use the IP address, localhost, or the host of admin.address",
					r.Host))
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// knows reports whether hostport is a name of this server. A page that makes a name of its own resolve to this machine
// sends that name; it cannot fake an IP address.
func (s *Server) knows(hostport string) bool {
	name, _, err := net.SplitHostPort(hostport)
	if err != nil {
		name = strings.Trim(hostport, "[]")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return name == "localhost" || name != "" && name == strings.ToLower(s.host)
}

// Reply writes v as JSON.
func Reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // fails only if the client has gone
}

// Fail writes an error in the form that Client decodes, with the reason of a failed link if err has one.
func Fail(w http.ResponseWriter, status int, err error) {
	Reply(w, status, failure{Error: err.Error(), Reason: reasonIn(err)})
}

// read decodes a request's JSON strictly. If that fails it answers the request.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("more than one JSON value")
		}
	}
	var size *http.MaxBytesError
	switch {
	case errors.As(err, &size):
		Fail(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is longer than %d bytes", size.Limit))
	case errors.Is(err, io.EOF):
		Fail(w, http.StatusBadRequest, errors.New("the body is empty, want a JSON object"))
	case err != nil:
		Fail(w, http.StatusBadRequest, fmt.Errorf("the body is not the JSON that is wanted: %w", err))
	}
	return err == nil
}
