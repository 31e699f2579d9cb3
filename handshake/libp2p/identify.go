package libp2p

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
)

// Protocols that every libp2p node speaks.
const (
	protocolIdentify = "/ipfs/id/1.0.0"
	protocolPush     = "/ipfs/id/push/1.0.0"
	protocolPing     = "/ipfs/ping/1.0.0"
)

const (
	// maxMessages and maxMessage bound an identify answer: go-libp2p splits a long one into at most 10, of 8 KiB at
	// most.
	maxMessages = 10
	maxMessage  = 8 << 10
	// serveTimeout bounds how long the remote may take over an identify or a push.
	serveTimeout = 10 * time.Second
)

// server answers the remote of one link.
type server struct {
	self    *self
	remote  handshake.PublicKey
	changes changes
	// of the listening end, which the remote says hello to, until it is over: not kept for the life of the link
	exchange atomic.Pointer[infoExchange]

	farewell atomic.Pointer[handshake.Refusal] // see goodbye

	identifies, pushes, pings, goodbyes atomic.Int32 // streams that are served now
}

// Limits of what one remote may have open at a time. go-libp2p opens one of each; js-libp2p allows itself two pings.
const (
	maxIdentifies = 4
	maxPushes     = 2
	maxPings      = 8
)

// find implements lanes.Config.Serve.
func (s *server) find(protocol string) func(context.Context, muxer.Stream) {
	switch protocol {
	case protocolIdentify:
		return limited(&s.identifies, maxIdentifies, s.serveIdentify)
	case protocolPush:
		return limited(&s.pushes, maxPushes, s.servePush)
	case protocolPing:
		return limited(&s.pings, maxPings, servePing)
	case protocolGoodbye:
		return limited(&s.goodbyes, 1, s.serveGoodbye)
	case protocolHello:
		if m := s.exchange.Load(); m != nil {
			return m.serveHello
		}
	}
	return nil
}

// proposed implements lanes.Config.Proposed: the first protocol that the remote proposes tells whether it says hello.
func (s *server) proposed(protocol string) {
	m := s.exchange.Load()
	if m == nil {
		return
	}
	m.first.Do(func() {
		if protocol != protocolHello {
			close(m.others)
		}
	})
}

// limited resets streams of which too many are open.
func limited(open *atomic.Int32, most int32, serve func(muxer.Stream)) func(context.Context, muxer.Stream) {
	return func(_ context.Context, s muxer.Stream) { // a session that ends resets its streams, which ends serve
		defer open.Add(-1)
		if open.Add(1) > most {
			_ = s.Reset(muxer.CodeTooManyStarts)
			return
		}
		serve(s)
	}
}

// serveIdentify says what we are, at once: go-libp2p's Connect waits for it.
func (s *server) serveIdentify(st muxer.Stream) {
	_ = st.SetDeadline(time.Now().Add(serveTimeout))
	if _, err := st.Write(s.self.message()); err != nil {
		_ = st.Reset(muxer.CodeUnknown)
	}
}

// identify asks the remote what it is.
func identify(ctx context.Context, session *lanes.Session) (*message, error) {
	st, err := session.OpenStream(ctx, protocolIdentify)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = st.Reset(muxer.CodeTimeout) })()
	var m message // nothing is written: the proposal goes out with the first read
	n, err := readMessages(st, &m)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		_ = st.Reset(muxer.CodeProtocolError)
		return nil, err
	}
	return &m, st.Close()
}

// readMessages merges messages until the remote closes its side, and says how many there were.
func readMessages(r io.Reader, m *message) (int, error) {
	in := bufio.NewReaderSize(r, 1<<10)
	for n := range maxMessages + 1 {
		size, err := binary.ReadUvarint(in)
		switch {
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return n, nil
		case err != nil:
			return n, err
		case n == maxMessages:
			return n, fmt.Errorf("more than %d messages", maxMessages)
		case size > maxMessage:
			return n, fmt.Errorf("a message of %d bytes, at most %d are allowed", size, maxMessage)
		}
		buf := make([]byte, size)
		if _, err := io.ReadFull(in, buf); err != nil {
			return n, fmt.Errorf("inside a message: %w", err)
		}
		if err := m.merge(buf); err != nil {
			return n, err
		}
	}
	return maxMessages, nil
}
