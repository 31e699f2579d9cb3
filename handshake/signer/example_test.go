package signer_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
)

// near is a signer that needs no connection. modules/signergrpc has one that does.
type near struct{ keeper *signer.Keeper }

func (n near) Describe(context.Context) (signer.Description, error) { return n.keeper.Describe(), nil }
func (n near) Ready(context.Context) error                          { return nil }
func (n near) Sign(ctx context.Context, r signer.Request) ([]byte, error) {
	return n.keeper.Sign(ctx, r)
}

// The keeper has the key and signs what is on its list; the identity asks it, for a node.
func Example() {
	ctx := context.Background()
	key := handshake.NewIdentity([handshake.SeedSize]byte{1})
	keeper, err := signer.NewKeeper(ctx, key, handshake.SignChallenge)
	if err != nil {
		panic(err)
	}
	identity := signer.New(near{keeper}, signer.Config{Signer: "near"})

	challenge := make([]byte, handshake.ChallengeSize)
	signature, err := identity.Sign(ctx, handshake.SignChallenge, challenge)
	fmt.Println(key.Public().Verify(challenge, signature), err)

	message, err := handshake.SignPubsub.Message([]byte("spam"))
	if err != nil {
		panic(err)
	}
	_, err = identity.Sign(ctx, handshake.SignPubsub, message)
	fmt.Println(err)
	// Output:
	// true <nil>
	// the signer at near refused to sign a pubsub message: the signer was started without it
}
