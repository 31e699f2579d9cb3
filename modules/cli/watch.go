package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
	"github.com/switchyard-p2p/switchyard/transport"
)

// How long a watch waits until it asks a node again that does not answer.
const (
	watchRetry     = 2 * time.Second
	watchRetryMost = 10 * time.Second
	watchTrend     = 180 // values of the traffic, one a second
)

// watchFlags adds --watch, and what goes with it.
func watchFlags(cmd *cobra.Command, watching *bool, out *live.Output) {
	cmd.Flags().BoolVar(watching, "watch", false, "show it live, until q or Ctrl-C")
	cmd.Flags().BoolVar(&out.Plain, "plain", false, "with --watch: print a line each 2 s, on a terminal, too")
}

// watch shows a running node until ctx ends or the user quits. raw is what --json prints of its state.
func (h *home) watch(ctx context.Context, out live.Output, screen live.Screen[live.Node],
	raw func(*admin.Snapshot) any) error {
	c, err := h.client()
	if err != nil {
		return err
	}
	if _, err := c.Status(ctx); err != nil { // later it may come and go
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer stop()
	nodes := make(chan live.Node, 1)
	parts.Go(func() { h.follow(ctx, c, nodes, raw) })
	return live.Show(ctx, out, screen, nodes, h.act)
}

// follow sends the state of the node, or why there is none, until ctx ends.
func (h *home) follow(ctx context.Context, c *admin.Client, nodes chan live.Node, raw func(*admin.Snapshot) any) {
	var (
		last  live.Node
		trend []float64
		step  time.Time
		boot  string
		since time.Time // when that start was
		wait  = watchRetry
	)
	for {
		err := c.Follow(ctx, func(m *admin.Mirror, _ string) error {
			s := m.Snapshot
			s.Peers = slices.Clone(s.Peers) // the mirror changes its own
			wait = watchRetry
			now := time.Now()
			if now.Sub(step) >= time.Second {
				step = now
				trend = append(trend, s.Status.Rates.Receive+s.Status.Rates.Send)
				trend = append([]float64(nil), trend[max(0, len(trend)-watchTrend):]...)
			}
			if s.BootID != boot {
				boot, since = s.BootID, now.Add(-time.Duration(s.Status.Uptime)*time.Second)
			}
			s.Status.Uptime = int64(now.Sub(since) / time.Second) // no message tells of it
			last = nodeOf(&s, now)
			last.Since, last.Trend, last.Raw = since, trend, raw(&s)
			offer(nodes, last)
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		last.Trouble = trouble(err)
		offer(nodes, last)
		select {
		case <-time.After(wait + rand.N(wait/2)):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, watchRetryMost)
		if next, err := h.client(); err == nil { // the configuration may have changed
			c = next
		}
	}
}

// trouble says why a node tells nothing, in a few words.
func trouble(err error) string {
	var unreachable *admin.UnreachableError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ENOENT):
		return "the node has stopped"
	case errors.As(err, &unreachable):
		return unreachable.Err.Error()
	}
	return err.Error()
}

// act does what a key asks of the node, and returns what became of it.
func (h *home) act(ctx context.Context, a live.Action) string {
	c, err := h.client() // each start of the node has a token of its own
	done := ""
	if err == nil {
		switch a := a.(type) {
		case live.Disconnect:
			id, bad := transport.ParseNodeID(a.ID)
			if err = bad; err == nil {
				err = c.Disconnect(ctx, id)
			}
			done = "disconnected " + id.Short()
		case live.Ban:
			_, err = c.Ban(ctx, a.ID, a.For, "by hand, from peers --watch")
			done = fmt.Sprintf("banned for %s; unban %s lifts it", span(a.For), a.ID)
		}
	}
	if err != nil {
		return err.Error()
	}
	return done
}

// nodeOf turns what the admin API tells into what a screen shows.
func nodeOf(s *admin.Snapshot, now time.Time) live.Node {
	st := &s.Status
	n := live.Node{Heard: now, ID: string(st.NodeID), PeerID: st.PeerID, Moniker: st.Moniker, Network: st.Network,
		Version: st.Version, Listen: st.Listen, Inbound: st.Peers.Inbound, Outbound: st.Peers.Outbound,
		MaxIn: st.Limits.MaxInbound, MaxOut: st.Limits.MaxOutbound, Trusted: st.Peers.Trusted, Guests: st.Peers.Guests,
		Receive: st.Rates.Receive, Send: st.Rates.Send, Known: st.Store.Known, Tried: st.Store.Tried, New: st.Store.New,
		Banned: st.Store.Banned, Quarantined: st.Store.Quarantined, Down: st.Peers.Down, Dials: st.Recent.Dials,
		Failed: st.Recent.DialsFailed, Refused: st.Recent.Refused, Goroutines: st.Goroutines}
	for _, f := range st.Findings {
		n.Findings = append(n.Findings, live.Finding{Severity: string(f.Severity), Text: f.Text, Remedy: f.Remedy})
	}
	for i := range s.Peers {
		n.Peers = append(n.Peers, peerOf(&s.Peers[i]))
	}
	for _, d := range st.Down {
		text := strings.TrimSuffix(fmt.Sprintf("%d dials failed: %s", d.Failures, d.LastError), ": ")
		switch {
		case d.Ban != nil:
			text = strings.TrimSuffix("banned: "+d.Ban.Reason, ": ")
		case d.NextTry.After(now):
			text += "; next try in " + span(d.NextTry.Sub(now))
		}
		n.Away = append(n.Away, live.Away{ID: string(d.NodeID), Kind: "down", Text: text})
	}
	for _, q := range st.Quarantined {
		n.Away = append(n.Away, live.Away{ID: string(q.NodeID), Kind: "in quarantine",
			Text: fmt.Sprintf("for %s: %s", span(q.Until.Sub(now)), q.Reason)})
	}
	for _, e := range s.Events {
		n.Events = append(n.Events, live.Line{Time: e.Time.Local(), Kind: lineKind(e.Kind), Text: e.Text})
	}
	return n
}

func lineKind(k host.EventKind) live.LineKind {
	switch k {
	case host.EventUp, host.EventMoved, host.EventFeeler:
		return live.LineUp
	case host.EventDown, host.EventDialFailed, host.EventRefused, host.EventMoveFailed, host.EventBan:
		return live.LineDown
	}
	return live.LineNote
}

func peerOf(p *admin.Peer) live.Peer {
	out := live.Peer{ID: string(p.NodeID), Moniker: cmp.Or(p.Moniker, p.Version), Kept: p.Kept,
		Wire: live.WireOf(p.Wire, p.Transport), Inbound: p.Direction == admin.Inbound, Trusted: p.Trusted,
		Guest: p.Guest, Since: p.Since, RTT: time.Duration(p.RTT * float64(time.Millisecond)),
		In: p.ReceiveRate, Out: p.SendRate,
		Score: p.Score, Address: p.Address}
	var stages []string
	for _, s := range p.Stages {
		stages = append(stages, fmt.Sprintf("%s %s", s.Name, rtt(s.MS)))
	}
	out.Details = [][2]string{{"node id", string(p.NodeID)}, {"peer id", p.PeerID}, {"moniker", p.Moniker},
		{"version", p.Version}, {"address", p.Address}, {"listens on", strings.Join(p.Listen, " ")},
		{"link", strings.Join([]string{p.Wire, p.Transport, p.Security, p.Muxer}, "/")}, {"direction", p.Direction},
		{"kept because", p.Kept}, {"handshake", strings.Join(stages, ", ")},
		{"channels", strings.Trim(fmt.Sprint(p.Channels), "[]")}, {"protocols", strings.Join(p.Protocols, " ")},
		{"messages", fmt.Sprintf("%d in, %d out; dropped %d in, %d out", p.ReceivedMessages, p.SentMessages,
			p.ReceiveDropped, p.SendDropped)},
		{"bytes", fmt.Sprintf("%s in, %s out", size(p.Received), size(p.Sent))}, {"round trip", rtt(p.RTT)},
		{"score", fmt.Sprint(p.Score)}}
	kept := out.Details[:0]
	for _, d := range out.Details {
		if d[1] != "" {
			kept = append(kept, d)
		}
	}
	out.Details = kept
	return out
}
