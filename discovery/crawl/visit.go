package crawl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// visitor makes visits. It has no state; its methods may be called concurrently.
type visitor struct {
	transports []transport.Transport
	wires      []handshake.Wire
	self       handshake.PublicKey
	moniker    string
	version    string
	timeout    time.Duration
	scope      *scope
}

// pexChannel is the only channel of a visit.
var pexChannel = muxer.Channel{ID: ChannelID, Name: "/pex/1.0.0", Priority: 1, MaxMessage: maxMessage,
	SendQueue: 2 * maxMessage, ReceiveQueue: 2 * maxMessage, Overflow: muxer.Drop}

// strangerNetwork is the network that we claim while we do not know the remote's. The remote then hangs up, but first
// it names its own.
const strangerNetwork = "switchyard-visitor"

// dials reports whether one of our transports and wires dials an address.
func (v *visitor) dials(a transport.Address) bool {
	m := a.Multiaddr()
	return m != nil && slices.ContainsFunc(v.transports, func(t transport.Transport) bool { return t.CanDial(m) }) &&
		slices.ContainsFunc(v.wires, func(w handshake.Wire) bool { return w.CanDial(a) })
}

// visit visits an address as a node of that network; "" for that of the remote, which takes a second dial. It reports
// false if ctx ended it, so that there is nothing to say about the remote.
func (v *visitor) visit(ctx context.Context, addr transport.Address, network string, seed bool) (*Visit, bool) {
	began := time.Now()
	out := &Visit{V: Version, Time: began.UTC().Round(time.Millisecond), Network: network, Address: addr, ID: addr.ID(),
		Seed: seed}
	link, info, err := v.link(ctx, out, addr, network)
	if network == "" && err != nil && info != nil && !info.Guest && info.Network != "" && ctx.Err() == nil {
		network = info.Network
		if sleep(ctx, secondDial) == nil {
			link, info, err = v.link(ctx, out, addr, network)
		}
	}
	if network == "" && err == nil && !link.Remote.Guest {
		network = link.Remote.Network
	}
	out.Network = network
	out.Info = infoOf(info)
	if err != nil {
		out.fail(err, info, network)
	} else {
		v.ask(ctx, link, out)
	}
	out.MS = milliseconds(time.Since(began))
	done := out.Outcome == Reached && err == nil && (out.PEX == nil || out.PEX.Answered)
	return out, ctx.Err() == nil || done
}

// link dials and completes the handshake. Without a node in the address, it tries the wires in turn while the remote
// does not understand.
func (v *visitor) link(ctx context.Context, out *Visit, addr transport.Address, network string) (
	link *handshake.Link, info *handshake.NodeInfo, err error) {
	for _, w := range v.wires {
		if !w.CanDial(addr) || addr.Wire() == "" && out.Wire != "" && out.Wire != w.Name() {
			continue
		}
		if err != nil && sleep(ctx, secondDial) != nil {
			return nil, nil, err
		}
		var again error
		link, info, again = v.handshake(ctx, out, addr, w, network)
		if again == nil || info != nil {
			out.Wire = w.Name()
			return link, info, again
		}
		var failed *handshake.StageError
		misunderstood := errors.As(again, &failed) && failed.Stage == handshake.StageSecurity &&
			failed.Code != muxer.CodeTimeout && failed.Code != muxer.CodeRequested && failed.Proven == ""
		if err == nil || !misunderstood { // the error of the first wire counts
			err = again
		}
		if !misunderstood {
			break
		}
	}
	if err == nil {
		err = handshake.Fail(handshake.StageTransport, muxer.CodeIncompatible, transport.ErrNoTransport)
	}
	return nil, nil, err
}

// handshake makes one dial and one handshake. It returns the remote's node info even if one end refuses the link.
func (v *visitor) handshake(ctx context.Context, out *Visit, addr transport.Address, wire handshake.Wire,
	network string) (*handshake.Link, *handshake.NodeInfo, error) {
	out.Dials++
	out.Stages = nil
	began := time.Now()
	raw, err := v.dial(ctx, out, addr)
	if err != nil {
		var closed *muxer.CloseError // of a transport that secures its connections
		if errors.As(err, &closed) && (closed.Code == muxer.CodeAuthFailed || closed.Code == muxer.CodeWrongID) {
			return nil, nil, handshake.Fail(handshake.StageSecurity, closed.Code, err)
		}
		return nil, nil, handshake.Fail(handshake.StageTransport, handshake.CodeOf(err), err)
	}
	took := time.Since(began)
	out.Stages = append(out.Stages, Stage{handshake.StageTransport, milliseconds(took)})
	wires := []handshake.Wire{wire}
	if _, secured := raw.(*handshake.SecuredConn); secured {
		wires = v.wires
	}
	if network == "" {
		network = strangerNetwork
	}
	var info *handshake.NodeInfo
	u, err := handshake.NewUpgrader(handshake.Config{
		Self: v.self.NodeID(), Wires: wires, Timeout: v.timeout,
		Local: func(transport.Conn) handshake.NodeInfo {
			return handshake.NodeInfo{ID: v.self.NodeID(), PeerID: v.self.PeerID(), Moniker: v.moniker,
				Network: network, Version: v.version, Channels: []byte{ChannelID},
				P2PVersion: handshake.P2PVersion, BlockVersion: handshake.BlockVersion}
		},
		Channels: func() []muxer.Channel { return []muxer.Channel{pexChannel} },
		Gates: []handshake.Gate{func(at handshake.Visitor) error {
			if at.At == handshake.AtKey {
				out.Proven, out.PeerID = at.ID, at.Key.PeerID()
			}
			return nil
		}},
		Inspect: func(at handshake.Visitor) {
			known := *at.Info
			info = &known
		},
	})
	if err != nil {
		_ = raw.Close()
		return nil, nil, handshake.Fail(handshake.StageTransport, muxer.CodeUnknown, err)
	}
	link, err := u.Outbound(ctx, raw, addr, took)
	if id := handshake.ProvenID(err); id != "" {
		out.Proven = id
	}
	if err != nil || link.Confirm == nil {
		return link, info, err
	}
	confirm, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	err = link.Confirm(confirm, nil)
	if err == nil {
		return link, info, nil
	}
	end(link)
	if _, refused := errors.AsType[*handshake.Refusal](err); refused {
		return nil, info, err
	}
	return nil, info, handshake.Fail(handshake.StageInfo, handshake.CodeOf(err), err)
}

// dial connects over the first transport that can.
func (v *visitor) dial(ctx context.Context, out *Visit, addr transport.Address) (transport.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	m := addr.Multiaddr()
	for _, t := range v.transports {
		if t.CanDial(m) {
			out.Transport = t.Name()
			return t.Dial(ctx, m)
		}
	}
	return nil, fmt.Errorf("%s: %w", m, transport.ErrNoTransport)
}

// end ends a link whose session does not run, and waits for it.
func end(link *handshake.Link) {
	_ = link.Session.Close(muxer.CodeInquiryDone, "")
	_ = link.Session.Run(context.Background(), nil) // returns at once; it waits for the session's goroutines
}

// goodbye is what a remote that can read it is told.
const goodbye = "the crawl has what it wanted"

// ask asks for addresses over a link, once, and ends the link.
func (v *visitor) ask(ctx context.Context, link *handshake.Link, out *Visit) {
	ctx, cancel := context.WithTimeout(ctx, linkTime)
	defer cancel()
	out.Outcome, out.Wire, out.Transport = Reached, link.Wire, link.Transport
	out.Security, out.Muxer = link.Security, link.Muxer
	out.Proven, out.PeerID = link.ID(), link.RemoteKey.PeerID()
	out.Stages = nil
	for _, s := range link.Stages {
		out.Stages = append(out.Stages, Stage{s.Name, milliseconds(s.Took)})
	}
	c := &conversation{answers: make(chan *reply, 1)}
	ended := make(chan error, 1)
	go func() { ended <- link.Session.Run(ctx, c) }()
	why, over := c.talk(ctx, link, out, ended)
	if !over {
		if link.Goodbye != nil {
			bye, cancel := context.WithTimeout(ctx, time.Second)
			link.Goodbye(bye, &handshake.Refusal{Code: muxer.CodeInquiryDone, Reason: goodbye})
			cancel()
		}
		_ = link.Session.Close(muxer.CodeInquiryDone, goodbye)
		<-ended
		if link.Remote.Guest || out.PEX == nil {
			return
		}
	}
	if r := c.answer; r != nil {
		out.PEX.Answered, out.PEX.Told = true, len(r.addresses)+r.left
		out.Heard, out.PEX.Refused = v.scope.filter(r.addresses, out.Address)
		out.PEX.Refused += r.left
		return
	}
	if !over {
		out.Stage, out.Code = "pex", muxer.CodeTimeout.String()
		return
	}
	out.hungUp(why, c.heard || out.RTT > 0 || link.Confirm != nil)
}

// fail says why there is no link.
func (o *Visit) fail(err error, info *handshake.NodeInfo, network string) {
	o.Outcome = Failed
	o.Error = bounded(err.Error())
	code, remote := muxer.CodeUnknown, false
	if r, ok := errors.AsType[*handshake.Refusal](err); ok {
		o.Stage, code, remote = r.Stage, r.Code, r.Remote
	} else if s, ok := errors.AsType[*handshake.StageError](err); ok {
		o.Stage, code = s.Stage, s.Code
	}
	o.Code = code.String()
	switch {
	case code == muxer.CodeWrongID:
		o.Outcome = WrongID
	case o.ID != "" && o.Proven != o.ID:
		if code == muxer.CodeAuthFailed || code == muxer.CodeProtocolError || code == muxer.CodeInvalidInfo {
			o.Outcome = Invalid
		}
	case o.Proven == "":
	case code == muxer.CodeWrongNetwork, info != nil && !info.Guest && network != "" && info.Network != network:
		o.Outcome = OtherNetwork
	case remote && code == muxer.CodeTooManyPeers, remote && code == muxer.CodeEvicted,
		info != nil && (code == muxer.CodeRemoteClosed || code == muxer.CodeTransport):
		o.Outcome = Full
	case info != nil && code == muxer.CodeIncompatible && !remote && info.BlockVersion == handshake.BlockVersion:
		o.Outcome = Reached // only that it has no peer exchange
	case remote, code == muxer.CodeRemoteClosed, code == muxer.CodeIncompatible:
		o.Outcome = Refused
	case code == muxer.CodeInvalidInfo, code == muxer.CodeProtocolError:
		o.Outcome = Invalid
	}
}

// hungUp says what it means that the remote ended the link without an answer. A CometBFT node that is full does so
// before it sends anything, and gives no reason; where our question is on its way, the kernel resets the connection.
func (o *Visit) hungUp(why error, spoke bool) {
	o.Stage, o.Code, o.Error = "pex", handshake.CodeOf(why).String(), bounded(why.Error())
	code := handshake.CodeOf(why)
	closed, told := errors.AsType[*muxer.CloseError](why)
	if told && closed.Code != muxer.CodeUnknown {
		code = closed.Code
		o.Code = code.String()
	}
	reason := told && closed.Remote && code != muxer.CodeRemoteClosed && code != muxer.CodeInquiryDone &&
		code != muxer.CodeShuttingDown
	switch {
	case code == muxer.CodeTooManyPeers, code == muxer.CodeEvicted:
		o.Outcome = Full
	case reason:
		o.Outcome = Refused
	case !spoke:
		o.Outcome = Full
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// sleep waits; it returns ctx's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
