package secretconn

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/internal/corpus"
)

func FuzzEphemeralMessage(f *testing.F) {
	key := bytes.Repeat([]byte{7}, 32)
	f.Add(append([]byte{34, 0x0a, 32}, key...))
	f.Add(append([]byte{36, 0x0a, 32}, append(key, 0x10, 1)...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0})
	for _, b := range corpus.HugeLengths(append([]byte{34, 0x0a, 32}, key...)[:8]) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		msg, size, err := delimited(data, maxEphemeralMessage)
		if err != nil || size == 0 {
			return
		}
		if size > len(data) || len(msg) > maxEphemeralMessage {
			t.Fatalf("message of %d bytes, size %d, of %d", len(msg), size, len(data))
		}
		key, err := decodeEphemeral(msg)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again := encodeEphemeral(&key)
		if msg, _, err = delimited(again[:], maxEphemeralMessage); err != nil {
			t.Fatal(err)
		}
		if got, err := decodeEphemeral(msg); err != nil || got != key {
			t.Fatalf("%x, %v, want %x", got, err, key)
		}
	})
}

func FuzzAuthMessage(f *testing.F) {
	key, sig := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 64)
	f.Add(naiveAuth(key, sig))
	f.Add(naiveAuth(nil, sig))
	f.Add(naiveAuth(key, nil))
	f.Add(append([]byte{101, 0x0a, 35, 0x12, 33},
		append(make([]byte, 33), append([]byte{0x12, 62}, sig[:62]...)...)...))
	for _, b := range corpus.HugeLengths(naiveAuth(key, sig)) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		msg, size, err := delimited(data, maxAuthMessage)
		if err != nil || size == 0 {
			return
		}
		key, sig, err := decodeAuth(msg)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrKeyType) && !errors.Is(err, ErrNoKey) &&
				!errors.Is(err, ErrBadSignature) {
				t.Fatal(err)
			}
			return
		}
		if again := encodeAuth(key, sig); !bytes.Equal(again, naiveAuth(key, sig)) {
			t.Fatalf("encoded again as %x", again)
		}
	})
}

// FuzzFrames seals frames as the fuzzer chooses, may spoil a byte, cuts the stream into reads, and compares the reader
// with a plain model. Each 4 bytes of script are a frame: its length, how its reads are cut, and whether a byte is
// spoiled.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{5, 0, 255, 0, 0, 4, 1, 0, 100, 2, 3, 0}, byte(0))
	f.Add([]byte{1, 4, 0, 0, 0, 4, 0, 0}, byte(1))
	f.Add(bytes.Repeat([]byte{0, 0, 9, 0}, 70), byte(2))
	f.Add(bytes.Repeat([]byte{0, 4, 0, 0}, 130), byte(0))
	f.Add([]byte{9, 0, 9, 0, 9, 0, 9, 1}, byte(17))
	f.Fuzz(func(t *testing.T, script []byte, cut byte) {
		key := make([]byte, chacha20poly1305.KeySize)
		aead, _ := chacha20poly1305.New(key)
		var wire, want []byte
		var wantErr error = io.EOF
		chunks := []int{}
		for i, empty := 0, 0; i+4 <= len(script) && i < 4*300; i += 4 {
			length := uint32(binary.LittleEndian.Uint16(script[i:])) % 1030
			frame := make([]byte, plainSize)
			binary.LittleEndian.PutUint32(frame, length)
			for j := range frame[4:] {
				frame[4+j] = byte(i + j)
			}
			sealed := aead.Seal(nil, naiveNonce(uint64(i/4)), frame, nil)
			if spoil := script[i+3]; spoil != 0 {
				sealed[int(spoil)*4] ^= spoil
			}
			wire = append(wire, sealed...)
			chunks = append(chunks, 1+int(script[i+2])*7)
			if wantErr != io.EOF {
				continue
			}
			empty++
			switch {
			case script[i+3] != 0:
				wantErr = ErrDecrypt
			case length > dataSize:
				wantErr = ErrFrameLength
			case length > 0:
				want = append(want, frame[4:4+length]...)
				empty = 0
			case empty > maxEmptyFrames:
				wantErr = ErrEmptyFrames
			}
		}
		if n := int(cut) % (len(wire) + 1) % sealedSize; n > 0 && wantErr == io.EOF {
			// The stream ends within its last frame, which is then not seen.
			last := script[(len(wire)/sealedSize-1)*4:]
			length := int(binary.LittleEndian.Uint16(last)) % 1030
			want = want[:len(want)-length]
			wire = wire[:len(wire)-n]
			wantErr = io.ErrUnexpectedEOF
		}
		a, _ := memPipe()
		c := newConn(oneByteConn{a, &chunkReader{wire, chunks}})
		c.reader.aead, _ = chacha20poly1305.New(key)
		var got []byte
		for {
			buffered := c.Buffered()
			before := c.reader.end
			p, err := c.Next()
			if buffered && before != c.reader.end {
				t.Fatal("Next read although Buffered said that it need not")
			}
			if err != nil {
				if !errors.Is(err, wantErr) {
					t.Fatalf("%v, want %v", err, wantErr)
				}
				break
			}
			if len(p) == 0 {
				t.Fatal("Next returned nothing")
			}
			got = append(got, p...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d, or others", len(got), len(want))
		}
	})
}

// chunkReader returns data in reads of the given sizes, over and over.
type chunkReader struct {
	data   []byte
	chunks []int
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.chunks[0])], r.data)
	r.data = r.data[n:]
	r.chunks = append(r.chunks[1:], r.chunks[0])
	return n, nil
}

// FuzzHandshake does a whole handshake with a remote that sends arbitrary bytes and hangs up.
func FuzzHandshake(f *testing.F) {
	eph := append([]byte{34, 0x0a, 32}, bytes.Repeat([]byte{9}, 32)...)
	f.Add(eph)
	f.Add(append(eph, make([]byte, sealedSize)...))
	f.Add(make([]byte, 100))
	f.Add([]byte("\x13/multistream/1.0.0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := memPipe()
		a.SetDeadline(time.Now().Add(handshaketest.Timeout))
		b.Write(data)
		b.CloseWrite()
		if c, err := Handshake(context.Background(), a, testKey(1), Options{}); err == nil {
			t.Fatalf("%x proved the key %x", data, c.RemotePublicKey().Raw())
		}
		a.Close()
	})
}

// FuzzProof is FuzzHandshake behind an honest exchange of keys: the arbitrary bytes are what the remote seals.
func FuzzProof(f *testing.F) {
	f.Add(naiveAuth(make([]byte, 32), make([]byte, 64)))
	f.Add(make([]byte, 2000))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := attack(t, func(p *naivePeer) error {
			if err := p.exchange(nil); err != nil {
				return err
			}
			return p.write(data)
		}); err == nil {
			t.Fatalf("%x is a proof", data)
		}
	})
}
