package pexpb

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/internal/corpus"
	"google.golang.org/protobuf/proto"
)

func addresses(n int) []*PexAddress {
	var out []*PexAddress
	for i := range n {
		out = append(out, &PexAddress{Id: fmt.Sprintf("%040x", i), Ip: "1.2.3.4", Port: uint32(i + 1)})
	}
	return out
}

// The bytes are those of CometBFT v0.40.0 for the same messages.
func TestBytesAreCometBFTs(t *testing.T) {
	// CometBFT's is 0a00; it passes over the field that ours has
	if got := hex.EncodeToString(EncodeRequest()); got != "0a03800101" {
		t.Errorf("request %s, want 0a03800101", got)
	}
	got := hex.EncodeToString(EncodeResponse([]*PexAddress{{Id: strings.Repeat("ab", 20), Ip: "1.2.3.4", Port: 26656}}))
	want := "1239" + "0a37" + "0a28" + strings.Repeat("6162", 20) + "1207" + "312e322e332e34" + "18a0d001"
	if got != want {
		t.Errorf("response %s, want %s", got, want)
	}
	if got := hex.EncodeToString(EncodeResponse(nil)); got != "1200" {
		t.Errorf("empty response %s, want 1200", got)
	}
}

func TestDecodeKeepsOnlySoMany(t *testing.T) {
	for _, n := range []int{0, 1, 100, 250, 300} {
		m, left, err := Decode(EncodeResponse(addresses(n)), 250)
		if err != nil {
			t.Fatal(err)
		}
		got := m.GetResponse().GetAddresses()
		if len(got) != min(n, 250) || left != max(0, n-250) {
			t.Errorf("of %d addresses %d kept and %d left", n, len(got), left)
		}
		for i, a := range got {
			if !proto.Equal(a, addresses(n)[i]) {
				t.Fatalf("address %d of %d is %v", i, n, a)
			}
		}
	}
	m, _, err := Decode(EncodeRequest(), 250)
	if err != nil || m.GetRequest() == nil || !m.GetRequest().GetMultiaddrs() {
		t.Errorf("request decoded as %v, %v", m, err)
	}
	for _, comets := range [][]byte{{0x0a, 0x00}, {0x0a, 0x04, 0x82, 0x01, 0x01, 'x'}} {
		m, _, err = Decode(comets, 250)
		if err != nil || m.GetRequest() == nil || m.GetRequest().GetMultiaddrs() {
			t.Errorf("request %x decoded as %v, %v", comets, m, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	request, response := EncodeRequest(), EncodeResponse(addresses(1))
	for name, c := range map[string]struct {
		msg  []byte
		want error // nil: any
	}{
		"nothing":            {nil, ErrEmpty},
		"only unknown":       {[]byte{0x1a, 0x00}, ErrEmpty},
		"request twice":      {append(bytes.Clone(request), request...), ErrTwice},
		"both":               {append(bytes.Clone(request), response...), ErrTwice},
		"request as varint":  {[]byte{0x08, 0x01}, nil},
		"address as varint":  {[]byte{0x12, 0x02, 0x08, 0x01}, nil},
		"cut":                {response[:len(response)-1], nil},
		"length past end":    {[]byte{0x12, 0x7f}, nil},
		"huge length":        {[]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}, nil},
		"field 0":            {[]byte{0x02, 0x00}, nil},
		"text is not UTF-8":  {[]byte{0x12, 0x05, 0x0a, 0x03, 0x0a, 0x01, 0xff}, nil},
		"unended group":      {[]byte{0x1b}, nil},
		"garbage in request": {[]byte{0x0a, 0x01, 0xff}, nil},
	} {
		m, _, err := Decode(c.msg, 250)
		if err == nil {
			t.Errorf("%s: decoded as %v", name, m)
		} else if c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A message of the channel's full size that is packed with empty addresses costs no more than one of 250 honest ones.
func TestDecodePackedMessageIsCheap(t *testing.T) {
	const size = 64 << 10
	body := bytes.Repeat([]byte{0x0a, 0x00}, size/2)
	msg := append([]byte{0x12, 0x80, 0x80, 0x04}, body...)
	allocs := testing.AllocsPerRun(5, func() {
		m, left, err := Decode(msg, 250)
		if err != nil || len(m.GetResponse().GetAddresses()) != 250 || left != size/2-250 {
			t.Fatalf("%d addresses, %d left, %v", len(m.GetResponse().GetAddresses()), left, err)
		}
	})
	if allocs > 600 {
		t.Errorf("%.0f allocations", allocs)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(EncodeRequest())
	f.Add(EncodeResponse(nil))
	f.Add(EncodeResponse(addresses(3)))
	f.Add(EncodeResponse([]*PexAddress{{Multiaddr: "/memory/1"}, {Ip: "name.example", Port: 1 << 31}}))
	f.Add([]byte{0x12, 0x02, 0x08, 0x01})
	f.Add([]byte{0x0a, 0x07, 0x85, 0x01, 1, 2, 3, 4, 0})    // multiaddrs as another type
	f.Add([]byte{0x0a, 0x06, 0x80, 0x01, 1, 0x80, 0x01, 0}) // multiaddrs twice
	for _, b := range corpus.HugeLengths(EncodeResponse(addresses(3))) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		const most = 4
		m, left, err := Decode(msg, most)
		if err != nil {
			return
		}
		got := m.GetResponse().GetAddresses()
		if len(got) > most || left > 0 && len(got) < most {
			t.Fatalf("%d addresses kept, %d left", len(got), left)
		}
		// What the library reads is the same.
		var ref PexMessage
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(msg, &ref); err != nil {
			if left == 0 {
				t.Fatalf("decoded what the library refuses: %v", err)
			}
			return // an address that was left out is not read
		}
		if left == 0 && !proto.Equal(m, &ref) {
			t.Fatalf("decoded %v, the library %v", m, &ref)
		}
		if left == 0 {
			again, _, err := Decode(encode(m), most)
			if err != nil || !proto.Equal(again, m) {
				t.Fatalf("encoded and decoded again: %v, %v", again, err)
			}
		}
	})
}
