package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// strangerNetwork is the network that a visitor names until it knows the remote's. The remote then hangs up, but first
// it names its own.
const strangerNetwork = "switchyard-visitor"

// visitFlags are the flags of the commands that visit a node without being one.
type visitFlags struct {
	home    home
	ownKey  bool
	network string
	timeout time.Duration
	json    bool
}

func (f *visitFlags) add(cmd *cobra.Command, timeout time.Duration) {
	f.home.homeFlag(cmd)
	cmd.Flags().Lookup("home").Usage = "claim the network of this node, and use its stack"
	cmd.Flags().BoolVar(&f.ownKey, "own-key", false,
		"use the key of the node of --home instead of a new one; that node must not run")
	cmd.Flags().StringVar(&f.network, "network", "",
		"the network to claim (default: that of --home, else the remote's own)")
	complete(cmd, "network", values{f.home.p}.networks)
	cmd.Flags().DurationVar(&f.timeout, "timeout", timeout, "how long each step may take")
	jsonFlag(cmd, &f.json)
}

// visitor makes handshakes as a node does, with the transports and wires of the catalogue, but without a host.
type visitor struct {
	transports []transport.Transport
	wires      []handshake.Wire
	key        handshake.PublicKey
	version    string
	cfg        modules.Config
	plugins    []modules.Plugin
	network    string // "" until it is known
	spoken     string // the wire on which the remote sent its node info; "" until then
	throwaway  bool   // the key is made for this visit
	timeout    time.Duration
	channels   []muxer.Channel

	// progress is called at the end of each stage, note with everything else that a user should know.
	progress func(stage string, took time.Duration, what string)
	note     func(string)
}

// visitor builds a visitor from the flags.
func (f *visitFlags) visitor(ctx context.Context) (*visitor, error) {
	if f.timeout <= 0 {
		return nil, usage("--timeout %v: want more than 0", f.timeout)
	}
	v := &visitor{
		version: f.home.p.agent(), plugins: f.home.p.Plugins, network: f.network, timeout: f.timeout,
		channels: []muxer.Channel{{ID: echo.ChannelID, Name: echo.ChannelName},
			{ID: pex.ChannelID, Name: "/pex/1.0.0"}},
		progress: func(string, time.Duration, string) {}, note: func(string) {},
	}
	cfg := modules.Default()
	var key *handshake.NodeKey
	var err error
	switch {
	case f.ownKey && !f.home.named():
		return nil, usage("--own-key needs the --home of the node whose key it is, or $%s_HOME", f.home.p.envPrefix())
	case f.ownKey:
		key, cfg, err = f.home.key()
	default:
		v.throwaway = true
		if f.home.named() {
			cfg, err = f.home.config()
		}
		if err == nil {
			key, err = handshake.GenerateNodeKey()
		}
	}
	if err != nil {
		return nil, err
	}
	if f.home.named() && v.network == "" {
		v.network = cfg.Network
	}
	v.cfg = cfg
	return v, v.build(key)
}

// build makes the transports and wires for a key.
func (v *visitor) build(key *handshake.NodeKey) error {
	v.key = key.Public()
	app := fx.New(modules.Base(v.cfg), modules.Transports(v.cfg, v.plugins...), modules.Handshake(v.cfg, v.plugins...),
		fx.Decorate(func() handshake.Identity { return key }), fx.Populate(&v.transports, &v.wires))
	return dig.RootCause(app.Err())
}

// connect dials addr and completes the handshake: a remote that can confirm the link has done so. Errors are
// *handshake.StageError or *handshake.Refusal. If the network is unknown, a first handshake learns it and a second one
// joins it.
func (v *visitor) connect(ctx context.Context, addr transport.Address) (*handshake.Link, error) {
	self := &handshake.Refusal{
		Code: muxer.CodeSelf, Stage: handshake.StageSecurity,
		Reason: "that is the node whose key we come with (--own-key), and no node takes a link to itself; " +
			"leave --own-key out",
	}
	if addr.ID() == v.key.NodeID() {
		return nil, self
	}
	if err := handshake.CheckAddress(addr, v.transports, v.wires); err != nil {
		return nil, handshake.Fail(handshake.StageTransport, muxer.CodeIncompatible, err)
	}
	link, info, err := v.anyWire(ctx, addr)
	var refusal *handshake.Refusal
	if errors.As(err, &refusal) && refusal.Code == muxer.CodeSelf {
		return nil, self
	}
	if v.network != "" || info == nil || info.Guest || !errors.As(err, &refusal) ||
		refusal.Code != muxer.CodeWrongNetwork && refusal.Code != muxer.CodeIncompatible {
		return link, err
	}
	v.network = info.Network
	if !slices.ContainsFunc(v.channels, func(c muxer.Channel) bool { return slices.Contains(info.Channels, c.ID) }) &&
		len(info.Channels) > 0 {
		// It refuses a node without a common channel.
		v.channels = append(v.channels, muxer.Channel{ID: info.Channels[0]})
	}
	v.note(fmt.Sprintf("the remote is of network %q: once more, in that network", clean(v.network)))
	if v.throwaway { // the remote may remember the wrong network with the first key
		key, err := handshake.GenerateNodeKey()
		if err != nil {
			return nil, err
		}
		if err := v.build(key); err != nil {
			return nil, err
		}
	}
	link, _, err = v.anyWire(ctx, addr)
	var failed *handshake.StageError
	// Some nodes take one connection at a time from an IP (Tendermint 0.35: one in 100 ms).
	if errors.As(err, &failed) && failed.Stage == handshake.StageSecurity {
		v.note(fmt.Sprintf("the remote hung up; once more in %v", secondTry))
		select {
		case <-time.After(secondTry):
		case <-ctx.Done():
			return nil, err
		}
		link, _, err = v.anyWire(ctx, addr)
	}
	return link, err
}

// secondTry is the pause before a third connection to a remote that has hung up on the second.
const secondTry = 500 * time.Millisecond

// anyWire makes a handshake with the first wire that dials addr. If addr names no node, and so no wire, it tries the
// others in turn while the remote does not understand, each on a new connection.
func (v *visitor) anyWire(
	ctx context.Context, addr transport.Address,
) (link *handshake.Link, info *handshake.NodeInfo, err error) {
	var wires []handshake.Wire
	for _, w := range v.wires {
		if w.CanDial(addr) {
			wires = append(wires, w)
		}
	}
	if len(wires) == 0 {
		return nil, nil, handshake.Fail(handshake.StageSecurity, muxer.CodeIncompatible,
			fmt.Errorf("none of our wires dials %s", addr))
	}
	if v.spoken != "" { // learned by a first handshake
		wires = slices.DeleteFunc(wires, func(w handshake.Wire) bool { return w.Name() != v.spoken })
	}
	for i, w := range wires {
		var again error
		link, info, again = v.handshake(ctx, addr, w)
		if again == nil || info != nil {
			v.spoken = w.Name()
			return link, info, again
		}
		var failed *handshake.StageError
		misunderstood := errors.As(again, &failed) && failed.Stage == handshake.StageSecurity &&
			failed.Code != muxer.CodeTimeout && failed.Code != muxer.CodeRequested
		if i == 0 || !misunderstood { // the error of the first wire counts
			err = again
		}
		if !misunderstood {
			return nil, nil, err
		}
		if i < len(wires)-1 {
			v.note(fmt.Sprintf("the remote does not speak %s; now %s", w.Name(), wires[i+1].Name()))
		}
	}
	return nil, nil, err
}

// handshake makes one dial and one handshake. It returns the remote's node info even if one end refuses the link.
func (v *visitor) handshake(ctx context.Context, addr transport.Address, wire handshake.Wire) (*handshake.Link,
	*handshake.NodeInfo, error) {
	fail := func(err error) error {
		var closed *muxer.CloseError // of a transport that secures its connections
		if errors.As(err, &closed) && closed.Code == muxer.CodeAuthFailed {
			return handshake.Fail(handshake.StageSecurity, closed.Code, err)
		}
		return handshake.Fail(handshake.StageTransport, handshake.CodeOf(err), err)
	}
	began := time.Now()
	raw, name, err := v.dial(ctx, addr)
	took := time.Since(began)
	if err != nil {
		return nil, nil, fail(err)
	}
	v.progress(handshake.StageTransport, took, name)

	var info *handshake.NodeInfo
	network := v.network
	if network == "" {
		network = strangerNetwork
	}
	began = time.Now()
	u, err := handshake.NewUpgrader(handshake.Config{
		Self: v.key.NodeID(), Wires: v.forConn(raw, wire), Timeout: v.timeout,
		Local: func(transport.Conn) handshake.NodeInfo {
			n := handshake.NodeInfo{
				ID: v.key.NodeID(), PeerID: v.key.PeerID(), Moniker: "switchyard-visitor", Network: network,
				Version:    v.version,
				P2PVersion: handshake.P2PVersion, BlockVersion: handshake.BlockVersion,
			}
			for _, c := range v.channels {
				n.Channels = append(n.Channels, c.ID)
			}
			return n
		},
		Channels: func() []muxer.Channel { return v.channels },
		Gates: []handshake.Gate{func(at handshake.Visitor) error {
			if at.At == handshake.AtKey {
				v.progress(handshake.StageSecurity, time.Since(began), "node "+string(at.ID))
			}
			return nil
		}},
		Inspect: func(at handshake.Visitor) { info = at.Info },
	})
	if err != nil {
		_ = raw.Close()
		return nil, nil, fail(err)
	}
	link, err := u.Outbound(ctx, raw, addr, took)
	if err == nil && link.Confirm != nil {
		if err = v.agree(ctx, link); err != nil {
			link = nil
		}
	}
	return link, info, err
}

// forConn returns the wires that an Upgrader may choose from: the given one, or all for a connection that is already
// secured.
func (v *visitor) forConn(raw transport.Conn, wire handshake.Wire) []handshake.Wire {
	if _, secured := raw.(*handshake.SecuredConn); secured {
		return v.wires
	}
	return []handshake.Wire{wire}
}

// agree accepts the link and waits for the remote's answer. It ends a link that is refused.
func (v *visitor) agree(ctx context.Context, link *handshake.Link) error {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	err := link.Confirm(ctx, nil)
	if err == nil {
		return nil
	}
	_ = link.Session.Close(muxer.CodeInquiryDone, "")
	_ = link.Session.Run(context.Background(), nil) // returns at once; it waits for the session's goroutines
	var refusal *handshake.Refusal
	if errors.As(err, &refusal) {
		return err
	}
	return handshake.Fail(handshake.StageInfo, handshake.CodeOf(err),
		fmt.Errorf("the remote did not say whether it takes the link: %w", err))
}

// dial connects over the first transport that can.
func (v *visitor) dial(ctx context.Context, addr transport.Address) (transport.Conn, string, error) {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	m := addr.Multiaddr()
	for _, t := range v.transports {
		if t.CanDial(m) {
			conn, err := t.Dial(ctx, m)
			if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("dial %s: no answer within %v (--timeout): %w", m, v.timeout,
					context.DeadlineExceeded)
			}
			return conn, t.Name(), err
		}
	}
	return nil, "", fmt.Errorf("%s: %w", m, transport.ErrNoTransport)
}

// visit is a link that is up.
type visit struct {
	link  *handshake.Link
	inbox chan muxer.Message // messages of the echo channel
	ended chan struct{}
	why   error // why the session ended; read it after ended
}

// begin runs the session of a link.
func begin(ctx context.Context, link *handshake.Link) *visit {
	v := &visit{link: link, inbox: make(chan muxer.Message, 1), ended: make(chan struct{})}
	go func() {
		defer close(v.ended)
		v.why = link.Session.Run(ctx, v)
	}()
	return v
}

// Established implements muxer.Handler.
func (*visit) Established() {}

// Serves implements muxer.Handler: a visit serves no streams.
func (*visit) Serves(string) bool { return false }

// ServeStream implements muxer.Handler.
func (*visit) ServeStream(_ context.Context, s muxer.Stream) { _ = s.Reset(muxer.CodeIncompatible) }

// Deliver implements muxer.Handler: it keeps the messages of the echo channel and drops the rest.
func (v *visit) Deliver(ctx context.Context, msgs []muxer.Message) error {
	for _, m := range msgs {
		if m.Channel != echo.ChannelID {
			continue
		}
		select {
		case v.inbox <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// end closes the session and waits for it.
func (v *visit) end() {
	_ = v.link.Session.Close(muxer.CodeInquiryDone, "the visit is over")
	for {
		select {
		case <-v.inbox: // dropped
		case <-v.ended:
			return
		}
	}
}

// settle waits a moment for a late refusal: a CometBFT node refuses by hanging up.
func (v *visit) settle(ctx context.Context) error {
	if v.link.Confirm != nil {
		return nil
	}
	const grace = 300 * time.Millisecond
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-v.ended:
		return handshake.Fail(handshake.StageInfo, muxer.CodeRemoteClosed, v.reason())
	case <-ctx.Done():
		return handshake.Fail(handshake.StageInfo, muxer.CodeRequested, ctx.Err())
	}
}

// reason explains why the session ended.
func (v *visit) reason() error {
	if errors.Is(v.why, io.EOF) {
		return errors.New("the remote hung up right after the handshake, without a reason " +
			"(it is full, has banned us, or already has a link with this key)")
	}
	return v.why
}

// failureOf is what --json prints of an error.
type failureOf struct {
	OK    bool   `json:"ok"`
	Stage string `json:"stage"`
	Error string `json:"error"`
}

// report prints a failure as JSON if --json asks for it, and returns the error.
func (f *visitFlags) report(w io.Writer, stage string, err error) error {
	if err == nil || !f.json {
		return err
	}
	out := failureOf{Stage: stage, Error: message(err)}
	var failed *handshake.StageError
	var refusal *handshake.Refusal
	switch {
	case errors.As(err, &failed):
		out.Stage, out.Error = failed.Stage, message(failed.Err)
	case errors.As(err, &refusal):
		if out.Stage = refusal.Stage; out.Stage == "" {
			out.Stage = handshake.StageInfo
		}
	}
	if jsonErr := printJSON(w, out); jsonErr != nil {
		return jsonErr
	}
	return err
}

// address parses the argument of a visit.
func address(text string) (transport.Address, error) {
	a, err := transport.ParseAddress(text)
	if err != nil {
		return a, &modules.UsageError{Err: err}
	}
	return a, nil
}
