package benchkit

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Pair and a Star that only count calls.
type fake struct {
	messages, trips, up atomic.Int64
	closed              atomic.Bool
	fail                error
}

func (f *fake) Stream(_ []byte, n int) error { f.messages.Add(int64(n)); return f.fail }
func (f *fake) RoundTrip([]byte) error       { f.trips.Add(1); return f.fail }
func (f *fake) Setup(int) error              { f.up.Add(1); return f.fail }
func (f *fake) Hangup(int) error             { f.up.Add(-1); return nil }
func (f *fake) Close()                       { f.closed.Store(true) }

func TestMeasuresOpenAndClose(t *testing.T) {
	bad := errors.New("no")
	for name, measure := range map[string]func(f *fake) Measure{
		"setups":  func(f *fake) Measure { return Setups(func(int) (Star, error) { return f, nil }) },
		"ready":   func(f *fake) Measure { return Readiness(func(int) (Star, error) { return f, nil }) },
		"rate":    func(f *fake) Measure { return Rate(func() (Pair, error) { return f, nil }, 100, true) },
		"trips":   func(f *fake) Measure { return RoundTrips(func() (Pair, error) { return f, nil }, 0.99) },
		"at rest": func(f *fake) Measure { return AtRest(func(int) (Star, error) { return f, nil }, true) },
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			got, err := measure(f)(time.Millisecond)
			idle := f.messages.Load()+f.trips.Load() == 0 && f.up.Load() == 0 && got.Value == 0
			if err != nil || !f.closed.Load() || idle {
				t.Fatalf("%+v, %v, %+v", got, err, f)
			}
			f = &fake{fail: bad}
			if _, err := measure(f)(time.Millisecond); !errors.Is(err, bad) || !f.closed.Load() {
				t.Fatalf("an error is %v, closed %v", err, f.closed.Load())
			}
		})
	}
}

func TestMedianAndQuantile(t *testing.T) {
	if m := median([]Figure{{Value: 9}, {Value: 1}, {Value: 4, Bytes: 7}}); m.Bytes != 7 {
		t.Error(m)
	}
	if m := median(nil); m != (Figure{}) {
		t.Error(m)
	}
	if q := quantile([]time.Duration{3, 1, 2}, 0.5); q != 2 {
		t.Error(q)
	}
}

func TestWatch(t *testing.T) {
	w := NewWatch()
	w.Expect("a")
	w.Tell("b", true) // not expected
	w.Tell("a", true)
	w.Tell("a", false)
	if !w.Within(time.Minute, "a", false) {
		t.Error("the state is not seen")
	}
	w.Tell("a", true)
	w.Forget("a")
	if w.Within(time.Millisecond, "a", true) {
		t.Error("a forgotten state is seen")
	}
}
