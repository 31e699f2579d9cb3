package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// dialResult is what dial --json prints.
type dialResult struct {
	OK        bool       `json:"ok"`
	Address   string     `json:"address"`
	NodeID    string     `json:"node_id"`
	PeerID    string     `json:"peer_id"`
	Wire      string     `json:"wire"`
	Transport string     `json:"transport"`
	Security  string     `json:"security"`
	Muxer     string     `json:"muxer"`
	Stages    []stageMS  `json:"stages"`
	Info      remoteInfo `json:"info"`
}

type stageMS struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
}

type remoteInfo struct {
	Moniker   string   `json:"moniker"`
	Network   string   `json:"network"`
	Version   string   `json:"version"`
	Channels  []int    `json:"channels"`
	Protocols []string `json:"protocols"`
	Listen    []string `json:"listen"`
}

const addressHelp = `ADDRESS names the remote and the wire:
  id@host:port, /ip4/1.2.3.4/tcp/26656/mconn/<id>      comet
  /ip4/1.2.3.4/tcp/26656/p2p/<peer id>                 libp2p over TCP
  /ip4/1.2.3.4/udp/26656/quic-v1/p2p/<peer id>         libp2p over QUIC
Without an id any node is accepted, and the wires are tried in turn.

`

func (p *Program) dialCommand() *cobra.Command {
	f := visitFlags{home: home{p: p}}
	cmd := &cobra.Command{
		Use: "dial ADDRESS", Short: "Make one handshake, stage by stage, then hang up", Args: takes("ADDRESS"),
		Long: "Make one handshake, stage by stage, then hang up.\n\n" +
			addressHelp +
			"Without --network and --home, a first handshake learns the remote's network, and a second joins it.\n" +
			"A plain libp2p node has no network, and asks for none.",
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := address(args[0])
			if err != nil {
				return err
			}
			v, err := f.visitor(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if !f.json {
				fmt.Fprintln(out, "dialing", addr)
				v.note = func(s string) { fmt.Fprintln(out, "  "+s) }
				v.progress = func(stage string, took time.Duration, what string) { printStage(out, stage, took, what) }
			}
			link, err := v.connect(cmd.Context(), addr)
			if err != nil {
				return f.report(out, handshake.StageTransport, err)
			}
			visit := begin(cmd.Context(), link)
			defer visit.end()
			if !f.json { // the first two are printed already
				for _, s := range link.Stages[min(2, len(link.Stages)):] {
					printStage(out, s.Name, s.Took,
						map[string]string{handshake.StageMuxer: link.Muxer,
							handshake.StageInfo: "node info exchanged"}[s.Name])
				}
			}
			if err := visit.settle(cmd.Context()); err != nil {
				return f.report(out, handshake.StageInfo, err)
			}
			if f.json {
				return printJSON(out, resultOf(addr.String(), link))
			}
			printLink(out, link)
			return nil
		},
	}
	f.add(cmd, 10*time.Second)
	return cmd
}

func printStage(w io.Writer, stage string, took time.Duration, what string) {
	fmt.Fprintf(w, "  %-10s %9.3f ms  %s\n", stage, milliseconds(took), clean(what))
}

func printLink(w io.Writer, l *handshake.Link) {
	channels := make([]string, len(l.Remote.Channels))
	for i, c := range l.Remote.Channels {
		channels[i] = fmt.Sprintf("0x%02x", c)
	}
	pairs := [][2]string{
		{"link", linkText(l)},
		{"node id", string(l.ID())},
		{"peer id", l.RemoteKey.PeerID()},
	}
	if l.Remote.Guest {
		pairs = append(pairs, [2]string{"guest", "a plain libp2p node, which names no network"})
	} else {
		pairs = append(pairs, [][2]string{{"moniker", l.Remote.Moniker}, {"network", l.Remote.Network},
			{"channels", strings.Join(channels, " ")}}...)
	}
	pairs = append(pairs, [2]string{"version", l.Remote.Version})
	if len(l.Remote.Protocols) > 0 {
		pairs = append(pairs, [2]string{"protocols", strings.Join(l.Remote.Protocols, " ")})
	}
	pairs = append(pairs, [2]string{"listens on", strings.Join(l.Remote.Listen, " ")})
	fmt.Fprintln(w)
	printPairs(w, pairs)
}

// linkText names the parts of a link.
func linkText(l *handshake.Link) string {
	return strings.Join([]string{l.Wire, l.Transport, l.Security, l.Muxer}, " / ")
}

func resultOf(addr string, l *handshake.Link) dialResult {
	r := dialResult{
		OK: true, Address: addr, NodeID: string(l.ID()), PeerID: l.RemoteKey.PeerID(),
		Wire: l.Wire, Transport: l.Transport, Security: l.Security, Muxer: l.Muxer,
		Stages: []stageMS{},
		Info: remoteInfo{
			Moniker: l.Remote.Moniker, Network: l.Remote.Network, Version: l.Remote.Version,
			Channels: []int{}, Protocols: append([]string{}, l.Remote.Protocols...),
			Listen: append([]string{}, l.Remote.Listen...),
		},
	}
	for _, s := range l.Stages {
		r.Stages = append(r.Stages, stageMS{s.Name, milliseconds(s.Took)})
	}
	for _, c := range l.Remote.Channels {
		r.Info.Channels = append(r.Info.Channels, int(c))
	}
	return r
}
