package libp2p

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	// pingSize is the length of a ping (libp2p/specs, ping).
	pingSize = 32
	// pingIdle is how long a ping stream may be silent before we close it; go-libp2p closes its own after 30 s.
	pingIdle = time.Minute
	// maxPingsPerStream is how many pings we answer on one stream; a remote that wants more opens another one.
	maxPingsPerStream = 100_000
)

// servePing sends back what comes, 32 bytes at a time, until the remote closes the stream.
func servePing(st muxer.Stream) {
	var buf [pingSize]byte
	for range maxPingsPerStream {
		_ = st.SetDeadline(time.Now().Add(pingIdle))
		if _, err := io.ReadFull(st, buf[:]); err != nil {
			if !errors.Is(err, io.EOF) {
				_ = st.Reset(muxer.CodeUnknown)
			}
			return
		}
		if _, err := st.Write(buf[:]); err != nil {
			_ = st.Reset(muxer.CodeUnknown)
			return
		}
	}
}

// ErrPing says that a ping came back as something else.
var ErrPing = errors.New("the ping came back changed")

// Ping measures count round trips with libp2p's own ping, on one stream.
func Ping(ctx context.Context, session muxer.Session, count int) ([]time.Duration, error) {
	st, err := session.OpenStream(ctx, protocolPing)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = st.Reset(muxer.CodeTimeout) })()
	defer st.Close()
	var rtts []time.Duration
	for range count {
		var sent, back [pingSize]byte
		_, _ = rand.Read(sent[:]) // it never fails
		began := time.Now()
		_, err := st.Write(sent[:])
		if err == nil {
			_, err = io.ReadFull(st, back[:])
		}
		switch {
		case ctx.Err() != nil:
			return rtts, ctx.Err()
		case err != nil:
			return rtts, err
		case !bytes.Equal(sent[:], back[:]):
			return rtts, ErrPing
		}
		rtts = append(rtts, time.Since(began))
	}
	return rtts, nil
}
