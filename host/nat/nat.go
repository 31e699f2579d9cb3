// Package nat asks the gateway of a home network to forward the ports on which the node listens, so that others can
// dial it, and tells the host the addresses outside (host.Reach). It speaks PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP
// IGD, tried in this order, for IPv4. A mapping is renewed at half its life and deleted at the end of Run.
//
// The service is off unless the configuration enables it: a server has its address or a port that its operator
// forwards, and no program should open a way through a router that nobody has asked for.
//
// Gateways are trusted with nothing but the address that they name. It is advertised only if it is public: a gateway
// that is itself behind a translator (100.64.0.0/10 and private ranges) makes no node reachable.
package nat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	defaultLifetime = time.Hour
	minLifetime     = 2 * time.Minute
	maxLifetime     = 24 * time.Hour
	// requestTime bounds a request to the gateway with its repetitions.
	requestTime = 3 * time.Second
	// deleteTime bounds the deletion of all mappings at the end.
	deleteTime = 3 * time.Second
	// After a failure the next attempt comes after minRetry, then twice as late, up to maxRetry.
	minRetry  = time.Minute
	maxRetry  = 30 * time.Minute
	maxMapped = 8 // ports
	pcpPort   = 5351
)

// Config has the service's settings. The zero Config works.
type Config struct {
	// Gateway is the IP of the gateway; "" means that of the default route.
	Gateway string `toml:"gateway"`
	// Lifetime is how long a mapping is asked for, 2m to 24h; it is renewed at half of what the gateway grants. 0 means
	// 1h.
	Lifetime time.Duration `toml:"lifetime"`
	// Protocols are tried in this order: "pcp", "nat-pmp", "upnp". None means all.
	Protocols []string `toml:"protocols"`
}

// Default asks by all protocols.
func Default() Config {
	return Config{Lifetime: defaultLifetime, Protocols: []string{"pcp", "nat-pmp", "upnp"}}
}

// Validate returns what is wrong.
func (c Config) Validate() error {
	if c.Gateway != "" {
		if ip, err := netip.ParseAddr(c.Gateway); err != nil || !ip.Is4() {
			return fmt.Errorf("gateway: %.60q is not an IPv4 address", c.Gateway)
		}
	}
	if c.Lifetime != 0 && (c.Lifetime < minLifetime || c.Lifetime > maxLifetime) {
		return fmt.Errorf("lifetime: %v is not in %v to %v", c.Lifetime, minLifetime, maxLifetime)
	}
	for i, p := range c.Protocols {
		if !slices.Contains(Default().Protocols, p) || slices.Contains(c.Protocols[:i], p) {
			return fmt.Errorf("protocols: %.40q: want some of %s, each once", p,
				strings.Join(Default().Protocols, ", "))
		}
	}
	return nil
}

// port is a port on which the node listens.
type port struct {
	udp    bool
	number uint16
}

func (p port) String() string {
	if p.udp {
		return fmt.Sprintf("udp/%d", p.number)
	}
	return fmt.Sprintf("tcp/%d", p.number)
}

// mapping is what a gateway has granted.
type mapping struct {
	external netip.AddrPort
	life     time.Duration
}

// mapper asks a gateway by one protocol. Its user is one goroutine.
type mapper interface {
	name() string
	// mapPort makes or renews a mapping; a wish of 0 leaves the port outside to the gateway. A life of 0 deletes it.
	mapPort(ctx context.Context, at port, wish uint16, life time.Duration) (mapping, error)
}

// node is the part of the host that the service uses.
type node interface {
	WaitListening(ctx context.Context) error
	ListenAddrs() []ma.Multiaddr
}

// Service keeps the mappings.
type Service struct {
	cfg     Config
	node    node
	publish func([]ma.Multiaddr) // says what is mapped
	log     *slog.Logger
	gateway func() (netip.Addr, error)
	mappers func(gateway netip.Addr) []mapper

	// Run's goroutine owns what follows.
	at     netip.Addr // the gateway
	chosen mapper     // that has worked; nil before
	held   map[port]mapping
	until  time.Time // when what is held ends, if it is not renewed
	said   string    // what was logged last
}

// New checks the settings. It asks nobody yet.
func New(cfg Config, h *host.Host, log *slog.Logger) (*Service, error) {
	return newService(cfg, h, h.Reach.Map, log)
}

func newService(cfg Config, n node, publish func([]ma.Multiaddr), log *slog.Logger) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("service nat: %w", err)
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = defaultLifetime
	}
	if len(cfg.Protocols) == 0 {
		cfg.Protocols = Default().Protocols
	}
	if log == nil {
		log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s := &Service{cfg: cfg, node: n, publish: publish, log: log, gateway: findGateway, held: map[port]mapping{}}
	if cfg.Gateway != "" {
		ip, err := netip.ParseAddr(cfg.Gateway)
		s.gateway = func() (netip.Addr, error) { return ip, err }
	}
	s.mappers = s.protocols
	return s, nil
}

// protocols makes the mappers for a gateway, in the order of the configuration.
func (s *Service) protocols(gateway netip.Addr) []mapper {
	var all []mapper
	for _, p := range s.cfg.Protocols {
		switch p {
		case "pcp":
			all = append(all, &pcp{netip.AddrPortFrom(gateway, pcpPort), map[port][pcpNonce]byte{}})
		case "nat-pmp":
			all = append(all, &pmp{gateway})
		case "upnp":
			all = append(all, &upnp{gateway: gateway})
		}
	}
	return all
}

// Run keeps the ports mapped until ctx ends, and deletes the mappings then. A gateway that does not answer is no error:
// the node works without.
func (s *Service) Run(ctx context.Context) error {
	if err := s.node.WaitListening(ctx); err != nil {
		return nil // the host says why
	}
	ports := s.ports()
	if len(ports) == 0 {
		s.log.Info("no port to map: the node listens on no private IPv4 address")
		<-ctx.Done()
		return nil
	}
	defer s.release(ctx)
	retry := minRetry
	for {
		wait, err := s.round(ctx, ports)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			retry = minRetry
		default:
			if s.said != err.Error() {
				s.said = err.Error()
				s.log.Warn("the gateway maps no ports", slog.Any("error", err))
			}
			if len(s.held) > 0 && !time.Now().Before(s.until) {
				clear(s.held)
				s.publish(nil)
			}
			wait = retry
			retry = min(2*retry, maxRetry)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// ports returns those that a gateway may forward to us.
func (s *Service) ports() []port {
	var ports []port
	for _, m := range s.node.ListenAddrs() {
		ip, ok := transport.MultiaddrIP(m)
		if !ok || len(m) < 2 || !ip.Unmap().Is4() || ip.IsLoopback() || transport.IsPublicIP(ip) {
			continue
		}
		a, err := transport.NewAddress(m, "")
		if err != nil || a.Port() == 0 {
			continue
		}
		ports = distinct(ports, port{m[1].Code() == ma.P_UDP, uint16(a.Port())})
	}
	return ports
}

// round makes or renews all mappings, and returns when to do so again.
func (s *Service) round(ctx context.Context, ports []port) (time.Duration, error) {
	gateway, err := s.gateway()
	if err != nil {
		return 0, err
	}
	try := []mapper{s.chosen}
	if s.chosen == nil || gateway != s.at {
		try = s.mappers(gateway)
	}
	var errs []error
	for _, m := range try {
		held, err := s.mapAll(ctx, m, ports)
		if ctx.Err() != nil {
			if len(held) > 0 { // to delete them
				s.chosen = m
				maps.Copy(s.held, held)
			}
			return 0, ctx.Err()
		}
		if len(held) == 0 {
			errs = append(errs, err)
			continue
		}
		if err != nil {
			s.log.Warn("some ports are not mapped", slog.Any("error", err))
		}
		s.at, s.chosen, s.held = gateway, m, held
		return s.granted(), nil
	}
	s.chosen = nil // the next round tries all of them
	return 0, errors.Join(errs...)
}

// mapAll maps the ports by one protocol. It gives up if the first one fails.
func (s *Service) mapAll(ctx context.Context, m mapper, ports []port) (map[port]mapping, error) {
	held := map[port]mapping{}
	var errs []error
	for _, p := range ports {
		wish := s.held[p].external.Port()
		if wish == 0 {
			wish = p.number
		}
		request, cancel := context.WithTimeout(ctx, requestTime)
		got, err := m.mapPort(request, p, wish, s.cfg.Lifetime)
		cancel()
		switch {
		case err == nil && got.life > 0 && got.external.IsValid() && got.external.Port() != 0:
			held[p] = got
			continue
		case err == nil:
			err = fmt.Errorf("%s: the gateway grants %s for %v", m.name(), got.external, got.life)
		}
		errs = append(errs, fmt.Errorf("%s: %w", p, err))
		if len(held) == 0 {
			break
		}
	}
	return held, errors.Join(errs...)
}

// granted publishes what is held, and returns after which time to renew it.
func (s *Service) granted() time.Duration {
	life := s.cfg.Lifetime
	var out []ma.Multiaddr
	var text, private []string
	for _, p := range slices.SortedFunc(maps.Keys(s.held), func(a, b port) int {
		return strings.Compare(a.String(), b.String())
	}) {
		m := s.held[p]
		life = min(life, m.life)
		if !transport.IsPublicIP(m.external.Addr()) {
			private = append(private, m.external.String())
			continue
		}
		text = append(text, p.String()+" at "+m.external.String())
		if p.udp {
			out = append(out, transport.QUICMultiaddr(m.external))
		} else {
			out = append(out, transport.TCPMultiaddr(m.external))
		}
	}
	s.until = time.Now().Add(life)
	s.publish(out)
	if said := strings.Join(append(text, private...), ", "); s.said != said {
		s.said = said
		if len(text) > 0 {
			s.log.Info("the gateway forwards our ports", slog.String("protocol", s.chosen.name()),
				slog.String("gateway", s.at.String()), slog.String("ports", strings.Join(text, ", ")))
		}
		if len(private) > 0 {
			s.log.Warn("the gateway has no public address: it is behind a translator itself; nobody outside reaches us",
				slog.String("addresses", strings.Join(private, ", ")))
		}
	}
	return max(life/2, minLifetime/2)
}

// release deletes the mappings at the end.
func (s *Service) release(ctx context.Context) {
	s.publish(nil)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTime)
	defer cancel()
	if s.chosen == nil {
		return
	}
	for p, m := range s.held {
		if _, err := s.chosen.mapPort(ctx, p, m.external.Port(), 0); err != nil {
			s.log.Debug("a mapping was not deleted; it ends by itself", slog.String("port", p.String()),
				slog.Any("error", err))
		}
	}
}
