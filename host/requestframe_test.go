package host

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "github.com/switchyard-p2p/switchyard/internal/switchyardpb"
)

// Frames are what the generated code makes of them.
func TestRequestFrame(t *testing.T) {
	request, err := bodyFrame(frameRequest, 7, wrapperspb.String("q"))
	if err != nil {
		t.Fatal(err)
	}
	setCall(request, 1<<40)
	response, _ := bodyFrame(frameResponse, 3, wrapperspb.String(strings.Repeat("a", 70_000)))
	body, _ := proto.Marshal(wrapperspb.String(strings.Repeat("a", 70_000)))
	for _, c := range []struct {
		ours []byte
		want *pb.RequestFrame
	}{
		{request, &pb.RequestFrame{Id: 1 << 40, Kind: &pb.RequestFrame_Request{Request: []byte("\x0a\x01q")}}},
		{response, &pb.RequestFrame{Id: 3, Kind: &pb.RequestFrame_Response{Response: body}}},
		{refusalFrame(9, RefusedBusy, "\xffno"), &pb.RequestFrame{Id: 9, Kind: &pb.RequestFrame_Refusal{Refusal: 2},
			Reason: "no"}},
		{refusalFrame(9, 1<<31, strings.Repeat("é", 200)), &pb.RequestFrame{Id: 9,
			Kind: &pb.RequestFrame_Refusal{Refusal: 1 << 31}, Reason: strings.Repeat("é", 128)}},
		{noticeFrame([]byte("n")), &pb.RequestFrame{Kind: &pb.RequestFrame_Notice{Notice: []byte("n")}}},
	} {
		var got pb.RequestFrame
		if err := proto.Unmarshal(c.ours, &got); err != nil || !proto.Equal(&got, c.want) {
			t.Errorf("%v (%v), want %v", &got, err, c.want)
		}
		sameFrame(t, c.ours)
	}
	if _, err := bodyFrame(frameRequest, 1, wrapperspb.String("\xff")); err == nil {
		t.Error("a message that cannot be encoded was")
	}
}

// sameFrame checks that both decoders see the same in b.
func sameFrame(t *testing.T, b []byte) {
	t.Helper()
	f, err := parseFrame(b)
	var want pb.RequestFrame
	if wantErr := proto.Unmarshal(b, &want); (err == nil) != (wantErr == nil) {
		t.Fatalf("%x: %v, the generated code says %v", b, err, wantErr)
	} else if err != nil {
		return
	}
	var got pb.RequestFrame
	switch got.Id, got.Reason = f.call, want.GetReason(); f.kind {
	case frameRequest:
		got.Kind = &pb.RequestFrame_Request{Request: f.body}
	case frameResponse:
		got.Kind = &pb.RequestFrame_Response{Response: f.body}
	case frameRefusal:
		got.Kind = &pb.RequestFrame_Refusal{Refusal: uint32(f.code)}
	case frameNotice:
		got.Kind = &pb.RequestFrame_Notice{Notice: f.body}
	}
	want.ProtoReflect().SetUnknown(nil)
	if !proto.Equal(&got, &want) || f.reason != want.GetReason()[:min(len(want.GetReason()), maxReason)] {
		t.Fatalf("%x: %v, the generated code says %v", b, &got, &want)
	}
	if f.kind == frameRefusal && f.check() == nil {
		again := refusalFrame(f.call, f.code, f.reason)
		if g, err := parseFrame(again); err != nil || g.code != f.code || g.call != f.call {
			t.Fatalf("%x: encoded again it is %+v, %v", b, g, err)
		}
	}
}

func FuzzRequestFrame(f *testing.F) {
	seed, _ := bodyFrame(frameRequest, 7, wrapperspb.String("q"))
	f.Add(seed)
	f.Add(refusalFrame(9, RefusedBusy, "no"))
	f.Add(noticeFrame(nil))
	f.Add(bytes.Repeat([]byte{0x0b}, 200)) // groups
	f.Add(append(seed, seed...))
	f.Fuzz(func(t *testing.T, b []byte) { sameFrame(t, b) })
}
