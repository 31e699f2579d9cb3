package docs

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// club is a wire of its own: a greeting, SecretConnection, node infos in JSON, MConnection.
type club struct{ identity handshake.Identity }

const clubGreeting = "club/1\n"

// Name implements handshake.Wire.
func (club) Name() string { return "club" }

// Recognizes implements handshake.Wire: one byte may be all that has come.
func (club) Recognizes(prefix []byte) bool { return len(prefix) > 0 && prefix[0] == clubGreeting[0] }

// CanDial implements handshake.Wire: the wire has no form of address of its own.
func (club) CanDial(addr transport.Address) bool { return addr.Wire() != transport.WireLibp2p }

// Upgrade implements handshake.Wire.
func (w club) Upgrade(ctx context.Context, a *handshake.Attempt) (*handshake.Link, error) {
	if err := greet(a); err != nil {
		return nil, handshake.Fail(handshake.StageSecurity, muxer.CodeProtocolError, err)
	}
	conn, err := secretconn.Handshake(ctx, a.Bytes, w.identity, secretconn.Options{CheckKey: a.CheckKey})
	if err != nil {
		return nil, handshake.Fail(handshake.StageSecurity, muxer.CodeUnknown, err) // the Upgrader finds the code
	}
	a.Done(handshake.StageSecurity)
	a.Done(handshake.StageMuxer) // it is always MConnection

	info, err := exchange(conn, a.Local)
	if err != nil {
		return nil, handshake.Fail(handshake.StageInfo, muxer.CodeInvalidInfo, err)
	}
	if err := a.CheckInfo(info); err != nil {
		return nil, err
	}
	both := slices.DeleteFunc(slices.Clone(a.Channels), func(c muxer.Channel) bool {
		return !slices.Contains(info.Channels, c.ID)
	})
	session, err := mconn.New(conn, a.Side, both, mconn.Config{})
	if err != nil {
		return nil, handshake.Fail(handshake.StageMuxer, muxer.CodeIncompatible, err)
	}
	a.Done(handshake.StageInfo)
	return &handshake.Link{Session: session, Security: "secretconn", Muxer: "mconn", Remote: *info,
		Binding: conn.Binding}, nil
}

// greet sends or reads the greeting of the dialer.
func greet(a *handshake.Attempt) error {
	if a.Side == muxer.Dialer {
		_, err := io.WriteString(a.Bytes, clubGreeting)
		return err
	}
	greeting := make([]byte, len(clubGreeting))
	if _, err := io.ReadFull(a.Bytes, greeting); err != nil {
		return err
	}
	if string(greeting) != clubGreeting {
		return errors.New("no greeting")
	}
	return nil
}

// exchange sends our node info and reads that of the remote, each behind its length.
func exchange(conn *secretconn.Conn, local handshake.NodeInfo) (*handshake.NodeInfo, error) {
	text, err := json.Marshal(local)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)); err != nil {
		return nil, err
	}
	if err := conn.Flush(); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > handshake.MaxNodeInfoSize { // before the memory is there
		return nil, fmt.Errorf("a node info of %d bytes", n)
	}
	text = make([]byte, n)
	if _, err := io.ReadFull(conn, text); err != nil {
		return nil, err
	}
	info := new(handshake.NodeInfo)
	if err := json.Unmarshal(text, info); err != nil {
		return nil, err
	}
	info.Guest = false // what is not the remote's to say
	return info, nil
}

// Two nodes that speak nothing but this wire.
func Example_wire() {
	ctx := context.Background()
	start := func(listen ...string) *switchyard.Node {
		key := must(handshake.GenerateNodeKey())
		node := must(switchyard.New(ctx, switchyard.Identity(key), switchyard.Listen(listen...),
			switchyard.Transports(tcp.New(tcp.Config{})), switchyard.Wires(club{key})))
		go func() { _ = node.Run(ctx) }()
		check(node.Host().WaitListening(ctx))
		return node
	}
	a, b := start("/ip4/127.0.0.1/tcp/0"), start()
	defer a.Close()
	defer b.Close()
	addr := must(transport.NewAddress(a.Host().ListenAddrs()[0], string(a.Host().Self())))
	peer := must(b.Host().Dial(ctx, addr))
	fmt.Println(peer.Wire, peer.Security, peer.Muxer, peer.Moniker)
	// Output: club secretconn mconn switchyard
}
