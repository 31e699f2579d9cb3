package secretconn

import (
	"io"
	"testing"
)

func TestHandshake(t *testing.T) {
	a, b := tcpPair(t)
	ra, rb := shakeBoth(a, b, Options{EarlyData: []byte("from a")}, Options{EarlyData: []byte("from b")})
	if ra.err != nil || rb.err != nil {
		t.Fatal(ra.err, rb.err)
	}
	if ra.conn.RemotePublicKey() != testKey(2).Public() || rb.conn.RemotePublicKey() != testKey(1).Public() {
		t.Error("wrong remote key")
	}
	for _, tc := range []struct {
		conn *Conn
		want string
	}{{ra.conn, "from b"}, {rb.conn, "from a"}} {
		got := make([]byte, len(tc.want))
		if _, err := io.ReadFull(tc.conn, got); err != nil || string(got) != tc.want {
			t.Errorf("early data %q, %v, want %q", got, err, tc.want)
		}
	}
}
