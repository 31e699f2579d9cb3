package stock

import "testing"

// The defaults of what sessions may hold are parts of limits.message_memory: together 1.75 times that.
func TestBudget(t *testing.T) {
	for _, c := range []struct {
		memory                int64
		quic, yamux, messages int // MiB; messages counts for each wire
	}{
		{0, 256, 64, 64},
		{1 << 30, 1024, 256, 256},
		{64 << 20, 64, 16, 32},
		{1 << 20, 8, 8, 32},
	} {
		quic, yamux, messages := budget(c.memory, 1, 8), budget(c.memory, 4, 8), budget(c.memory, 4, 32)
		if quic != c.quic<<20 || yamux != c.yamux<<20 || messages != c.messages<<20 {
			t.Errorf("of %d bytes: %d, %d and %d", c.memory, quic, yamux, messages)
		}
	}
}
