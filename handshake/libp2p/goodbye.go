package libp2p

import (
	"bufio"
	"context"
	"io"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
)

// protocolGoodbye carries the reason of a link's end between our own nodes: one HelloVerdict, with its length ahead.
// The close of the connection itself has room for a code only (yamux), or for no limit (QUIC). A node that lacks it is
// told by the close alone.
const protocolGoodbye = "/switchyard/goodbye/1.0.0"

// goodbye implements handshake.Link.Goodbye.
func goodbye(ctx context.Context, session *lanes.Session, r *handshake.Refusal) {
	ctx, cancel := context.WithTimeout(ctx, lastWord)
	defer cancel()
	st, err := session.OpenStream(ctx, protocolGoodbye)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = st.Reset(muxer.CodeTimeout) })()
	if _, err := st.Write(frame(nil, ownVerdict(r))); err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(st, 1)) // it closes the stream when it has read that
	}
	_ = st.Close()
}

// serveGoodbye reads why the remote is about to end the link. The last one counts.
func (s *server) serveGoodbye(st muxer.Stream) {
	_ = st.SetDeadline(time.Now().Add(serveTimeout))
	var m switchyardpb.HelloVerdict
	if err := readFrame(bufio.NewReaderSize(st, maxVerdict), &m, maxVerdict); err != nil {
		_ = st.Reset(muxer.CodeProtocolError)
		return
	}
	s.farewell.Store(refusalOf(&m))
}
