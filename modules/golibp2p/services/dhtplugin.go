package services

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
)

// dhtParts are what the service is built from.
type dhtParts struct {
	fx.In

	Host   corehost.Host
	Config modules.Config
}

func dhtPlugin() modules.Plugin {
	return modules.ServiceFrom("dht", DefaultDHT, func(cfg DHTConfig, in dhtParts, log *slog.Logger) (*DHT, error) {
		return NewDHT(cfg, in.Host, in.Config.Network, log)
	}, modules.WithRoutes((*DHT).routes), modules.WithMetrics((*DHT).collectors))
}

// pathDHT is where the routes of the service are.
const pathDHT = "/v1/services/dht/"

// mostValue bounds what put reads.
const mostValue = 512 << 10

// dhtCommand is the command dht and those below it.
func dhtCommand() modules.CommandSpec {
	return modules.CommandSpec{Name: "dht", Short: "Look for peers, providers and values in the Kademlia table",
		Long: "Look for peers, providers and values in the Kademlia table, through the running node, whose\n" +
			"services.dht.enabled must be true. The KEY of a provider is a CID; any other text stands for the CID\n" +
			"of its hash.",
		Commands: []modules.CommandSpec{
			statusCommand(), tableCommand(), findPeerCommand(), findProvidersCommand(), provideCommand(), putCommand(),
			getCommand(),
		}}
}

func statusCommand() modules.CommandSpec {
	asJSON := false
	return modules.CommandSpec{Name: "status", Short: "Tell how the node stands in the table",
		Flags: func(f *flag.FlagSet) { jsonFlag(f, &asJSON) },
		Run: func(ctx context.Context, call modules.Call) error {
			var out DHTStatus
			if err := ask(ctx, call, http.MethodGet, pathDHT+"status", nil, &out); err != nil {
				return err
			}
			return show(call, asJSON, out, func(w io.Writer) {
				fmt.Fprintf(w, "%s, mode %s: %d peers in the table, %d records (%d bytes)\n", live.Clean(out.Prefix),
					out.Mode, out.Peers, out.Records, out.RecordBytes)
			})
		}}
}

func tableCommand() modules.CommandSpec {
	asJSON := false
	return modules.CommandSpec{Name: "peers", Short: "List the peers in the table",
		Flags: func(f *flag.FlagSet) { jsonFlag(f, &asJSON) },
		Run: func(ctx context.Context, call modules.Call) error {
			return listPeers(ctx, call, pathDHT+"peers", asJSON)
		}}
}

// lookupFlags are those of commands that look something up.
type lookupFlags struct {
	json    bool
	timeout time.Duration
}

func (l *lookupFlags) add(f *flag.FlagSet) {
	jsonFlag(f, &l.json)
	f.DurationVar(&l.timeout, "timeout", time.Minute, "how long to wait; services.dht.timeout bounds the lookup")
}

// ask sends a request for a lookup.
func (l *lookupFlags) ask(ctx context.Context, call modules.Call, path string, in, out any) error {
	if l.timeout <= 0 {
		return &modules.UsageError{Err: fmt.Errorf("--timeout %v: want more than 0", l.timeout)}
	}
	client, err := call.Client()
	if err != nil {
		return err
	}
	client.SetTimeout(l.timeout)
	return client.Call(ctx, http.MethodPost, pathDHT+path, in, out)
}

func printPeer(w io.Writer, p PeerAddresses) {
	fmt.Fprintf(w, "%s  %s\n", p.NodeID, p.PeerID)
	for _, a := range p.Addresses {
		fmt.Fprintf(w, "  %s\n", live.Clean(a))
	}
}

func findPeerCommand() modules.CommandSpec {
	var l lookupFlags
	return modules.CommandSpec{Name: "find-peer", Args: []string{"PEER"}, Short: "Find the addresses of a peer",
		Flags: l.add,
		Run: func(ctx context.Context, call modules.Call) error {
			if _, err := parsePeer(call.Args[0]); err != nil {
				return &modules.UsageError{Err: err}
			}
			var out PeerAddresses
			if err := l.ask(ctx, call, "find-peer", peerRequest{call.Args[0]}, &out); err != nil {
				return err
			}
			return show(call, l.json, out, func(w io.Writer) { printPeer(w, out) })
		}}
}

func findProvidersCommand() modules.CommandSpec {
	var l lookupFlags
	count := 0
	return modules.CommandSpec{Name: "find-providers", Args: []string{"KEY"}, Short: "Find who has what a key names",
		Flags: func(f *flag.FlagSet) {
			l.add(f)
			f.IntVar(&count, "count", defaultProviders, "how many are enough")
		},
		Run: func(ctx context.Context, call modules.Call) error {
			if count < 1 || count > mostProviders {
				return &modules.UsageError{Err: fmt.Errorf("--count %d: want 1 to %d", count, mostProviders)}
			}
			var out []PeerAddresses
			if err := l.ask(ctx, call, "find-providers", keyRequest{call.Args[0], count}, &out); err != nil {
				return err
			}
			return show(call, l.json, out, func(w io.Writer) {
				for _, p := range out {
					printPeer(w, p)
				}
			})
		}}
}

func provideCommand() modules.CommandSpec {
	var l lookupFlags
	return modules.CommandSpec{Name: "provide", Args: []string{"KEY"},
		Short: "Tell the table that this node has what a key names",
		Long: "Tell the table that this node has what a key names. The nodes that keep it forget it after two days:\n" +
			"tell them again before.",
		Flags: l.add,
		Run: func(ctx context.Context, call modules.Call) error {
			var out Key
			if err := l.ask(ctx, call, "provide", keyRequest{Key: call.Args[0]}, &out); err != nil {
				return err
			}
			return show(call, l.json, out, func(w io.Writer) { fmt.Fprintln(w, out.CID) })
		}}
}

func putCommand() modules.CommandSpec {
	var l lookupFlags
	key := ""
	return modules.CommandSpec{Name: "put", Args: []string{"VALUE|-"}, Short: "Store a value in the table",
		Long: "Store VALUE, or the bytes of standard input (-), in the table, and print its key: /sha256/ and its\n" +
			"hash, or that of --key, such as /ipns/NAME, whose values the table must find good.",
		Flags: func(f *flag.FlagSet) {
			l.add(f)
			f.StringVar(&key, "key", "", "store it under this key")
		},
		Run: func(ctx context.Context, call modules.Call) error {
			value := []byte(call.Args[0])
			if call.Args[0] == "-" {
				var err error
				if value, err = io.ReadAll(io.LimitReader(call.In, mostValue+1)); err != nil {
					return err
				}
			}
			if len(value) > mostValue {
				return fmt.Errorf("the value has more than %d bytes", mostValue)
			}
			var out keyRequest
			if err := l.ask(ctx, call, "put", Value{key, value}, &out); err != nil {
				return err
			}
			return show(call, l.json, out, func(w io.Writer) { fmt.Fprintln(w, live.Clean(out.Key)) })
		}}
}

func getCommand() modules.CommandSpec {
	var l lookupFlags
	return modules.CommandSpec{Name: "get", Args: []string{"KEY"}, Short: "Print a value of the table",
		Long: "Print the value of a key, such as /sha256/HASH. Its bytes are printed as they are; --json has them\n" +
			"in base64.",
		Flags: l.add,
		Run: func(ctx context.Context, call modules.Call) error {
			var out Value
			if err := l.ask(ctx, call, "get", keyRequest{Key: call.Args[0]}, &out); err != nil {
				return err
			}
			return show(call, l.json, out, func(w io.Writer) { _, _ = w.Write(out.Value) })
		}}
}
