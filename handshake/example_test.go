package handshake_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// One key has two names: CometBFT's node id and libp2p's peer id.
func ExampleNodeKey() {
	key := handshake.NewIdentity([handshake.SeedSize]byte{1}) // a node has handshake.LoadNodeKey, or GenerateNodeKey
	fmt.Println(key.ID())
	fmt.Println(key.Public().PeerID())
	// Output:
	// fa4d86c3b551aa6cd7c3759d040c037ef2c6379f
	// 12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X
}

// An identity signs what is on a closed list, and nothing else.
func ExampleIdentity() {
	var key handshake.Identity = handshake.NewIdentity([handshake.SeedSize]byte{1})
	_, err := key.Sign(context.Background(), handshake.SignChallenge, []byte("pay 100 to Mallory"))
	fmt.Println(err)
	// Output: sign: 18 bytes that are no SecretConnection challenge
}
