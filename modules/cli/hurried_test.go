package cli

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// TestDialTwice: a remote whose network is not known is dialed twice, and some hang up on a second connection that
// comes at once.
func TestDialTwice(t *testing.T) {
	n := startNode(t, initHome(t))
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			in, err := door.Accept()
			if err != nil {
				return
			}
			if i == 1 {
				in.Close()
				continue
			}
			out, err := net.Dial("tcp", n.listen)
			if err != nil {
				t.Error(err)
				in.Close()
				return
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() {
					_, _ = io.Copy(way[0], way[1])
					way[0].Close()
				})
			}
		}
	})
	defer wg.Wait()
	defer door.Close()
	if out := must(t, "dial", n.id+"@"+door.Addr().String()); !strings.Contains(out, "the remote hung up; once more") ||
		!strings.Contains(out, "test-net") {
		t.Error(out)
	}
}
