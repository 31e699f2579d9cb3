package modules

import (
	"bytes"
	"math"
	"os"
	"strconv"
)

// Machine is what default limits depend on.
type Machine struct {
	Memory int64 // bytes that this process may use
	Files  int   // file descriptors that it may open
}

// Values for systems that do not report theirs.
const (
	fallbackMemory = 2 << 30
	fallbackFiles  = 1024
)

// ThisMachine returns the smaller of the machine's memory and the limits of its control groups, and the limit of file
// descriptors.
func ThisMachine() Machine {
	m := Machine{Memory: math.MaxInt64, Files: openFiles()}
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range bytes.Lines(data) {
			f := bytes.Fields(line)
			if len(f) >= 2 && string(f[0]) == "MemTotal:" {
				if kib, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil && kib > 0 {
					m.Memory = min(m.Memory, kib<<10)
				}
			}
		}
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if data, err := os.ReadFile(file); err == nil {
			if n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64); err == nil && n > 0 {
				m.Memory = min(m.Memory, n)
			}
		}
	}
	if m.Memory == math.MaxInt64 {
		m.Memory = fallbackMemory
	}
	return m
}

// Derive returns a copy with a default for every limit that is 0. Remotes may use an eighth of the file descriptors and
// an eighth of the memory.
func (l LimitsConfig) Derive(m Machine) LimitsConfig {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&l.Handshakes, min(max(m.Files/8, 16), 512))
	set(&l.HandshakesPerIP, min(max(l.Handshakes/8, 4), 64))
	set(&l.AttemptsPerIP, 200)
	set(&l.ConnectionsPerIP, 8)
	set(&l.ConnectionsPerGroup, 32)
	set(&l.PeerStreams, 512)
	set(&l.ProtocolStreams, min(256, l.PeerStreams))
	if l.HandshakeTimeout == 0 {
		l.HandshakeTimeout = Default().Limits.HandshakeTimeout
	}
	if l.MessageMemory == 0 {
		l.MessageMemory = max(m.Memory/8, 64<<20)
	}
	return l
}

// messageMemory returns limits.message_memory, or its default on this machine.
func (c *Config) messageMemory() int64 { return c.Limits.Derive(ThisMachine()).MessageMemory }
