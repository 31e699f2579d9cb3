//go:build !linux

package cli

import "time"

// monotonic is for systemd, which is Linux's.
func monotonic() time.Duration { return 0 }
