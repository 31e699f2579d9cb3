//go:build race

package noise

// raceEnabled reports that the pools drop what they are given now and then, as they do under the race detector.
const raceEnabled = true
