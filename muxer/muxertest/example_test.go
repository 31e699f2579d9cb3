package muxertest_test

import (
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// The test of a session: what each must do, in subtests, and what Traits claim beyond that.
func Example() {
	_ = func(t *testing.T) { // func TestSuite(t *testing.T)
		muxertest.Run(t, muxertest.Traits{AnswersAlways: true},
			func(t testing.TB, a, b []muxer.Channel) (muxer.Session, muxer.Session) {
				left, right := muxertest.Pipe(64 << 10)
				dialer, err := mconn.New(mconn.Plain(left), muxer.Dialer, a, mconn.Config{})
				if err != nil {
					t.Fatal(err)
				}
				listener, err := mconn.New(mconn.Plain(right), muxer.Listener, b, mconn.Config{})
				if err != nil {
					t.Fatal(err)
				}
				return dialer, listener
			})
	}
	// Output:
}
