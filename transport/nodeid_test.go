package transport

import (
	"errors"
	"strings"
	"testing"
)

func TestParseNodeID(t *testing.T) {
	for in, want := range map[string]NodeID{
		hexID: hexID, hexUp: hexID, edPeer: edID, edCID: edID, rsaPeer: rsaPeer, rsaCID: rsaPeer, secpPeer: secpPeer,
		"":                       "",
		"x":                      "",
		hexID[1:]:                "",
		"g" + hexID[1:]:          "",
		"0x" + hexID[2:]:         "",
		edPeer[1:]:               "",
		edPeer + "1":             "",
		"1" + edPeer:             "",
		"0" + edPeer[1:]:         "",
		rsaPeer[:45]:             "",
		"QmYyQSo1c1Ym7orWxLYvC0": "",
		"11111111111111":         "",
		strings.Repeat("1", 500): "",
		"bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi": "", // a CID of something else
	} {
		id, err := ParseNodeID(in)
		var typed *NodeIDError
		switch {
		case want == "" && !errors.As(err, &typed):
			t.Errorf("ParseNodeID(%q) is %q, %v", in, id, err)
		case want != "" && (err != nil || id != want):
			t.Errorf("ParseNodeID(%q) is %q, %v; want %q", in, id, err, want)
		}
	}
	if got := PeerIDFromEd25519(make([]byte, 32)); got != edPeer {
		t.Errorf("the peer id of the zero key is %s", got)
	}
	if got := NodeIDFromEd25519(make([]byte, 32)); got != edID {
		t.Errorf("the node id of the zero key is %s", got)
	}
}

func TestShort(t *testing.T) {
	for id, want := range map[NodeID]string{hexID: hexID[:8], rsaPeer: rsaPeer[len(rsaPeer)-8:], "": "", "abc": "abc"} {
		if got := id.Short(); got != want {
			t.Errorf("%q is %q for short", id, got)
		}
	}
}
