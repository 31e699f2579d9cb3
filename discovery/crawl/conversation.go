package crawl

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// conversation is the one question of a visit. It implements muxer.Handler.
type conversation struct {
	answers chan *reply
	answer  *reply // talk's; nil if there was none
	heard   bool   // the remote has sent a message; to be read when the session has ended
}

// reply is an answer, and how many of its addresses we left unread.
type reply struct {
	addresses []*pexpb.PexAddress
	left      int
}

// Established implements muxer.Handler.
func (*conversation) Established() {}

// Serves implements muxer.Handler: a visit serves nothing.
func (*conversation) Serves(string) bool { return false }

// ServeStream implements muxer.Handler.
func (*conversation) ServeStream(_ context.Context, s muxer.Stream) {
	_ = s.Reset(muxer.CodeIncompatible)
}

// Deliver implements muxer.Handler: it keeps the first answer, and drops all else. Questions are not answered.
func (c *conversation) Deliver(_ context.Context, msgs []muxer.Message) error {
	if len(msgs) == 0 {
		return errors.New("a visit does not move to another link")
	}
	c.heard = true
	for _, m := range msgs {
		if m.Channel != ChannelID {
			continue
		}
		p, left, err := pexpb.Decode(m.Data, maxTaken)
		if err != nil {
			return &muxer.CloseError{Code: muxer.CodeProtocolError, Err: err}
		}
		if p.GetResponse() == nil {
			continue
		}
		select {
		case c.answers <- &reply{p.GetResponse().GetAddresses(), left}:
		default:
		}
	}
	return nil
}

// talk asks, and waits for the answer. over reports whether the session has ended, and why says why.
func (c *conversation) talk(ctx context.Context, link *handshake.Link, out *Visit, ended <-chan error) (
	why error, over bool) {
	asked := time.Now()
	answers := c.answers
	if !link.Remote.Guest && slices.Contains(link.Remote.Channels, ChannelID) {
		out.PEX = &Answer{}
		if err := link.Session.Send(ctx, ChannelID, pexpb.EncodeRequest()); err != nil {
			out.Error = bounded(err.Error())
			select {
			case why = <-ended:
				return why, true
			case <-ctx.Done():
				return nil, false
			}
		}
		ping := make(chan time.Duration, 1)
		pinging, stop := context.WithTimeout(ctx, answerTime)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if rtt, err := link.Session.Ping(pinging); err == nil {
				ping <- rtt
			}
		}()
		defer func() {
			stop()
			<-done
			select {
			case rtt := <-ping:
				out.RTT = milliseconds(rtt)
			default:
			}
		}()
	}
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	if out.PEX == nil {
		timer.Reset(quietTime)
		answers = nil
	}
	select {
	case c.answer = <-answers:
		out.PEX.MS = milliseconds(time.Since(asked))
		return nil, false
	case why = <-ended:
		select {
		case c.answer = <-answers: // a seed hangs up right behind it
			out.PEX.MS = milliseconds(time.Since(asked))
		default:
		}
		return why, true
	case <-timer.C:
		return nil, false
	}
}

// quietTime is how long a visit to a node without peer exchange waits for a refusal.
const quietTime = 300 * time.Millisecond
