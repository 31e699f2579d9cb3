package benchkit

import "time"

// ProcessorTime returns the processor time that this process has used.
func ProcessorTime() time.Duration { return processorTime() }

// Quantile returns the quantile q of d, which it sorts.
func Quantile(d []time.Duration, q float64) time.Duration { return quantile(d, q) }
