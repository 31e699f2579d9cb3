package noise

import (
	"bytes"
	"crypto/cipher"
	"io"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/internal/corpus"
)

func FuzzDecodePayload(f *testing.F) {
	sig := make([]byte, 64)
	f.Add(appendProof(nil, dialerKey.Public(), sig))
	f.Add(appendMuxers(appendProof(nil, dialerKey.Public(), sig), []string{"/yamux/1.0.0", "/mplex/6.7.0"}))
	f.Add([]byte{0x22, 2, 0x12, 9})
	f.Add([]byte{0x1a, 0, 0x08, 1, 0x0b, 0x0c})
	for _, b := range corpus.HugeLengths(appendProof(nil, dialerKey.Public(), sig)) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		p, err := decodePayload(msg)
		if err != nil {
			return
		}
		if p.key == nil || p.sig == nil || len(p.muxers) > maxMuxers {
			t.Fatalf("%+v", p)
		}
		again, err := decodePayload(appendAll(p))
		if err != nil || !bytes.Equal(again.key, p.key) || !bytes.Equal(again.sig, p.sig) ||
			len(again.muxers) != len(p.muxers) {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
		chooseMuxer(true, []string{"/yamux/1.0.0"}, p.muxers)
	})
}

func appendAll(p payload) []byte {
	list := []string{}
	for _, m := range p.muxers {
		list = append(list, string(m))
	}
	return appendMuxers(payloadOf(p.key, p.sig), list)
}

// openSeal is a cipher that anyone can seal for: otherwise no fuzzed message would open.
type openSeal struct{ cipher.AEAD }

func (openSeal) Open(dst, _, sealed, _ []byte) ([]byte, error) {
	return append(dst, sealed[:len(sealed)-tagSize]...), nil
}

// FuzzReader reads whatever a remote may send, cut into any pieces, with reads of any size.
func FuzzReader(f *testing.F) {
	f.Add(append(frame(make([]byte, 17)), frame(make([]byte, 30))...), byte(1), uint16(5))
	f.Add([]byte{0, 1, 7, 0, 2, 8, 9}, byte(1), uint16(5))
	f.Add(append([]byte{0xff, 0xff}, make([]byte, 65535)...), byte(200), uint16(4096))
	f.Add(bytes.Repeat(frame(make([]byte, tagSize)), 100), byte(3), uint16(1))
	f.Fuzz(func(t *testing.T, sent []byte, piece byte, size uint16) {
		x, y := handshaketest.Pipe("/memory/1", "/memory/2")
		c := newConn(&pieces{y, int(piece)*97 + 1})
		c.reader.cipher.aead = openSeal{}
		x.Write(sent)
		x.CloseWrite()
		got := make([]byte, 0, len(sent))
		buf := make([]byte, int(size)+1)
		var err error
		for err == nil {
			var n int
			n, err = c.Read(buf)
			got = append(got, buf[:n]...)
		}
		want, wantErr := readSimply(sent)
		if !bytes.Equal(got, want) || err != wantErr {
			t.Fatalf("%d bytes and %v, want %d and %v", len(got), err, len(want), wantErr)
		}
	})
}

// readSimply returns the reader as one would write it first.
func readSimply(b []byte) (data []byte, err error) {
	for empty := 0; ; {
		switch {
		case len(b) == 0:
			return data, io.EOF
		case len(b) < 2 || len(b)-2 < int(b[0])<<8|int(b[1]):
			return data, io.ErrUnexpectedEOF
		}
		n := int(b[0])<<8 | int(b[1])
		if n < tagSize {
			return data, ErrTruncated
		}
		if n == tagSize {
			if empty++; empty > maxEmptyMessages {
				return data, ErrEmptyMessages
			}
		} else {
			empty = 0
		}
		data, b = append(data, b[2:2+n-tagSize]...), b[2+n:]
	}
}

// pieces reads at most so much at a time.
type pieces struct {
	*handshaketest.Conn
	most int
}

func (p *pieces) Read(b []byte) (int, error) { return p.Conn.Read(b[:min(len(b), p.most)]) }

func FuzzListen(f *testing.F) {
	f.Add(frame(make([]byte, 32)), frame(make([]byte, 200)))
	f.Add([]byte{0xff}, []byte{0xff})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a, b := memPipe()
		a.Write(first)
		a.Write(second)
		a.CloseWrite()
		if r := secure(New(), b, listening()); r.err == nil {
			t.Fatal("secured with junk")
		}
	})
}
