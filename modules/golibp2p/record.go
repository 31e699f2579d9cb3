package golibp2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	"github.com/libp2p/go-msgio/pbio"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/host"
)

// Bounds of an answer to identify, as go-libp2p has them (p2p/protocol/identify/id.go).
const (
	protocolIdentify = "/ipfs/id/1.0.0"
	identifyTime     = 5 * time.Second
	identifyMessage  = 8 << 10
	identifyMessages = 10
)

// fetchRecord asks a Switchyard peer that has just come up for its signed record, puts it into the peerstore, and tells
// of it (pubsub keeps the records of such events): the hello, with which such nodes begin, carries none.
func (a *adapter) fetchRecord(c *conn, info host.PeerInfo) {
	ctx, cancel := context.WithTimeout(a.ctx, identifyTime)
	defer cancel()
	signed, err := a.askIdentify(ctx, c)
	if err != nil || len(signed) == 0 {
		a.log.Debug("a peer told no signed record", slog.String("peer", info.ID.Short()), slog.Any("error", err))
		return
	}
	info.SignedRecord = signed
	if envelope, _ := recordOf(&info); envelope == nil || c.IsClosed() {
		return
	}
	certified(a.store, &info)
	a.identified(c, &info)
}

// askIdentify returns the signed record in a peer's answer to identify.
func (a *adapter) askIdentify(ctx context.Context, c *conn) ([]byte, error) {
	s, err := a.h.OpenStream(ctx, c.node, protocolIdentify)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = s.ResetWith(0) })()
	defer s.Close()
	var all, part pb.Identify
	r := pbio.NewDelimitedReader(s, identifyMessage)
	for range identifyMessages {
		switch err := r.ReadMsg(&part); {
		case errors.Is(err, io.EOF):
			return all.GetSignedPeerRecord(), nil
		case err != nil:
			return nil, err
		}
		proto.Merge(&all, &part)
	}
	return nil, fmt.Errorf("identify: more than %d messages", identifyMessages)
}
