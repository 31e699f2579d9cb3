//go:build !unix

package beside

import "time"

// processorTime is not told here.
func processorTime() time.Duration { return 0 }
