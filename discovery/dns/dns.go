// Package dns finds peers in the domain name system. Each of Config.Names is one of:
//
//   - /dnsaddr/HOST or /dnsaddr/HOST/p2p/ID: TXT records "dnsaddr=MULTIADDR" of _dnsaddr.HOST, as libp2p has them. A
//     record may name a further /dnsaddr.
//   - ID@HOST or ID@HOST:PORT, or any address of a node with a host name: the node at each IP of the name.
//
// The names are looked up again at an interval, as the resolver of the system does not tell for how long an answer
// holds. What a name leads to is bounded (see below), and the IPs that are found are stored in place of the names, so
// that peers can be told of them.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Bounds of what one of the names may cost.
const (
	maxDepth     = 4  // names that lead to each other
	maxRecords   = 16 // TXT records, or IPs, of a name; transport.MaxResolved is the same
	maxAddresses = 64
	maxLookups   = 32
	timeout      = 5 * time.Second // of all look-ups together
)

const (
	maxNames        = 64
	defaultInterval = 10 * time.Minute
	minRetry        = 15 * time.Second // the pause after a failure, which doubles up to the interval
	defaultPort     = "26656"          // CometBFT's
)

// Config names what is looked up.
type Config struct {
	Names []string `toml:"names"` // at most 64
	// Interval between two look-ups of the same name, give or take a tenth; 0 means 10m.
	Interval time.Duration `toml:"interval"`
	// Server is a DNS server, IP:PORT, to ask in place of the system's.
	Server string `toml:"server"`
}

// Default has no names.
func Default() Config { return Config{Names: []string{}, Interval: defaultInterval} }

// Validate returns what is wrong.
func (c Config) Validate() error {
	if len(c.Names) == 0 || len(c.Names) > maxNames {
		return fmt.Errorf("names: %d of them, want 1 to %d", len(c.Names), maxNames)
	}
	if c.Interval < 0 {
		return fmt.Errorf("interval: %v is negative (0 means %v)", c.Interval, defaultInterval)
	}
	if c.Server != "" {
		if _, err := netip.ParseAddrPort(c.Server); err != nil {
			return fmt.Errorf("server: %.80q is not IP:PORT", c.Server)
		}
	}
	for i, text := range c.Names {
		if _, err := parseName(text); err != nil {
			return fmt.Errorf("names[%d]: %w", i, err)
		}
	}
	return nil
}

// parseName reads one of Config.Names as an address.
func parseName(text string) (transport.Address, error) {
	a, err := transport.ParseAddress(text)
	if err != nil && strings.Contains(text, "@") {
		if b, withPort := transport.ParseAddress(text + ":" + defaultPort); withPort == nil {
			a, err = b, nil
		}
	}
	switch {
	case err != nil:
		return a, err
	case a.Network() == "dnsaddr":
		return a, nil
	case !a.HasName():
		return a, fmt.Errorf("%.120q has no host name to look up: list it with the source static", text)
	case a.ID() == "":
		return a, fmt.Errorf("%.120q names no node: put its id before an @, or use /dnsaddr/HOST", text)
	}
	return a, nil
}

// New checks the settings. It looks up nothing yet.
func New(cfg Config, env discovery.Env) (discovery.Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("discovery dns: %w", err)
	}
	if cfg.Interval == 0 {
		cfg.Interval = defaultInterval
	}
	resolver := net.DefaultResolver
	if cfg.Server != "" {
		resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, cfg.Server)
		}}
	}
	s := &source{interval: cfg.Interval, env: env, log: env.Log(), resolver: resolver}
	for _, text := range cfg.Names {
		a, err := parseName(text)
		if err != nil {
			return nil, fmt.Errorf("discovery dns: %w", err)
		}
		s.names = append(s.names, a)
	}
	return s, nil
}

type source struct {
	names    []transport.Address
	interval time.Duration
	env      discovery.Env
	log      *slog.Logger
	resolver madns.BasicResolver
}

// Run looks up the names until ctx ends. All have the same interval; a failure of one brings the next round forward.
func (s *source) Run(ctx context.Context, _ discovery.Network, found func(transport.Address, transport.NodeID)) error {
	retry := minRetry
	for {
		pause := s.interval
		for _, name := range s.names {
			addresses, err := s.lookUp(ctx, name)
			if ctx.Err() != nil {
				return nil
			}
			for _, a := range s.env.Usable(addresses) {
				if ctx.Err() != nil {
					return nil
				}
				found(a, "")
			}
			if err != nil {
				pause = min(retry, s.interval)
				s.log.Warn("a look-up failed; peers that were found there stay known",
					slog.String("name", name.String()), slog.Any("error", err), slog.Duration("retry", pause))
			}
			s.log.Debug("looked up", slog.String("name", name.String()), slog.Int("addresses", len(addresses)))
		}
		if pause < s.interval {
			retry = min(2*retry, s.interval)
		} else {
			retry = minRetry
		}
		if !discovery.Pause(ctx, pause) {
			return nil
		}
	}
}

// lookUp returns the addresses that a name leads to, at most maxAddresses. An error does not void what was found.
func (s *source) lookUp(ctx context.Context, name transport.Address) ([]transport.Address, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	w := walk{resolver: s.resolver, seen: map[string]bool{}}
	if name.Network() == "dnsaddr" {
		w.follow(ctx, name, 0)
	} else {
		w.resolve(ctx, name)
	}
	if len(w.found) > 0 && w.err != nil && !errors.Is(w.err, errTooMuch) {
		s.log.Debug("a part of a look-up failed", slog.String("name", name.String()), slog.Any("error", w.err))
		return w.found, nil
	}
	if w.err == nil && len(w.found) == 0 {
		w.err = errors.New("it leads to no address that names its node")
	}
	return w.found, w.err
}

var errTooMuch = fmt.Errorf("it leads to more than %d addresses, %d look-ups or %d names in a row; "+
	"the rest is left out", maxAddresses, maxLookups, maxDepth)

// walk is one look-up with all that it leads to.
type walk struct {
	resolver madns.BasicResolver
	seen     map[string]bool // names and addresses
	lookups  int
	found    []transport.Address
	err      error // the first one
}

func (w *walk) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// once reports whether a text is new, and a look-up of it within the bounds.
func (w *walk) once(text string) bool {
	if w.seen[text] {
		return false
	}
	w.seen[text] = true
	if w.lookups++; w.lookups > maxLookups {
		w.fail(errTooMuch)
		return false
	}
	return true
}

func (w *walk) add(a transport.Address) {
	switch text := a.String(); {
	case a.ID() == "" || w.seen[text]:
	case len(w.found) == maxAddresses:
		w.fail(errTooMuch)
	default:
		w.seen[text] = true
		w.found = append(w.found, a)
	}
}

// follow looks up the TXT records behind /dnsaddr/HOST, and what they lead to. With a node, others are left out.
func (w *walk) follow(ctx context.Context, a transport.Address, depth int) {
	if depth == maxDepth {
		w.fail(errTooMuch)
		return
	}
	if !w.once(a.String()) || ctx.Err() != nil {
		return
	}
	whole, err := ma.NewMultiaddr(a.String())
	if err != nil {
		w.fail(err)
		return
	}
	r, err := madns.NewResolver(madns.WithDefaultResolver(bounded{w.resolver}))
	if err != nil {
		w.fail(err)
		return
	}
	records, err := r.Resolve(ctx, whole)
	if err != nil {
		w.fail(err)
		return
	}
	for _, record := range records[:min(len(records), maxRecords)] {
		next, err := transport.ParseAddress(record.String())
		switch {
		case err != nil: // of a kind that we do not know
		case next.Network() == "dnsaddr":
			w.follow(ctx, next, depth+1)
		case next.HasName():
			w.resolve(ctx, next)
		default:
			w.add(next)
		}
	}
}

// resolve adds the address at each IP of its host name.
func (w *walk) resolve(ctx context.Context, a transport.Address) {
	if a.ID() == "" || !w.once(a.String()) || ctx.Err() != nil {
		return
	}
	network := "ip"
	switch text := a.String(); {
	case strings.HasPrefix(text, "/dns4/"):
		network = "ip4"
	case strings.HasPrefix(text, "/dns6/"):
		network = "ip6"
	}
	ips, err := transport.Resolve(ctx, ipResolver{w.resolver}, network, a.Host())
	if err != nil {
		w.fail(err)
		return
	}
	for _, ip := range ips {
		if at, ok := a.WithIP(ip); ok {
			w.add(at)
		}
	}
}

// bounded takes the first maxRecords TXT records of a name.
type bounded struct{ madns.BasicResolver }

// LookupTXT implements madns.BasicResolver.
func (b bounded) LookupTXT(ctx context.Context, name string) ([]string, error) {
	records, err := b.BasicResolver.LookupTXT(ctx, name)
	return records[:min(len(records), maxRecords)], err
}

// ipResolver is a BasicResolver as package transport wants it.
type ipResolver struct{ madns.BasicResolver }

// LookupNetIP implements transport.Resolver.
func (r ipResolver) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	found, err := r.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	ips := make([]netip.Addr, 0, len(found))
	for _, f := range found {
		if ip, ok := netip.AddrFromSlice(f.IP); ok {
			ips = append(ips, ip)
		}
	}
	return ips, nil
}
