package muxer_test

import (
	"fmt"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// A lane of weight 3 gets three of four bytes while both have something to send.
func ExampleFair() {
	fair := muxer.NewFair([]int{3, 1})
	fair.Add(0)
	fair.Add(1)
	sent := [2]int{}
	for range 400 {
		lane, _ := fair.Next()
		fair.Spent(lane, 1000)
		sent[lane]++
	}
	fmt.Println(sent)
	// Output: [300 100]
}

// A code says why a link ended. After an orderly one, what is queued is still sent.
func ExampleCode() {
	for _, c := range []muxer.Code{muxer.CodeShuttingDown, muxer.CodeBanned} {
		fmt.Println(c, c.Orderly())
	}
	// Output:
	// shutting-down true
	// banned false
}
