package discovery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			began := time.Now()
			if !Pause(t.Context(), 10*time.Second) {
				t.Fatal("it ended early")
			}
			if d := time.Since(began); d < 9*time.Second || d > 11*time.Second {
				t.Fatalf("it took %v", d)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if Pause(ctx, time.Hour) {
			t.Error("it outlived its context")
		}
	})
}
