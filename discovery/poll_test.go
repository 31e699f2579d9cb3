package discovery

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// A list is reported at each reading and logged when it changes; an error costs one reading.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const id = "0123456789abcdef0123456789abcdef01234567"
		first := id + "@10.0.0.1:1"
		readings := []string{first, first, "fails", first, id + "@10.0.0.2:2\nbad"}
		var log bytes.Buffer
		env := Env{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		ctx, stop := context.WithCancel(t.Context())
		var got []string
		n, began := 0, time.Now()
		err := env.Poll(ctx, time.Minute, "the list", func(a transport.Address, from transport.NodeID) {
			if got = append(got, a.CometString()); from != "" {
				t.Errorf("from %s", from)
			}
		}, func(context.Context) ([]byte, error) {
			if n == len(readings) {
				stop()
				return nil, nil
			}
			if n++; readings[n-1] == "fails" {
				return nil, errors.New("no list")
			}
			return []byte(readings[n-1]), nil
		})
		want := strings.Join([]string{first, first, first, id + "@10.0.0.2:2"}, " ")
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("found %v, %v", got, err)
		}
		if took := time.Since(began); took < 4*time.Minute || took > 6*time.Minute {
			t.Errorf("five pauses took %v", took)
		}
		for text, want := range map[string]int{"read a list of peers": 2, "cannot be read": 1, "was left out": 1} {
			if n := strings.Count(log.String(), text); n != want {
				t.Errorf("%q stands %d times in the log, want %d:\n%s", text, n, want, &log)
			}
		}
	})
}

// The end of the context ends a poll while it reads, without a word.
func TestPollEnds(t *testing.T) {
	var log bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	err := Env{Logger: slog.New(slog.NewTextHandler(&log, nil))}.Poll(ctx, time.Hour, "", nil,
		func(ctx context.Context) ([]byte, error) {
			stop()
			return nil, ctx.Err()
		})
	if err != nil || log.Len() > 0 {
		t.Errorf("%v, %s", err, &log)
	}
}
