package book

import (
	"encoding/hex"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func testID(n int) transport.NodeID {
	var raw [20]byte
	raw[0], raw[1], raw[2], raw[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return transport.NodeID(hex.EncodeToString(raw[:]))
}
