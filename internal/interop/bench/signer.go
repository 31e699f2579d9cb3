package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/modules/signergrpc"
)

// signerTable measures what it costs that a key is in a signer: ours, beside keys in the process of their node. The
// signers run in this process, so that the processor time is that of both ends.
func signerTable() benchkit.Table {
	s := &signers{}
	here := func(key *handshake.NodeKey) (handshake.Identity, error) { return key, nil }
	return benchkit.Table{Peer: "key in process", Rows: []benchkit.Row{
		{Name: "signer: signatures, 16 at once, verified by neither", Unit: "/s", Goal: "CPU <= 4",
			Ours: benchkit.Setups(s.signing(s.unverified)), Theirs: benchkit.Setups(s.signing(here))},
		{Name: "signer: signatures, verified by both", Unit: "/s", Goal: "CPU <= 4",
			Ours: benchkit.Setups(s.signing(s.identity)), Theirs: benchkit.Setups(s.signing(func(
				key *handshake.NodeKey) (handshake.Identity, error) {
				return verified{key}, nil
			}))},
		{Name: "signer: signatures, verified by the node of a signer alone", Unit: "/s",
			Ours: benchkit.Setups(s.signing(s.identity)), Theirs: benchkit.Setups(s.signing(here))},
		{Name: "signer: set-ups over comet, both keys in signers", Unit: "/s",
			Ours: s.closing(newOurUpgrades(s.identity)), Theirs: benchkit.Setups(newOurUpgrades(nil))},
	}}
}

// signers are those of the nodes of one measurement.
type signers struct {
	mu   sync.Mutex
	ends []func()
}

// identity puts a key into a signer of its own. As every node does, it verifies the signatures.
func (s *signers) identity(key *handshake.NodeKey) (handshake.Identity, error) {
	id, _, err := s.remote(key)
	if err != nil {
		return nil, err
	}
	return id, nil
}

// unverified is identity without the verification.
func (s *signers) unverified(key *handshake.NodeKey) (handshake.Identity, error) {
	id, client, err := s.remote(key)
	return &unverified{id, client}, err
}

func (s *signers) remote(key *handshake.NodeKey) (*signer.Identity, *signergrpc.Client, error) {
	dir, err := os.MkdirTemp("", "signer-")
	if err != nil {
		return nil, nil, err
	}
	at := signer.Address{Path: filepath.Join(dir, "s")}
	ctx, cancel := context.WithCancel(context.Background())
	end := func() {
		cancel()
		_ = os.RemoveAll(dir)
	}
	keeper, err := signer.NewKeeper(ctx, key, signer.Default()...)
	if err != nil {
		end()
		return nil, nil, err
	}
	server, err := signergrpc.Listen(signergrpc.ServerConfig{Address: at, Keeper: keeper})
	if err != nil {
		end()
		return nil, nil, err
	}
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	client, err := signergrpc.Dial(signergrpc.ClientConfig{Address: at})
	if err != nil {
		end()
		<-done
		return nil, nil, err
	}
	s.mu.Lock()
	s.ends = append(s.ends, func() {
		_ = client.Close()
		end()
		<-done
	})
	s.mu.Unlock()
	id := signer.New(client, signer.Config{Signer: at.String()})
	return id, client, id.Wait(ctx)
}

// end stops all signers.
func (s *signers) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, end := range s.ends {
		end()
	}
	s.ends = nil
}

// closing measures set-ups, and stops the signers then.
func (s *signers) closing(open func(n int) (benchkit.Star, error)) benchkit.Measure {
	return benchkit.Setups(func(n int) (benchkit.Star, error) {
		star, err := open(n)
		return &closingStar{star, s}, err
	})
}

type closingStar struct {
	benchkit.Star
	signers *signers
}

func (c *closingStar) Close() {
	c.Star.Close()
	c.signers.end()
}

// signing returns a function that makes what signs challenges with one key: each set-up is a signature.
func (s *signers) signing(
	make func(*handshake.NodeKey) (handshake.Identity, error)) func(n int) (benchkit.Star, error) {
	return func(int) (benchkit.Star, error) {
		key, err := handshake.GenerateNodeKey()
		if err != nil {
			return nil, err
		}
		id, err := make(key)
		return &signing{id: id, signers: s, challenge: bytes.Repeat([]byte{7}, handshake.ChallengeSize)}, err
	}
}

type signing struct {
	id        handshake.Identity
	signers   *signers
	challenge []byte
}

func (s *signing) Setup(int) error {
	_, err := s.id.Sign(context.Background(), handshake.SignChallenge, s.challenge)
	return err
}

func (s *signing) Hangup(int) error { return nil }
func (s *signing) Close()           { s.signers.end() }

// verified is a key in the process whose signatures are verified, as those of a signer are.
type verified struct{ *handshake.NodeKey }

func (v verified) Sign(ctx context.Context, p handshake.Purpose, msg []byte) ([]byte, error) {
	sig, err := v.NodeKey.Sign(ctx, p, msg)
	if err == nil && !v.Public().Verify(msg, sig) {
		err = os.ErrInvalid // cannot be
	}
	return sig, err
}

// unverified asks a signer, and takes its signatures as they are.
type unverified struct {
	*signer.Identity
	client *signergrpc.Client
}

func (u *unverified) Sign(ctx context.Context, p handshake.Purpose, msg []byte) ([]byte, error) {
	body, err := p.Body(msg)
	if err != nil {
		return nil, err
	}
	return u.client.Sign(ctx, signer.Request{Purpose: p, Body: body})
}
