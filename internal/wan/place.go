//go:build linux

package main

import "fmt"

const regions = 5

// rtt holds the round trips in ms between the regions, and within one.
var rtt = [regions][regions]int{
	{20, 80, 140, 180, 250},
	{80, 20, 60, 200, 210},
	{140, 60, 20, 120, 150},
	{180, 200, 120, 20, 100},
	{250, 210, 150, 100, 20},
}

// placesOf returns the addresses of places, each in a /16 of its own, so that limits per network group see them as on
// the Internet. The regions take turns.
func placesOf(count int) (ips []string) {
	for i := range count {
		ips = append(ips, fmt.Sprintf("%d.%d.0.1", 40+i%regions, 1+i/regions))
	}
	return ips
}
