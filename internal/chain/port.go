package main

import (
	"fmt"
	"net"
)

// ports hands out ports that were free a moment ago over TCP and UDP, each once.
type ports struct{ given map[int]bool }

func (p *ports) next() (int, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		l.Close()
		if err != nil {
			continue
		}
		u.Close()
		if !p.given[port] {
			if p.given == nil {
				p.given = map[int]bool{}
			}
			p.given[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port is free over both TCP and UDP")
}
