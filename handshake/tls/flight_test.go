package tls

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
)

// readerConn reads from a reader and counts the reads.
type readerConn struct {
	net.Conn
	io.Reader
	reads int
}

func (c *readerConn) Read(p []byte) (int, error) {
	c.reads++
	return c.Reader.Read(p)
}

// record returns a TLS record with a body of n bytes.
func record(n int) []byte {
	return append([]byte{22, 3, 3, byte(n >> 8), byte(n)}, bytes.Repeat([]byte{byte(n)}, n)...)
}

// During the handshake each read returns one record, whatever pieces it arrives in, and no byte is lost.
func TestFlight(t *testing.T) {
	short := [][]byte{record(1), record(0), record(90), record(500), record(flightSize - recordHeader)}
	for name, wrap := range map[string]func(io.Reader) io.Reader{"together": func(r io.Reader) io.Reader { return r },
		"byte by byte": iotest.OneByteReader, "in halves": iotest.HalfReader, "with the error": iotest.DataErrReader} {
		t.Run(name, func(t *testing.T) {
			conn := &readerConn{Reader: wrap(bytes.NewReader(bytes.Join(short, nil)))}
			var f flight
			buf := make([]byte, 2*flightSize)
			for i, want := range short {
				if n, err := f.read(conn, buf); err != nil || !bytes.Equal(buf[:n], want) {
					t.Fatalf("record %d: %d bytes, want %d, %v", i, n, len(want), err)
				}
			}
			if n, err := f.read(conn, buf); n != 0 || err != io.EOF || f.buf != nil {
				t.Errorf("behind them %d bytes, %v, a buffer is held: %v", n, err, f.buf != nil)
			}
			if name == "together" && conn.reads > 4 {
				t.Errorf("%d reads", conn.reads)
			}
		})
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Bytes that are no record, or too long a one, are passed on in pieces. Bytes held at the end of the handshake are read
// after it.
func TestFlightPassesAll(t *testing.T) {
	for name, parts := range map[string][][]byte{
		"a long record": {record(3 * flightSize), record(7), record(flightSize)},
		"no record":     {record(7), []byte("GET / HTTP/1.1\r\n"), record(3)},
		"cut short":     {record(7), record(100)[:50]},
		"a header only": {record(7)[:4]},
	} {
		for _, over := range []bool{false, true} {
			all := bytes.Join(parts, nil)
			conn := &readerConn{Reader: bytes.NewReader(all)}
			var f flight
			got, err := io.ReadAll(readFunc(func(p []byte) (int, error) {
				n, err := f.read(conn, p[:min(len(p), 33)])
				f.over = over // behind the first read
				return n, err
			}))
			if err != nil || !bytes.Equal(got, all) {
				t.Errorf("%s, the handshake is over: %v: %d of %d bytes, %v", name, over, len(got), len(all), err)
			}
		}
	}
}

// An error comes after the bytes read before it, and stays.
func TestFlightError(t *testing.T) {
	bad := errors.New("bad")
	conn := &readerConn{Reader: io.MultiReader(bytes.NewReader(append(record(5), 22, 3, 3)), iotest.ErrReader(bad))}
	var f flight
	buf := make([]byte, 100)
	for i, want := range []int{10, 3} {
		if n, err := f.read(conn, buf); n != want || err != nil {
			t.Fatalf("read %d: %d bytes, %v", i, n, err)
		}
	}
	for range 2 {
		if n, err := f.read(conn, buf); n != 0 || err != bad {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
}
