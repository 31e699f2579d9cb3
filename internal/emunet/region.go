package emunet

import "time"

// Regions is how many parts of the world there are, for networks whose packets take as long as over the Internet.
const Regions = 5

// rtt holds the round trips in ms between the regions, and within one.
var rtt = [Regions][Regions]time.Duration{
	{20, 80, 140, 180, 250},
	{80, 20, 60, 200, 210},
	{140, 60, 20, 120, 150},
	{180, 200, 120, 20, 100},
	{250, 210, 150, 100, 20},
}

// OneWay returns how long a packet takes between two regions, or within one.
func OneWay(from, to int) time.Duration { return rtt[from][to] * time.Millisecond / 2 }
