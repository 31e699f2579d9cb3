package tcp

import "syscall"

// now is what a connection needs for being written without waiting. Conn.writing guards it.
type now struct {
	raw    syscall.RawConn
	failed error // of a write whose caller did not wait for it: all later ones have it
	p      []byte
	n      int
	err    error
	try    func(fd uintptr) bool // writes p once
}

// WriteNow implements transport.PromptConn.
func (c *Conn) WriteNow(p []byte) bool {
	if !canWriteNow || !c.writing.TryLock() {
		return false
	}
	if c.now == nil {
		raw, err := c.TCPConn.SyscallConn()
		if err != nil {
			c.writing.Unlock()
			return false
		}
		w := &now{raw: raw}
		w.try = func(fd uintptr) bool {
			w.n, w.err = writeOnce(fd, w.p)
			return true
		}
		c.now = w
	}
	w := c.now
	if w.failed != nil || len(p) == 0 {
		defer c.writing.Unlock()
		return w.failed == nil
	}
	w.p, w.n, w.err = p, 0, nil
	err := w.raw.Write(w.try)
	if err == nil {
		err = w.err
	}
	w.p, w.failed = nil, err
	if err == nil && w.n < len(p) { // the remote is slow, or the network
		go c.finish(append([]byte(nil), p[w.n:]...))
		return true
	}
	c.writing.Unlock()
	return true
}

// finish writes what there was no room for. It has the right to write until then. Close ends it, and waits for it.
func (c *Conn) finish(rest []byte) {
	defer c.writing.Unlock()
	_, c.now.failed = c.TCPConn.Write(rest)
}
