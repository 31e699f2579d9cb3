//go:build !race

package mconn

const raceDetector = false
