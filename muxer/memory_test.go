package muxer

import (
	"errors"
	"testing"
)

// A session may hold its limit, and all sessions theirs, beside a little that each may hold in any case.
func TestPartial(t *testing.T) {
	shared := &SharedPartial{Limit: 10 << 20}
	const due = partialDue
	a, b := Partial{Limit: 8 << 20, Shared: shared}, Partial{Limit: 8 << 20, Shared: shared}
	code := func(err error) Code {
		var ce *CloseError
		errors.As(err, &ce)
		if ce == nil {
			return CodeUnknown
		}
		return ce.Code
	}
	for _, step := range []struct {
		p    *Partial
		n    int
		want Code
	}{
		{&a, 8 << 20, CodeUnknown},
		{&a, 1, CodeMessageTooBig},
		{&b, due, CodeUnknown},
		{&b, 2<<20 - due + 1, CodeOverflow},
		{&b, 2<<20 - due, CodeUnknown}, // exactly the limit of all
		{&b, 1, CodeOverflow},
	} {
		if got := code(step.p.Claim(step.n)); got != step.want {
			t.Fatalf("a claim of %d: %v, want %v", step.n, got, step.want)
		}
	}
	c := Partial{Limit: 8 << 20, Shared: shared}
	if err := c.Claim(partialDue); err != nil {
		t.Errorf("the due of a session: %v", err)
	}
	for _, p := range []*Partial{&a, &b, &c} {
		p.Release(p.Used())
	}
	if shared.Used() != 0 || a.Used() != 0 {
		t.Errorf("%d and %d bytes are left", shared.Used(), a.Used())
	}
	if alone := (Partial{Limit: 10}); alone.Claim(10) != nil || alone.Claim(1) == nil {
		t.Error("a session without a shared limit")
	}
}
