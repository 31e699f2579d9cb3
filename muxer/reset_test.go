package muxer

import (
	"errors"
	"io"
	"net"
	"testing"
)

// Our codes survive the way through a number, libp2p's are understood, all others are unknown.
func TestResetCodes(t *testing.T) {
	for c := CodeUnknown; c <= CodeNoSignature; c++ {
		if got := c.Reset().Code(); got != c {
			t.Errorf("%v came back as %v", c, got)
		}
	}
	for n, want := range map[ResetCode]Code{
		0: CodeUnknown, 1: CodeUnknown, 0x1000: CodeUnknown, 0x1001: CodeIncompatible, 0x1002: CodeTooManyPeers,
		0x1008: CodeFiltered, 0x1009: CodeUnknown, 0x5358_ffff: CodeUnknown, 0x5359_0000: CodeUnknown,
		0x5359_ffff: 0xffff, 0x535a_0000: CodeUnknown, 0xffff_ffff: CodeUnknown,
	} {
		if got := n.Code(); got != want {
			t.Errorf("0x%x is %v, want %v", uint32(n), got, want)
		}
	}
}

func TestResetErrors(t *testing.T) {
	for want, e := range map[string]*ResetError{
		"we have reset the stream":                          {},
		"the remote has reset the stream (code 0x7)":        {Code: 7, Remote: true},
		"the remote has reset the stream (evicted)":         {Code: 0x1006, Remote: true},
		"we have reset the stream (banned)":                 {Code: CodeBanned.Reset()},
		"the remote has reset the stream (code 0xffffffff)": {Code: 0xffff_ffff, Remote: true},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
		if !errors.Is(e, io.ErrClosedPipe) || errors.Is(e, net.ErrClosed) {
			t.Error("a reset is a closed pipe, and no closed connection")
		}
	}
}
