//go:build linux

package main

import (
	"fmt"

	"github.com/switchyard-p2p/switchyard/internal/emunet"
)

// placesOf returns the addresses of places, each in a /16 of its own, so that limits per network group see them as on
// the Internet. The regions take turns.
func placesOf(count int) (ips []string) {
	for i := range count {
		ips = append(ips, fmt.Sprintf("%d.%d.0.1", 40+i%emunet.Regions, 1+i/emunet.Regions))
	}
	return ips
}
