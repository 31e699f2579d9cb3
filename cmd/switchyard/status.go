package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// statusAnswer is what GET /v1/status tells.
type statusAnswer struct {
	NodeID  string   `json:"node_id"`
	PeerID  string   `json:"peer_id"`
	Network string   `json:"network"`
	Moniker string   `json:"moniker"`
	Version string   `json:"version"`
	Listen  []string `json:"listen"`
	UptimeS float64  `json:"uptime_s"`
	Peers   struct {
		Inbound  int `json:"inbound"`
		Outbound int `json:"outbound"`
		Trusted  int `json:"trusted"`
	} `json:"peers"`
	Store struct {
		Known  int `json:"known"`
		Tried  int `json:"tried"`
		New    int `json:"new"`
		Banned int `json:"banned"`
	} `json:"store"`
	Goroutines int `json:"goroutines"`
}

// peerAnswer is one entry of GET /v1/peers.
type peerAnswer struct {
	NodeID     string  `json:"node_id"`
	PeerID     string  `json:"peer_id"`
	Address    string  `json:"address"`
	Direction  string  `json:"direction"`
	Wire       string  `json:"wire"`
	Transport  string  `json:"transport"`
	Moniker    string  `json:"moniker"`
	Network    string  `json:"network"`
	Trusted    bool    `json:"trusted"`
	Score      int     `json:"score"`
	ConnectedS float64 `json:"connected_s"`
	Sent       uint64  `json:"sent_bytes"`
	Received   uint64  `json:"received_bytes"`
	RTT        float64 `json:"rtt_ms"`
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func statusCommand() *cobra.Command {
	var (
		h      home
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "status", Short: "Show how the running node is doing", Args: takes(),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := h.client()
			if err != nil {
				return err
			}
			var s statusAnswer
			data, err := c.get(cmd.Context(), "/v1/status", &s)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), json.RawMessage(data))
			}
			printPairs(cmd.OutOrStdout(), [][2]string{
				{"node id", s.NodeID},
				{"peer id", s.PeerID},
				{"moniker", s.Moniker},
				{"network", s.Network},
				{"version", s.Version},
				{"listens on", strings.Join(s.Listen, " ")},
				{"up", span(seconds(s.UptimeS))},
				{"peers", fmt.Sprintf("%d outbound, %d inbound, %d trusted", s.Peers.Outbound, s.Peers.Inbound, s.Peers.Trusted)},
				{"store", fmt.Sprintf("%d known (%d tried, %d new), %d banned", s.Store.Known, s.Store.Tried, s.Store.New, s.Store.Banned)},
				{"goroutines", fmt.Sprint(s.Goroutines)},
			})
			return nil
		},
	}
	h.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func peersCommand() *cobra.Command {
	var (
		h      home
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "peers", Short: "List the peers of the running node", Args: takes(),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := h.client()
			if err != nil {
				return err
			}
			var peers []peerAnswer
			data, err := c.get(cmd.Context(), "/v1/peers", &peers)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, json.RawMessage(data))
			}
			if len(peers) == 0 {
				_, err := fmt.Fprintln(out, "no peers")
				return err
			}
			t := table{heads: []string{"ID", "DIR", "MONIKER", "WIRE", ">UP", ">SENT", ">RECEIVED", ">RTT", ">SCORE", "ADDRESS"}}
			for _, p := range peers {
				direction := map[string]string{"inbound": "in", "outbound": "out"}[p.Direction]
				if p.Trusted {
					direction += "*"
				}
				id := p.NodeID
				if id == "" {
					id = p.PeerID
				}
				t.add(short(id), direction, p.Moniker, p.Wire+"/"+p.Transport, span(seconds(p.ConnectedS)), size(p.Sent), size(p.Received), rtt(p.RTT), fmt.Sprint(p.Score), bare(p.Address))
			}
			t.print(out)
			plural := "s"
			if len(peers) == 1 {
				plural = ""
			}
			_, err = fmt.Fprintf(out, "\n%d peer%s; * trusted\n", len(peers), plural)
			return err
		},
	}
	h.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// bare is an address without its node component, which the table shows in a column of its own.
func bare(address string) string {
	for _, name := range []string{"/mconn/", "/p2p/"} {
		if i := strings.LastIndex(address, name); i >= 0 {
			return address[:i]
		}
	}
	return address
}
