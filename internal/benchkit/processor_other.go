//go:build !unix

package benchkit

import "time"

// processorTime returns 0: this platform does not report it.
func processorTime() time.Duration { return 0 }
