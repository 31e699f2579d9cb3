package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/autonat"
	"github.com/switchyard-p2p/switchyard/host/nat"
	"github.com/switchyard-p2p/switchyard/modules"
)

// Grades of a diagnosis.
const (
	gradeOK   = "ok"
	gradeWarn = "warn"
	gradeBad  = "bad"
)

// diagnosis is what one check of doctor found.
type diagnosis struct {
	Check  string `json:"check"`
	Grade  string `json:"grade"` // ok, warn or bad
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// errIll is why doctor fails.
var errIll = errors.New("something is bad: see the remedies above")

func (p *Program) doctorCommand() *cobra.Command {
	var (
		h      = home{p: p}
		asJSON bool
		probe  bool
	)
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what keeps the node from working well", Args: takes(),
		Long: "Look for what keeps the node from working well: the configuration, file descriptors, the clock, " +
			"ports,\n" +
			"names, NAT and reachability. Each check says ok, warn or bad, with a remedy. Exit code 1 if one is " +
			"bad.\n" +
			"The node may run or not; while it runs, doctor asks it how it is and where its peers see it, and it\n" +
			"asks up to three peers to dial it back (up to 50 s; --timeout bounds that, too).",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := h.diagnose(cmd.Context(), probe)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				if err := printJSON(out, list); err != nil {
					return err
				}
			} else {
				for _, d := range list {
					fmt.Fprintf(out, "%-4s  %-12s  %s\n", d.Grade, d.Check, clean(d.Text))
					if d.Remedy != "" {
						fmt.Fprintf(out, "%20s-> %s\n", "", clean(d.Remedy))
					}
				}
			}
			if slices.ContainsFunc(list, func(d diagnosis) bool { return d.Grade == gradeBad }) {
				return errIll
			}
			return nil
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&probe, "probe", false,
		"ask the gateway of this network by what it maps ports, also where services.nat is off")
	return cmd
}

// patient is what doctor looks at.
type patient struct {
	cfg    modules.Config
	client *admin.Client // nil if the API is off
	status *admin.Status // nil if the node does not run
	peers  []admin.Peer
	// mapping is services.nat.enabled; "" if this build has no such service.
	mapping string
	// dialBack is what peers say that the node has asked to dial it; nil if it could not ask, which unasked explains.
	dialBack *autonat.Report
	unasked  string
	// gateway is what the NAT check asks the gateway with; nil if it does not ask.
	gateway *nat.Config
}

// diagnose runs all checks. An error means that there is nothing to check: the folder or the call is wrong.
func (h *home) diagnose(ctx context.Context, probe bool) ([]diagnosis, error) {
	if _, err := h.folder(); err != nil {
		return nil, err
	}
	cfg, err := h.config()
	if err != nil {
		var call *modules.UsageError
		if errors.As(err, &call) || exitCode(err) == exitUsage {
			return nil, err
		}
		return []diagnosis{{"config", gradeBad, message(err), "mend it; " + h.p.Name + " check says when it is " +
			"right"}}, nil
	}
	at := &patient{cfg: cfg.Fit(h.p.Plugins...)}
	for _, s := range below(cfg.Effective(h.p.Plugins...), "services.nat.enabled") {
		at.mapping = fmt.Sprint(s.Value)
	}
	if probe || at.mapping == "true" {
		at.gateway = &nat.Config{}
		for _, s := range below(cfg.Effective(h.p.Plugins...), "services.nat.gateway") {
			at.gateway.Gateway = fmt.Sprint(s.Value)
		}
	}
	var list []diagnosis
	add := func(d ...diagnosis) { list = append(list, d...) }
	warnings, err := h.p.checkFiles(&cfg)
	switch {
	case err != nil:
		add(diagnosis{"config", gradeBad, message(err), "mend it; " + h.p.Name + " check says when it is right"})
	case len(warnings) > 0:
		add(diagnosis{"config", gradeWarn, strings.Join(warnings, "; "), "see " + h.p.Name + " check"})
	default:
		add(diagnosis{"config", gradeOK, "the configuration and the key are right", ""})
	}
	add(h.visit(ctx, at))
	at.askBack(ctx, h.timeout)
	for _, check := range []func(context.Context, *patient) []diagnosis{
		checkDescriptors, checkClock, checkPorts, checkDNS, checkNAT, checkGateway,
		checkReach,
		checkDialBack,
	} {
		bounded, cancel := context.WithTimeout(ctx, h.timeout)
		add(check(bounded, at)...)
		cancel()
	}
	if at.status != nil {
		for _, f := range at.status.Findings {
			grade := map[string]string{"bad": gradeBad, "warn": gradeWarn}[string(f.Severity)]
			if grade == "" {
				grade = gradeOK
			}
			add(diagnosis{"finding", grade, f.Code + ": " + f.Text, f.Remedy})
		}
	}
	return list, nil
}

// visit asks the running node, if there is one.
func (h *home) visit(ctx context.Context, at *patient) diagnosis {
	var err error
	if at.client, err = h.client(); err != nil {
		return diagnosis{"node", gradeWarn, message(err), "without the API, doctor cannot ask the node"}
	}
	status, err := at.client.Status(ctx)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
			return diagnosis{"node", gradeOK, "the node does not run, so its links are not checked", ""}
		}
		return diagnosis{"node", gradeBad, message(err), "see the node's log"}
	}
	at.status = &status
	at.peers, _ = at.client.Peers(ctx)
	return diagnosis{"node", gradeOK, fmt.Sprintf("runs since %s, with %d peers",
		span(time.Duration(status.Uptime)*time.Second), status.Peers.Inbound+status.Peers.Outbound), ""}
}

// checkDescriptors compares what the node may open with what its limits allow peers to take.
func checkDescriptors(_ context.Context, at *patient) []diagnosis {
	const spare = 256 // for the store, the API and dials
	have := modules.ThisMachine().Files
	limits := at.cfg.Limits.Derive(modules.ThisMachine())
	need := at.cfg.Peers.MaxInbound + at.cfg.Peers.MaxOutbound + at.cfg.Peers.Guests + limits.Handshakes + spare
	text := fmt.Sprintf("%d may be open; all links and handshakes together take up to %d", have, need)
	if have < need {
		return []diagnosis{{"descriptors", gradeWarn, text, "raise ulimit -n (LimitNOFILE of the service), or lower " +
			"peers.max_inbound or limits.handshakes"}}
	}
	return []diagnosis{{"descriptors", gradeOK, text, ""}}
}

// checkPorts binds the listen addresses of a node that does not run.
func checkPorts(ctx context.Context, at *patient) []diagnosis {
	if at.status != nil {
		return []diagnosis{{"ports", gradeOK, "the node listens on " + orElse(strings.Join(at.status.Listen, " "),
			"nothing"), ""}}
	}
	var out []diagnosis
	for _, text := range at.cfg.Listen.Addresses {
		m, err := ma.NewMultiaddr(text)
		if err != nil {
			continue // HOST:PORT; the configuration was checked
		}
		if err := bind(ctx, m); err != nil {
			out = append(out, diagnosis{"ports", gradeBad, text + ": " + message(err),
				"stop what has the port, or change listen.addresses"})
		} else {
			out = append(out, diagnosis{"ports", gradeOK, text + " is free", ""})
		}
	}
	if len(at.cfg.Listen.Addresses) == 0 {
		out = append(out, diagnosis{"ports", gradeWarn, "listen.addresses is empty: nobody can dial this node",
			"name an address there, unless that is wanted"})
	}
	return out
}

// bind opens the port of a listen address for a moment.
func bind(ctx context.Context, m ma.Multiaddr) error {
	network, address, err := manet.DialArgs(m)
	if err != nil {
		if network, address, err = manet.DialArgs(m.Decapsulate(ma.StringCast("/quic-v1"))); err != nil {
			return nil // not a port: another transport's
		}
	}
	var lc net.ListenConfig
	if strings.HasPrefix(network, "udp") {
		c, err := lc.ListenPacket(ctx, network, address)
		if err == nil {
			err = c.Close()
		}
		return err
	}
	c, err := lc.Listen(ctx, network, address)
	if err == nil {
		err = c.Close()
	}
	return err
}

// checkDNS resolves the names in the configuration.
func checkDNS(ctx context.Context, at *patient) []diagnosis {
	names := map[string]string{} // and the key that has each
	for _, l := range []struct {
		key  string
		list []string
	}{{"listen.external", at.cfg.Listen.External}, {"peers.persistent", at.cfg.Peers.Persistent},
		{"peers.bootstrap", at.cfg.Peers.Bootstrap}} {
		for _, text := range l.list {
			if name := nameOf(text); name != "" && len(names) < 50 {
				names[name] = l.key
			}
		}
	}
	if len(names) == 0 {
		return []diagnosis{{"dns", gradeOK, "no names in the configuration", ""}}
	}
	var (
		mu  sync.Mutex
		out []diagnosis
		wg  sync.WaitGroup
	)
	for name, key := range names {
		wg.Go(func() {
			ips, err := net.DefaultResolver.LookupHost(ctx, name)
			d := diagnosis{"dns", gradeOK, name + " is " + strings.Join(ips, " "), ""}
			if err != nil {
				d = diagnosis{"dns", gradeBad, fmt.Sprintf("%s (%s): %s", name, key, message(err)),
					"mend the name, or the resolver of this machine"}
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, d)
		})
	}
	wg.Wait()
	slices.SortFunc(out, func(a, b diagnosis) int { return strings.Compare(a.Text, b.Text) })
	return out
}

// nameOf returns the host name in an address; "" if it has an IP.
func nameOf(text string) string {
	if _, after, ok := strings.Cut(text, "@"); ok {
		text = after
	}
	if strings.HasPrefix(text, "/") {
		for _, proto := range []string{"/dns/", "/dns4/", "/dns6/", "/dnsaddr/"} {
			if _, after, ok := strings.Cut(text, proto); ok {
				name, _, _ := strings.Cut(after, "/")
				return name
			}
		}
		return ""
	}
	name, _, err := net.SplitHostPort(text)
	if err != nil || net.ParseIP(name) != nil || strings.HasSuffix(name, ".onion") {
		return ""
	}
	return name
}
