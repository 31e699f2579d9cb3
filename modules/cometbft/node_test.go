package cometbft

import (
	"reflect"
	"testing"

	"github.com/cosmos/gogoproto/proto"
)

// TestNetworks runs validators of each kind together. They must make the same blocks, and commit a transaction through
// each of them.
func TestNetworks(t *testing.T) {
	for _, kinds := range []string{"mm", "ssmm", "qq", "sqbb"} {
		t.Run(kinds, func(t *testing.T) {
			net := newNetwork(t, kinds, nil)
			net.start()
			net.reach(3)
			net.agree()
		})
	}
}

// chunkOf returns a chunk of a snapshot. It is made by name, as each version has another package: go mod tidy, which
// reads all tags, would not find that of the other.
func chunkOf(size int) proto.Message {
	m := reflect.New(proto.MessageType(chunkMessage).Elem())
	m.Elem().FieldByName("Height").SetUint(1)
	m.Elem().FieldByName("Chunk").SetBytes(make([]byte, size))
	return m.Interface().(proto.Message)
}
