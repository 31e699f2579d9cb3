package mconn

import (
	"bytes"

	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/internal/corpus"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// script is a Conn that has received chunks, and then ends.
type script struct {
	chunks [][]byte
	end    error // io.EOF when nil
	out    bytes.Buffer
}

func (c *script) Next() ([]byte, error) {
	if len(c.chunks) == 0 {
		if c.end != nil {
			return nil, c.end
		}
		return nil, io.EOF
	}
	chunk := bytes.Clone(c.chunks[0])
	c.chunks = c.chunks[1:]
	return chunk, nil
}
func (c *script) Buffered() bool              { return len(c.chunks) > 0 }
func (c *script) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *script) Flush() error                { return nil }
func (c *script) Close() error                { return nil }

// cut divides b at random places.
func cut(b []byte, seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var chunks [][]byte
	for len(b) > 0 {
		n := 1 + r.IntN(min(len(b), 1+r.IntN(40)*r.IntN(60)))
		chunks = append(chunks, b[:n])
		b = b[n:]
	}
	return chunks
}

// reading runs the reader over chunks, and returns what it delivers and how it ends.
func reading(t testing.TB, channels []muxer.Channel, cfg Config, chunks ...[]byte) (*Session, []muxer.Message, error) {
	t.Helper()
	s, err := New(&script{chunks: chunks}, muxer.Listener, channels, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	var got []muxer.Message
	moved := false // an empty delivery says so, and is the last one
	err = s.readLoop(handlerFunc(func(msgs []muxer.Message) error {
		if moved {
			t.Error("a delivery after the mark of a move")
		}
		moved = len(msgs) == 0
		got = append(got, msgs...)
		return nil
	}))
	return s, got, err
}

// Encoders that share nothing with the code under test.

func delimited(body []byte) []byte { return protowire.AppendBytes(nil, body) }

func field(num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
}

func number(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// packet is a message packet as a protobuf library writes it.
func packet(channel byte, eof bool, data []byte) []byte {
	var b []byte
	if channel != 0 {
		b = append(b, number(1, uint64(channel))...)
	}
	if eof {
		b = append(b, number(2, 1)...)
	}
	if len(data) > 0 {
		b = append(b, field(3, data)...)
	}
	return delimited(field(3, b))
}

// cometMaxPacket is the longest packet that a CometBFT node accepts: its own longest one on channel 1.
func cometMaxPacket(payload int) int {
	_, n := protowire.ConsumeVarint(packet(1, true, make([]byte, payload)))
	return len(packet(1, true, make([]byte, payload))) - n
}

func TestAppendHeader(t *testing.T) {
	for channel := range 256 {
		for _, eof := range []bool{false, true} {
			for _, n := range []int{0, 1, 100, 118, 119, 120, 127, 128, 1024, 16383, 16384, 70000} {
				data := make([]byte, n)
				want := packet(byte(channel), eof, data)
				got := append(appendHeader(nil, byte(channel), eof, n), data...)
				if !bytes.Equal(got, want) {
					t.Fatalf("channel %d eof %v, %d bytes: % x, want % x", channel, eof, n, got[:20], want[:20])
				}
				h, k, err := parseHeader(got, len(got))
				if err != nil || h != (header{kindMsg, eof, channel, n}) || k != len(got)-n {
					t.Fatalf("channel %d eof %v, %d bytes: parsed as %+v, %d, %v", channel, eof, n, h, k, err)
				}
				for short := range k {
					if h, k, err := parseHeader(got[:short], len(got)); k != 0 || err != nil {
						t.Fatalf("% x, the beginning of % x, parsed as %+v, %d, %v", got[:short], got[:k], h, k, err)
					}
				}
			}
		}
	}
}

// TestPacketsSuitComet sends messages around the payload's size on every channel and looks at each packet.
func TestPacketsSuitComet(t *testing.T) {
	for _, payload := range []int{2, 100, 119, 120, 121, 127, 128, 129, 1024, 1400, 16370, 16384, 65536} {
		limit := cometMaxPacket(payload)
		for _, channel := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			c := &script{}
			s, err := New(c, muxer.Listener, []muxer.Channel{{ID: channel, SendQueue: 1 << 30}},
				Config{MaxPacketPayload: payload})
			if err != nil {
				t.Fatal(err)
			}
			sizes := []int{0, 1, payload - 1, payload, payload + 1, 2*payload - 2, 2*payload - 1, 2 * payload,
				3*payload - 3, 3 * payload, 5*payload + 7}
			for _, n := range sizes {
				if !s.TrySend(channel, make([]byte, n)) {
					t.Fatal("TrySend refuses")
				}
			}
			for !s.idle() {
				b := batches.New().(*batch)
				s.take(b)
				if err := s.write(b); err != nil {
					t.Fatal(err)
				}
			}
			s.stop()
			out := c.out.Bytes()
			if uint64(len(out)) != s.sentBytes.Load() {
				t.Errorf("%d bytes sent, %d counted", len(out), s.sentBytes.Load())
			}
			message := 0
			for rest := out; len(rest) > 0; {
				body, n := protowire.ConsumeBytes(rest)
				if n < 0 {
					t.Fatal("no packet")
				}
				if len(body) > limit {
					t.Fatalf("payload %d, channel %#x: a packet of %d bytes, over %d", payload, channel, len(body),
						limit)
				}
				h, _, err := decodePacket(body)
				if err != nil || h.channel != int(channel) {
					t.Fatalf("%+v, %v", h, err)
				}
				message += h.data
				if h.last {
					if message != sizes[0] {
						t.Fatalf("payload %d, channel %#x: a message of %d bytes became one of %d", payload, channel,
							sizes[0], message)
					}
					message, sizes = 0, sizes[1:]
				}
				rest = rest[n:]
			}
			if len(sizes) != 0 {
				t.Errorf("%d messages are missing", len(sizes))
			}
		}
	}
}

func TestKeepalivePackets(t *testing.T) {
	if want := delimited(field(1, nil)); !bytes.Equal(pingPacket, want) {
		t.Errorf("ping: % x, want % x", pingPacket, want)
	}
	if want := delimited(field(2, nil)); !bytes.Equal(pongPacket, want) {
		t.Errorf("pong: % x, want % x", pongPacket, want)
	}
}

// Packets as no library writes them, but as each one reads them.
func TestTolerance(t *testing.T) {
	hello := []byte("hello")
	msg := join(number(1, 5), number(2, 1), field(3, hello))
	for name, body := range map[string][]byte{
		"usual":      field(3, msg),
		"data first": field(3, join(field(3, hello), number(2, 1), number(1, 5))),
		"eof first":  field(3, join(number(2, 1), number(1, 5), field(3, hello))),
		"data twice, the last counts": field(3,
			join(number(1, 5), field(3, []byte("jello!")), number(2, 1), field(3, hello))),
		"channel twice":             field(3, join(number(1, 6), number(1, 5), number(2, 1), field(3, hello))),
		"eof twice":                 field(3, join(number(1, 5), number(2, 0), number(2, 1), field(3, hello))),
		"eof is 2":                  field(3, join(number(1, 5), number(2, 2), field(3, hello))),
		"eof is large":              field(3, join(number(1, 5), number(2, 1<<63), field(3, hello))),
		"channel is cut to 32 bits": field(3, join(number(1, 1<<32+5), number(2, 1), field(3, hello))),
		"channel in three bytes": field(3,
			join([]byte{tagChannel, 0x85, 0x80, 0}, number(2, 1), field(3, hello))),
		"channel in two bytes": field(3,
			join([]byte{tagChannel, 0x85, 0}, number(2, 1), field(3, hello))),
		"eof in two bytes": field(3, join(number(1, 5), []byte{tagEOF, 0x81, 0}, field(3, hello))),
		"tag in two bytes": field(3,
			join([]byte{0x80 | tagChannel, 0, 5}, number(2, 1), field(3, hello))),
		"length in two bytes": join([]byte{tagMsg, 0x80 | byte(len(msg)), 0}, msg),
		"data's length in two bytes": field(3,
			join(number(1, 5), number(2, 1), []byte{tagData, 0x85, 0}, hello)),
		"unknown field after":          join(field(3, msg), field(9, hello)),
		"unknown field before":         join(number(9, 300), field(3, msg)),
		"unknown field of the message": field(3, join(msg, field(4, hello))),
		"unknown group": field(3,
			join(msg, protowire.AppendTag(nil, 7, protowire.StartGroupType), number(1, 1),
				protowire.AppendTag(nil, 7, protowire.EndGroupType))),
		"unknown fixed": field(3,
			join(protowire.AppendFixed64(protowire.AppendTag(nil, 8, protowire.Fixed64Type), 1),
				protowire.AppendFixed32(protowire.AppendTag(nil, 8, protowire.Fixed32Type), 1), msg)),
		"a ping before, the last counts":     join(field(1, nil), field(3, msg)),
		"another message before, it is gone": join(field(3, join(number(1, 99), field(3, []byte("!")))), field(3, msg)),
	} {
		t.Run(name, func(t *testing.T) {
			wire := join(delimited(body), packet(5, true, []byte("next")))
			for _, chunks := range [][][]byte{{wire}, cut(wire, 1), cut(wire, 2), bytewise(wire)} {
				_, got, err := reading(t, []muxer.Channel{{ID: 5}}, Config{}, chunks...)
				if err != io.EOF || len(got) != 2 || string(got[0].Data) != "hello" || string(got[1].Data) != "next" {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
}

func bytewise(b []byte) (chunks [][]byte) {
	for i := range b {
		chunks = append(chunks, b[i:i+1])
	}
	return chunks
}

func TestRejections(t *testing.T) {
	hello := []byte("hello")
	ok := packet(5, true, hello)
	for name, c := range map[string]struct {
		wire []byte
		code muxer.Code
	}{
		"unknown channel":   {packet(6, true, hello), muxer.CodeWrongChannel},
		"unknown channel 0": {packet(0, true, hello), muxer.CodeWrongChannel},
		"channel 261": {delimited(field(3, join(number(1, 256+5), number(2, 1), field(3, hello)))),
			muxer.CodeWrongChannel},
		"channel 2^20": {delimited(field(3, join(number(1, 1<<20), number(2, 1), field(3, hello)))),
			muxer.CodeWrongChannel},
		"negative channel": {delimited(field(3, join(number(1, 1<<64-251), number(2, 1), field(3, hello)))),
			muxer.CodeWrongChannel},
		"negative channel, 32 bits": {delimited(field(3, join(number(1, 1<<32-251), number(2, 1), field(3, hello)))),
			muxer.CodeWrongChannel},
		"empty packet":             {[]byte{0}, muxer.CodeProtocolError},
		"empty packet, long":       {[]byte{0x80, 0}, muxer.CodeProtocolError},
		"only unknown fields":      {delimited(field(4, hello)), muxer.CodeProtocolError},
		"packet too long":          {protowire.AppendVarint(nil, DefaultMaxPacket+1), muxer.CodeProtocolError},
		"packet endless":           {protowire.AppendVarint(nil, 1<<64-1), muxer.CodeProtocolError},
		"length of eleven bytes":   {bytes.Repeat([]byte{0xff}, 11), muxer.CodeProtocolError},
		"ping that is a number":    {delimited(number(1, 1)), muxer.CodeProtocolError},
		"message that is a number": {delimited(number(3, 1)), muxer.CodeProtocolError},
		"channel of bytes":         {delimited(field(3, field(1, hello))), muxer.CodeProtocolError},
		"eof of bytes": {delimited(field(3, join(number(1, 5), field(2, hello)))),
			muxer.CodeProtocolError},
		"data that is a number":   {delimited(field(3, join(number(1, 5), number(3, 7)))), muxer.CodeProtocolError},
		"message over the packet": {join([]byte{4, tagMsg, 9}, hello), muxer.CodeProtocolError},
		"data over the message": {join([]byte{6, tagMsg, 4, tagChannel, 5, tagData, 9}, hello),
			muxer.CodeProtocolError},
		"message ends in a channel":   {[]byte{3, tagMsg, 1, tagChannel}, muxer.CodeProtocolError},
		"message ends in an id":       {[]byte{4, tagMsg, 2, tagChannel, 0x85}, muxer.CodeProtocolError},
		"message ends in eof":         {[]byte{5, tagMsg, 3, tagChannel, 5, tagEOF}, muxer.CodeProtocolError},
		"message ends in data's size": {[]byte{5, tagMsg, 3, tagChannel, 5, tagData}, muxer.CodeProtocolError},
		"ping over the packet":        {[]byte{2, tagPing, 9}, muxer.CodeProtocolError},
		"ping with broken fields":     {[]byte{3, tagPing, 1, 0xff}, muxer.CodeProtocolError},
		"ping cut short":              {[]byte{1, tagPing}, muxer.CodeProtocolError},
		"field 0":                     {delimited(join([]byte{0, 1}, field(1, nil))), muxer.CodeProtocolError},
		"group that does not begin":   {delimited(join(field(1, nil), []byte{4<<3 | 4})), muxer.CodeProtocolError},
		"group that does not end": {delimited(join(field(1, nil), []byte{4<<3 | 3, 8, 1})),
			muxer.CodeProtocolError},
		"message too long": {packet(5, true, make([]byte, 1001)), muxer.CodeMessageTooBig},
		"message too long, in pieces": {join(packet(5, false, make([]byte, 600)), packet(5, true, make([]byte, 401))),
			muxer.CodeMessageTooBig},
		"too long in unusual form": {delimited(field(3, join(field(3, make([]byte, 1001)), number(1, 5)))),
			muxer.CodeMessageTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			wire := join(ok, c.wire, bytes.Repeat([]byte{0}, 20))
			for _, chunks := range [][][]byte{{wire}, cut(wire, 1), cut(wire, 2), bytewise(wire)} {
				_, got, err := reading(t, []muxer.Channel{{ID: 5, MaxMessage: 1000}}, Config{}, chunks...)
				var ce *muxer.CloseError
				if !errors.As(err, &ce) || ce.Code != c.code || ce.Remote {
					t.Errorf("ended with %v, want %v", err, c.code)
				}
				if len(got) != 1 {
					t.Errorf("%d messages came, want the good one before", len(got))
				}
			}
		})
	}
}

// TestEndInside ends the connection after every byte of some packets.
func TestEndInside(t *testing.T) {
	wire := join(packet(5, true, []byte("hello")), pingPacket, packet(5, false, make([]byte, 300)),
		packet(5, true, make([]byte, 10)),
		delimited(field(3, join(number(2, 1), number(1, 5), field(3, make([]byte, 50))))))
	whole := map[int]bool{0: true}
	for at := 0; at < len(wire); {
		_, n := protowire.ConsumeBytes(wire[at:])
		at += n
		whole[at] = true
	}
	// between packets, inside a message
	delete(whole, len(packet(5, true, []byte("hello")))+3+len(packet(5, false, make([]byte, 300))))
	for end := range len(wire) + 1 {
		_, _, err := reading(t, []muxer.Channel{{ID: 5}}, Config{}, wire[:end])
		if whole[end] && err != io.EOF || !whole[end] && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("an end after %d bytes: %v", end, err)
		}
	}
}

// reference reads packets the slow way: what the reader must make of wire.
func reference(wire []byte, limit int, max map[byte]int) (msgs []muxer.Message, pings int, err error) {
	partial := map[byte][]byte{}
	for len(wire) > 0 {
		size, n := protowire.ConsumeVarint(wire)
		if n < 0 {
			if len(wire) <= 10 {
				return msgs, pings, io.ErrUnexpectedEOF
			}
			return msgs, pings, errMalformed
		}
		if size > uint64(limit) {
			return msgs, pings, errMalformed
		}
		if size > 0 && uint64(len(wire)-n) < size {
			return msgs, pings, io.ErrUnexpectedEOF // or what is already wrong with it
		}
		h, data, err := decodePacket(wire[n : n+int(size)])
		if err != nil {
			return msgs, pings, err
		}
		wire = wire[n+int(size):]
		switch h.kind {
		case kindPing:
			pings++
		case kindMsg:
			if h.channel < 0 || h.channel > 255 || max[byte(h.channel)] == 0 {
				return msgs, pings, muxer.ErrUnknownChannel
			}
			id := byte(h.channel)
			if len(partial[id])+len(data) > max[id] {
				return msgs, pings, muxer.ErrMessageTooLarge
			}
			partial[id] = append(partial[id], data...)
			if h.last {
				msgs = append(msgs, muxer.Message{Channel: id, Data: partial[id]})
				partial[id] = nil
			}
		}
	}
	for _, p := range partial {
		if len(p) > 0 {
			return msgs, pings, io.ErrUnexpectedEOF
		}
	}
	return msgs, pings, io.EOF
}

// FuzzReader reads any bytes in any pieces and compares with the slow way.
func FuzzReader(f *testing.F) {
	f.Add(join(packet(5, true, []byte("hello")), pingPacket, pongPacket, packet(0, false, make([]byte, 200)),
		packet(0, true, nil)), uint64(1))
	f.Add(join(packet(0x80, true, nil), packet(5, false, nil)), uint64(2))
	f.Add(delimited(field(3, join(field(3, []byte("x")), number(1, 5), number(2, 1)))), uint64(3))
	f.Add([]byte{0x80, 0x80, 0x80, 0}, uint64(4))
	f.Add([]byte{4, tagMsg, 2, tagChannel, 0x85, 1, 2, 3}, uint64(5))
	f.Add(join(packet(5, false, make([]byte, 400)), packet(5, true, make([]byte, 600)),
		packet(5, true, make([]byte, 1001))), uint64(6))
	channels := []muxer.Channel{{ID: 0, MaxMessage: 1000}, {ID: 5, MaxMessage: 1000}, {ID: 0x80, MaxMessage: 1000}}
	limits := map[byte]int{0: 1000, 5: 1000, 0x80: 1000}
	for _, b := range corpus.HugeLengths(join(packet(5, true, []byte("hello")), pingPacket)) {
		f.Add(b, uint64(7))
	}
	f.Fuzz(func(t *testing.T, wire []byte, seed uint64) {
		const limit = 5000
		if h, n, err := parseHeader(wire, limit); n == 0 && err == nil && len(wire) >= maxHeader {
			t.Fatalf("% x, longer than any header, parsed as %+v, %d", wire[:maxHeader], h, n)
		}
		want, _, wantErr := reference(wire, limit, limits)
		s, got, err := reading(t, channels, Config{MaxPacket: limit}, cut(wire, seed)...)
		if !equal(got, want) {
			t.Fatalf("got %d messages, %v; want %d, %v", len(got), err, len(want), wantErr)
		}
		// A packet that is not whole may be refused for its beginning alone; otherwise both must agree.
		var ce *muxer.CloseError
		switch {
		case errors.Is(wantErr, io.ErrUnexpectedEOF):
		case wantErr == io.EOF:
			if err != io.EOF {
				t.Fatalf("ended with %v, want %v", err, wantErr)
			}
		case !errors.As(err, &ce) || ce.Remote:
			t.Fatalf("ended with %v, want %v", err, wantErr)
		}
		if held := s.PartialBytes(); held > 3*1000+2*limit || held < 0 {
			t.Fatalf("%d bytes are held", held)
		}
	})
}

func equal(a, b []muxer.Message) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Channel != b[i].Channel || !bytes.Equal(a[i].Data, b[i].Data) {
			return false
		}
	}
	return true
}

// FuzzRoundTrip sends messages cut out of data through a writer and a reader.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("hello, world"), uint64(1), uint16(1024))
	f.Add(make([]byte, 5000), uint64(2), uint16(100))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, payload uint16) {
		ids := []byte{0, 1, 0x80, 0xff}
		channels := make([]muxer.Channel, len(ids))
		for i, id := range ids {
			channels[i] = muxer.Channel{ID: id, Priority: 1 + i, SendQueue: 1 << 30}
		}
		cfg := Config{MaxPacketPayload: max(int(payload), 2)}
		c := &script{}
		s, err := New(c, muxer.Listener, channels, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.stop()
		want := map[byte][][]byte{}
		for i, msg := range cut(data, seed) {
			id := ids[i%len(ids)]
			want[id] = append(want[id], msg)
			s.TrySend(id, msg)
		}
		for !s.idle() {
			b := batches.New().(*batch)
			s.take(b)
			if err := s.write(b); err != nil {
				t.Fatal(err)
			}
		}
		_, got, err := reading(t, channels, cfg, cut(c.out.Bytes(), seed+1)...)
		if err != io.EOF {
			t.Fatal(err)
		}
		for _, m := range got {
			if len(want[m.Channel]) == 0 || !bytes.Equal(want[m.Channel][0], m.Data) {
				t.Fatalf("channel %#x: a message of %d bytes that was not sent", m.Channel, len(m.Data))
			}
			want[m.Channel] = want[m.Channel][1:]
		}
		for id, rest := range want {
			if len(rest) > 0 {
				t.Fatalf("channel %#x: %d messages are missing", id, len(rest))
			}
		}
	})
}

func TestDeliversInBatches(t *testing.T) {
	var wire []byte
	const n = 3000
	for i := range n {
		wire = append(wire, packet(5, true, fmt.Append(nil, i))...)
	}
	s, err := New(&script{chunks: [][]byte{wire[:20000], wire[20000:]}}, muxer.Listener, []muxer.Channel{{ID: 5}},
		Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	calls, next := 0, 0
	s.readLoop(handlerFunc(func(msgs []muxer.Message) error {
		calls++
		if len(msgs) > deliverMessages {
			t.Errorf("a delivery of %d messages", len(msgs))
		}
		for _, m := range msgs {
			if string(m.Data) != fmt.Sprint(next) {
				t.Fatalf("got %q where %d was due", m.Data, next)
			}
			next++
		}
		return nil
	}))
	if next != n || calls > n/deliverMessages+1 {
		t.Errorf("%d messages came in %d calls", next, calls)
	}
}
