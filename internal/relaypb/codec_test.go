package relaypb

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func ids(n int) []byte { return bytes.Repeat([]byte{7}, n*sha256.Size) }

// What we encode is what the generated code reads, and our decoder, too.
func TestEncode(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want *RelayMessage
	}{
		{EncodeAnnounce(ids(2), []uint32{1, 70000}, false),
			&RelayMessage{Sum: &RelayMessage_Announce{Announce: &Announce{Ids: ids(2), Sizes: []uint32{1, 70000}}}}},
		{EncodeAnnounce(ids(1), []uint32{5}, true),
			&RelayMessage{Sum: &RelayMessage_Announce{
				Announce: &Announce{Ids: ids(1), Sizes: []uint32{5}, More: true}}}},
		{EncodeMore(), &RelayMessage{Sum: &RelayMessage_More{More: &More{}}}},
		{EncodeRequest(ids(3)), &RelayMessage{Sum: &RelayMessage_Request{Request: &Request{Ids: ids(3)}}}},
		{EncodeMissing(64), &RelayMessage{Sum: &RelayMessage_Missing{Missing: &Missing{Count: 64}}}},
		{EncodeItems(KindItems, []byte("a"), bytes.Repeat([]byte("b"), 300)), &RelayMessage{Sum: &RelayMessage_Items{
			Items: &Items{Items: [][]byte{[]byte("a"), bytes.Repeat([]byte("b"), 300)}}}}},
		{EncodeItems(KindPush, []byte("a")),
			&RelayMessage{Sum: &RelayMessage_Push{Push: &Items{Items: [][]byte{[]byte("a")}}}}},
	} {
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.got, want) || cap(c.got) != len(c.got) {
			t.Errorf("%v: encoded as %x (capacity %d), want %x", c.want, c.got, cap(c.got), want)
		}
		var m Message
		if err := m.Decode(c.got); err != nil {
			t.Errorf("%v: %v", c.want, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	field := func(num protowire.Number, val []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), val)
	}
	many := make([][]byte, MaxRequested+1)
	for i := range many {
		many[i] = []byte("x")
	}
	for name, b := range map[string][]byte{
		"nothing":              {},
		"an unknown kind":      field(9, nil),
		"a broken tag":         {0xff},
		"a cut field":          {0x0a, 0x7f},
		"a wrong type":         {0x08, 1},
		"two messages":         append(EncodeMissing(1), EncodeMissing(1)...),
		"no ids":               EncodeRequest(nil),
		"a cut id":             EncodeRequest(ids(1)[1:]),
		"too many requests":    EncodeRequest(ids(MaxRequested + 1)),
		"too many ids":         EncodeAnnounce(ids(MaxAnnounced+1), slices.Repeat([]uint32{1}, MaxAnnounced+1), false),
		"a size too few":       EncodeAnnounce(ids(2), []uint32{1}, false),
		"a size too many":      EncodeAnnounce(ids(1), []uint32{1, 2}, false),
		"a size of nothing":    EncodeAnnounce(ids(1), []uint32{0}, false),
		"a size beyond 31 bit": EncodeAnnounce(ids(1), []uint32{1 << 31}, false),
		"no items":             EncodeItems(KindItems),
		"an empty item":        EncodeItems(KindPush, nil),
		"too many items":       EncodeItems(KindItems, many...),
		"nothing missing":      EncodeMissing(0),
		"too much missing":     EncodeMissing(MaxRequested + 1),
	} {
		var m Message
		err := m.Decode(b)
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode: our decoder takes exactly what the generated one takes, within the bounds, and reads the same.
func FuzzDecode(f *testing.F) {
	for _, b := range [][]byte{EncodeAnnounce(ids(2), []uint32{1, 70000}, false), EncodeRequest(ids(1)),
		EncodeMissing(3), EncodeItems(KindItems, []byte("a"), []byte("bc")), EncodeItems(KindPush, []byte("a")),
		EncodeAnnounce(ids(1), []uint32{5}, true), EncodeMore(), {0x0a, 0x00}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if m.Decode(b) != nil {
			return
		}
		var want RelayMessage
		if err := proto.Unmarshal(b, &want); err != nil {
			t.Fatalf("we take what protobuf refuses: %v", err)
		}
		same := false
		switch m.Kind {
		case KindAnnounce:
			same = bytes.Equal(m.IDs, want.GetAnnounce().GetIds()) &&
				slices.Equal(m.Sizes, want.GetAnnounce().GetSizes()) && m.More == want.GetAnnounce().GetMore()
		case KindMore:
			same = want.GetMore() != nil
		case KindRequest:
			same = bytes.Equal(m.IDs, want.GetRequest().GetIds())
		case KindItems:
			same = slices.EqualFunc(m.Items, want.GetItems().GetItems(), bytes.Equal)
		case KindPush:
			same = slices.EqualFunc(m.Items, want.GetPush().GetItems(), bytes.Equal)
		case KindMissing:
			same = uint32(m.Count) == want.GetMissing().GetCount()
		}
		if !same {
			t.Fatalf("decoded %+v, protobuf %v", m, &want)
		}
	})
}
