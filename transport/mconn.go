package transport

import (
	"encoding/hex"
	"fmt"

	ma "github.com/multiformats/go-multiaddr"
)

// MconnCode is the multicodec of the component /mconn/<40 hex>, which names a node that speaks the comet wire. It lies
// in the range 0x300000-0x3fffff that the multicodec table keeps for private use: the component has no registered code,
// and libp2p nodes never see it. The low bytes spell "mc".
const MconnCode = 0x306d63

// mconnProtocol is registered with go-multiaddr, which then reads and prints the component too. Parsing an Address does
// not depend on it.
var mconnProtocol = ma.Protocol{
	Name:  "mconn",
	Code:  MconnCode,
	VCode: ma.CodeToVarint(MconnCode),
	Size:  8 * NodeIDSize,
	Transcoder: ma.NewTranscoderFromFunctions(
		func(s string) ([]byte, error) {
			if len(s) != 2*NodeIDSize {
				return nil, fmt.Errorf("want %d hex digits", 2*NodeIDSize)
			}
			return hex.DecodeString(s)
		},
		func(b []byte) (string, error) { return hex.EncodeToString(b), nil },
		func(b []byte) error {
			if len(b) != NodeIDSize {
				return fmt.Errorf("want %d bytes", NodeIDSize)
			}
			return nil
		},
	),
}

// go-multiaddr keeps one table for the process, unguarded: it may be added to only while packages are initialised. An
// earlier registration by another package (a fork, a second copy of this module) stays as it is.
var _ = func() bool {
	if ma.ProtocolWithName(mconnProtocol.Name).Code != 0 || ma.ProtocolWithCode(MconnCode).Code != 0 {
		return false
	}
	return ma.AddProtocol(mconnProtocol) == nil
}()
