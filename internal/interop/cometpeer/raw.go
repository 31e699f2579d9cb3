// Package cometpeer runs real CometBFT switches, for tests and benchmarks against them.
package cometpeer

import (
	"fmt"

	"github.com/cosmos/gogoproto/proto"
)

// Raw is a message that is exactly its bytes. CometBFT wants a protobuf message type for every channel; this one
// encodes to itself.
type Raw struct{ Bytes []byte }

func (m *Raw) Reset()                   { m.Bytes = nil }
func (m *Raw) String() string           { return fmt.Sprintf("raw message of %d bytes", len(m.Bytes)) }
func (m *Raw) ProtoMessage()            {}
func (m *Raw) Marshal() ([]byte, error) { return m.Bytes, nil }
func (m *Raw) Unmarshal(b []byte) error { m.Bytes = append([]byte{}, b...); return nil }
func (m *Raw) Merge(src proto.Message)  { m.Bytes = append([]byte{}, src.(*Raw).Bytes...) }
