package handshake

// deepStack is what the cryptography of a handshake needs of the stack, about: with the calls around it, more than 16
// KiB.
const deepStack = 20 << 10

// growStack makes the calling goroutine's stack large enough for a handshake in one step, while there is little on it.
// Else it would grow three or four times, and each time all that is on it would be moved: that was a twentieth of what
// a link's set-up costs. A connection gets here once it has said something. n is any number.
//
//go:noinline
func growStack(n uint8) uint8 {
	var room [deepStack]byte
	room[n] = n
	return room[n/2]
}
