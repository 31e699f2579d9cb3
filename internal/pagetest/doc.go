// Package pagetest tests the live page of host/admin in a browser: how it looks with a fixed model of a node of 0 to
// 500 peers, how it behaves, that it says so when the node stops or hangs, and that it can be used without a mouse and
// without eyes. `make page` runs it all and leaves pictures; `make page SHORT=1` takes two minutes at most.
package pagetest
