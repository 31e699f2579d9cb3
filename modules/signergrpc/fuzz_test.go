package signergrpc

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/internal/corpus"
	"github.com/switchyard-p2p/switchyard/internal/signerpb"
)

// FuzzRequest answers requests as they travel: each is refused, or signed as a message of exactly one purpose, which is
// that of the request.
func FuzzRequest(f *testing.F) {
	keepers := map[bool]*signer.Keeper{}
	for pubsub := range 2 {
		allowed := signer.Default()
		if pubsub == 1 {
			allowed = append(allowed, handshake.SignPubsub)
		}
		k, err := signer.NewKeeper(f.Context(), nodeKey, allowed...)
		if err != nil {
			f.Fatal(err)
		}
		keepers[pubsub == 1] = k
	}
	for _, p := range append(handshake.Purposes(), 0) {
		for _, n := range []int{0, 31, 32, 44, 91, 257} {
			m, err := toProto(signer.Request{Purpose: p, Body: make([]byte, n)})
			if err != nil {
				continue
			}
			b, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, n%2 == 0)
		}
	}
	for _, b := range corpus.HugeLengths([]byte("\x0a\x03abc\x22\x05\x0a\x03abc")) {
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, pubsub bool) {
		var m signerpb.SignRequest
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		r := fromProto(&m)
		sig, err := keepers[pubsub].Sign(t.Context(), r)
		if err != nil {
			refused, ok := errors.AsType[*signer.RefusedError](err)
			if !ok || sig != nil || refused.Purpose != r.Purpose {
				t.Fatalf("%+v: %v", r, err)
			}
			return
		}
		msg, err := r.Purpose.Message(r.Body)
		if err != nil || !nodeKey.Public().Verify(msg, sig) {
			t.Fatalf("%+v: %v", r, err)
		}
		if r.Purpose == handshake.SignPubsub && !pubsub {
			t.Fatal("a pubsub message was signed")
		}
		for _, p := range handshake.Purposes() {
			if p != r.Purpose && p.Check(msg) == nil {
				t.Fatalf("%+v is a %s too", r, p)
			}
		}
		back, err := toProto(r)
		if err != nil || fromProto(back).Purpose != r.Purpose || string(fromProto(back).Body) != string(r.Body) {
			t.Fatalf("%+v became %+v: %v", r, back, err)
		}
	})
}
