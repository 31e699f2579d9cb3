package protofields

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestEach(t *testing.T) {
	b := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte("x"))
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), 300)
	b = protowire.AppendFixed64(protowire.AppendTag(b, 3, protowire.Fixed64Type), 7)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 4, protowire.Fixed32Type), 9)
	var got []string
	err := Each(b, func(num protowire.Number, typ protowire.Type, val []byte, number uint64) error {
		got = append(got, fmt.Sprintf("%d %d %q %d", num, typ, val, number))
		return nil
	})
	if want := `1 2 "x" 0, 2 0 "" 300, 3 1 "" 7, 4 5 "" 0`; err != nil || strings.Join(got, ", ") != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
	stop := errors.New("stop")
	calls := 0
	if err := Each(b, func(protowire.Number, protowire.Type, []byte, uint64) error {
		calls++
		return stop
	}); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// Whatever is cut off, or has a number that no field has, is an error and no panic.
func TestMalformed(t *testing.T) {
	for _, b := range [][]byte{{0x0a}, {0x0a, 2, 'x'}, {0x10}, {0x10, 0x80}, {0x19, 1, 2}, {0x25, 1}, {0x00}, {0x80},
		{0x0c}, protowire.AppendVarint(nil, uint64(protowire.MaxValidNumber+1)<<3)} {
		if err := Each(b, func(protowire.Number, protowire.Type, []byte, uint64) error { return nil }); err == nil {
			t.Errorf("%x is taken", b)
		}
	}
}
