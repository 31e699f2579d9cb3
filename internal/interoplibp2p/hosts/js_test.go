package hosts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/jspeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// jsAgent is the agent string of peer.mjs.
const jsAgent = "js-libp2p/test"

// jsPair is one of our nodes and a js-libp2p node.
type jsPair struct {
	ours   *node.Node
	theirs *jspeer.Peer
	us     string            // our peer id
	them   transport.Address // where we dial it
	ctx    context.Context
}

// do runs a command of the js-libp2p node.
func (p *jsPair) do(t *testing.T, what string, args jspeer.Args, result any) {
	t.Helper()
	if args == nil {
		args = jspeer.Args{}
	}
	args["peer"] = p.us
	if err := p.theirs.Do(p.ctx, what, args, result); err != nil {
		t.Fatal(err)
	}
}

// await waits until we have the link.
func (p *jsPair) await(t *testing.T) (info host.PeerInfo) {
	t.Helper()
	node.Await(t, "we have the link", func() (ok bool) {
		info, ok = p.ours.Host.Peer(p.them.ID())
		return ok
	})
	return info
}

func (p *jsPair) connect(t *testing.T, weDial bool) host.PeerInfo {
	t.Helper()
	var seen struct{ Peer, Security, Muxer string }
	if weDial {
		if _, err := p.ours.Host.Dial(p.ctx, p.them); err != nil {
			t.Fatal(err)
		}
		p.do(t, "connected", nil, &seen)
	} else {
		p.do(t, "dial", jspeer.Args{"address": p.ours.Listen("tcp").String() + "/p2p/" + p.us}, &seen)
	}
	if seen.Peer != p.us || seen.Security != "/noise" || seen.Muxer != "/yamux/1.0.0" {
		t.Errorf("js-libp2p sees %+v", seen)
	}
	return p.await(t)
}

func (p *jsPair) apart(t *testing.T) {
	t.Helper()
	node.Await(t, "we see the end of the link", func() bool {
		_, up := p.ours.Host.Peer(p.them.ID())
		return !up
	})
	p.do(t, "gone", nil, nil)
}

// meetJS links one of our nodes and a js-libp2p node over TCP, Noise and yamux, dialed from either end.
func meetJS(t *testing.T, ours *node.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	p := &jsPair{ours: ours, theirs: jspeer.Start(t, "../jspeer"), ctx: ctx}
	p.us = p.ours.PeerID().String()
	var err error
	if p.them, err = transport.ParseAddress(p.theirs.Listen[0]); err != nil {
		t.Fatal(err)
	}
	for _, weDial := range []bool{true, false} {
		name := "they dial"
		if weDial {
			name = "we dial"
		}
		t.Run(name, func(t *testing.T) {
			info := p.connect(t, weDial)
			for _, c := range jsConversations {
				t.Run(c.name, func(t *testing.T) { c.run(t, p) })
			}
			if again := p.await(t); again.Connected != info.Connected {
				t.Error("the link was made again")
			}
			if weDial {
				p.do(t, "hangup", nil, nil)
			} else {
				p.ours.Host.Disconnect(p.them.ID(), muxer.CodeRequested, "a test")
			}
			p.apart(t)
		})
	}
	t.Run("wrong id", func(t *testing.T) { jsWrongID(t, p) })
}

var jsConversations = []struct {
	name string
	run  func(t *testing.T, p *jsPair)
}{{"identify", jsIdentify}, {"push", jsPush}, {"ping", jsPing}, {"echo", jsEcho}, {"reset", jsReset},
	{"unknown protocol", jsUnknown}}

// told is the information that js-libp2p got by identify.
type told struct {
	Agent, Version, Observed string
	Protocols, Listen        []string
}

func jsIdentify(t *testing.T, p *jsPair) {
	i := p.await(t)
	if i.PeerID != p.theirs.ID || i.Version != jsAgent || i.Wire != "libp2p" || i.Security != "noise" ||
		i.Muxer != "yamux" || !slices.Contains(i.Protocols, node.Echo) ||
		len(i.Listen) == 0 || !strings.HasPrefix(p.theirs.Listen[0], i.Listen[0]) {
		t.Errorf("we see %+v", i)
	}
	var s told
	p.do(t, "identified", nil, &s)
	if s.Agent != node.Agent || !slices.Contains(s.Protocols, node.Echo) || s.Version == "" || s.Observed == "" {
		t.Errorf("js-libp2p sees %+v", s)
	}
	for _, a := range p.ours.Host.ListenAddrs() {
		if !slices.ContainsFunc(s.Listen, func(l string) bool { return strings.HasPrefix(l, a.String()) }) {
			t.Errorf("js-libp2p sees the addresses %q, we listen on %v", s.Listen, a)
		}
	}
}

// jsPush checks that each end learns of a new protocol of the other.
func jsPush(t *testing.T, p *jsPair) {
	theirs, ours := "/their-new/"+p.linkNumber(t), "/our-new/"+p.linkNumber(t)
	p.do(t, "handle", jspeer.Args{"protocol": theirs}, nil)
	node.Await(t, "we hear of their new protocol", func() bool {
		i, _ := p.ours.Host.Peer(p.them.ID())
		return slices.Contains(i.Protocols, theirs)
	})
	if err := p.ours.Host.HandleStream(ours, func(context.Context, transport.NodeID, muxer.Stream) {}); err != nil {
		t.Fatal(err)
	}
	var s told
	p.do(t, "identified", jspeer.Args{"protocol": ours}, &s)
}

// linkNumber numbers the links, to distinguish them.
func (p *jsPair) linkNumber(t *testing.T) string {
	if p.await(t).Inbound {
		return "2"
	}
	return "1"
}

func jsPing(t *testing.T, p *jsPair) {
	for range 5 {
		var r struct{ MS float64 }
		p.do(t, "ping", nil, &r)
	}
	s, err := p.ours.Host.OpenStream(p.ctx, p.them.ID(), "/ipfs/ping/1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	pingOn(t, s, 5)
}

func jsEcho(t *testing.T, p *jsPair) {
	for _, n := range []int{0, 1, 65536, 256<<10 + 1, 1 << 20, 16 << 20} {
		p.do(t, "echo", jspeer.Args{"size": n}, nil)
		s, err := p.ours.Host.OpenStream(p.ctx, p.them.ID(), node.Echo)
		if err != nil {
			t.Fatal(err)
		}
		if err := echo(s, n); err != nil {
			t.Errorf("we ask for %d bytes: %v", n, err)
		}
	}
}

func jsReset(t *testing.T, p *jsPair) {
	p.do(t, "reset", nil, nil)
	s, err := p.ours.Host.OpenStream(p.ctx, p.them.ID(), node.Echo)
	if err == nil {
		_, err = s.Read(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write(make([]byte, 100_000))
	_ = s.Reset(muxer.CodeRequested)
	p.do(t, "echo", jspeer.Args{"size": 1000}, nil)
}

func jsUnknown(t *testing.T, p *jsPair) {
	s, err := p.ours.Host.OpenStream(p.ctx, p.them.ID(), "/nonsense/1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(nil); !errors.Is(err, muxer.ErrUnknownProtocol) {
		t.Error("js-libp2p took nonsense")
	}
	if err := p.theirs.Do(p.ctx, "open", jspeer.Args{"peer": p.us, "protocol": "/nonsense/1.0.0"}, nil); err == nil ||
		!strings.Contains(err.Error(), "UnsupportedProtocol") {
		t.Errorf("js-libp2p asks for nonsense: %v", err)
	}
	p.do(t, "echo", jspeer.Args{"size": 1000}, nil)
}

// jsWrongID checks that the dialer notices a wrong id, whichever end dials.
func jsWrongID(t *testing.T, p *jsPair) {
	other := node.Start(t, node.Config{}).PeerID().String()
	wrong, err := transport.NewAddress(p.them.Multiaddr(), other)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.ours.Host.Dial(p.ctx, wrong)
	wantStage(t, err, "security", muxer.CodeWrongID)
	args := jspeer.Args{"address": p.ours.Listen("tcp").String() + "/p2p/" + other}
	if err := p.theirs.Do(p.ctx, "dial", args, nil); err == nil {
		t.Error("js-libp2p dialed the wrong id")
	}
	p.connect(t, true)
	p.do(t, "echo", jspeer.Args{"size": 1000}, nil)
}
