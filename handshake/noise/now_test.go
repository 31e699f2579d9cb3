package noise

import (
	"net"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
)

func TestWriteNow(t *testing.T) {
	handshaketest.WriteNow(t, func(a, b net.Conn) (handshaketest.PromptConn, handshaketest.PromptConn) {
		x, y := securedPair(t, a, b)
		return x, y
	})
}
