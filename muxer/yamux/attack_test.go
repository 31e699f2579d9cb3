package yamux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// victim is a session whose remote is a script.
type victim struct {
	*lanes.Session
	inbox muxertest.Inbox
	raw   net.Conn // the remote's end
	err   error
	ended chan struct{}
}

// attack runs f against a session, and throws away what that sends.
func attack(t *testing.T, channels []muxer.Channel, f func(t *testing.T, v *victim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(1 << 20)
		m, err := New(Config{MaxStreams: 10})
		if err != nil {
			t.Fatal(err)
		}
		streams, err := m.New(a, muxer.Listener)
		if err != nil {
			t.Fatal(err)
		}
		v := &victim{Session: lanes.New(streams, lanes.Config{}), raw: b, ended: make(chan struct{})}
		if err := v.SetChannels(channels); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			defer close(v.ended)
			v.err = v.Run(context.Background(), &v.inbox)
		})
		wg.Go(func() { io.Copy(io.Discard, b) })
		f(t, v)
		v.Close(muxer.CodeBanned, "")
		wg.Wait()
		b.Close()
	})
}

var channelOne = []muxer.Channel{{ID: 1, Name: "/one", MaxMessage: 1 << 20}}

// open returns the beginning of a stream of channel one, with data behind it.
func open(id uint32, data ...byte) []byte {
	body := append(multistream.Propose("/one"), data...)
	return frame(typeData, flagSYN, id, uint32(len(body)), body...)
}

func TestBrokenFrames(t *testing.T) {
	for name, c := range map[string]struct {
		send []byte
		code muxer.Code
	}{
		"version":            {append([]byte{1}, frame(typeData, 0, 1, 0)[1:]...), muxer.CodeProtocolError},
		"type":               {frame(7, 0, 1, 0), muxer.CodeProtocolError},
		"stream of our side": {frame(typeWindow, flagSYN, 2, 0), muxer.CodeProtocolError},
		"twice the stream":   {append(open(1), frame(typeWindow, flagSYN, 1, 0)...), muxer.CodeProtocolError},
		"more than window":   {frame(typeData, flagSYN, 1, initialWindow+1), muxer.CodeProtocolError},
		"huge window": {append(frame(typeWindow, flagSYN, 1, 0xffffffff),
			frame(typeWindow, 0, 1, 0xffffffff)...), muxer.CodeProtocolError},
		"endless length":     {open(1, bytes.Repeat([]byte{0xff}, 11)...), muxer.CodeProtocolError},
		"long length":        {open(1, 0xff, 0xff, 0xff, 0xff, 0xff, 1), muxer.CodeMessageTooBig},
		"too long a message": {open(1, 0x81, 0x80, 0x40), muxer.CodeMessageTooBig},
		"end in a message": {append(open(1, 5, 1, 2), frame(typeWindow, flagFIN, 1, 0)...),
			muxer.CodeProtocolError},
		"our code":             {frame(typeGoAway, 0, 0, codeBase|uint32(muxer.CodeBanned)), muxer.CodeBanned},
		"somebody else's":      {frame(typeGoAway, 0, 0, 0x1003), muxer.CodeRemoteClosed},
		"go away":              {frame(typeGoAway, 0, 0, 0), muxer.CodeRemoteClosed},
		"we broke it, it says": {frame(typeGoAway, 0, 0, 1), muxer.CodeProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			attack(t, channelOne, func(t *testing.T, v *victim) {
				v.raw.Write(c.send)
				<-v.ended
				var ce *muxer.CloseError
				if !errors.As(v.err, &ce) || ce.Code != c.code {
					t.Errorf("%v, want %v", v.err, c.code)
				}
			})
		})
	}
}

// What arrives before the remote hangs up is delivered, however quickly that follows.
func TestLastWords(t *testing.T) {
	for name, end := range map[string][]byte{"hang up": nil, "go away": frame(typeGoAway, 0, 0, 0)} {
		t.Run(name, func(t *testing.T) {
			attack(t, channelOne, func(t *testing.T, v *victim) {
				v.raw.Write(append(open(1, 3, 'a', 'b', 'c', 0, 1, 'd'), end...))
				v.raw.Close()
				if m := v.inbox.Await(3); string(m[0].Data)+string(m[1].Data)+string(m[2].Data) != "abcd" {
					t.Errorf("%q", m)
				}
				<-v.ended
			})
		})
	}
}

// A flood of streams that never name a protocol: no more than the limit is held, they end in time, and a channel works
// meanwhile.
func TestStreamFlood(t *testing.T) {
	attack(t, channelOne, func(t *testing.T, v *victim) {
		v.raw.Write(open(1, 1, 'a'))
		v.inbox.Await(1)
		id := uint32(3)
		for range 2000 {
			v.raw.Write(frame(typeWindow, flagSYN, id, 0))
			id += 2
		}
		v.raw.Write(frame(typeData, 0, 1, 2, 1, 'b'))
		v.inbox.Await(1)
		time.Sleep(lanes.DefaultNegotiation + time.Second) // virtual
		synctest.Wait()
		v.raw.Write(frame(typeData, flagSYN, id, 0))
		v.raw.Write(frame(typeData, 0, 1, 2, 1, 'c'))
		v.inbox.Await(1)
	})
}

// A stream that is over before it was accepted leaves nothing behind once it is.
func TestOverBeforeAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote, s, in := startSender(t, Config{})
		for id := uint32(3); id < 20; id += 2 {
			remote.Write(open(id, 'x'))
			remote.Write(frame(typeWindow, flagRST, id, codeBase|uint32(muxer.CodeEvicted)))
		}
		time.Sleep(time.Second) // virtual
		for range 9 {
			st, err := s.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var re *muxer.ResetError
			if _, err := st.Read(make([]byte, 1)); !errors.As(err, &re) || re.Code.Code() != muxer.CodeEvicted ||
				!re.Remote {
				t.Errorf("not reset: %v", err)
			}
		}
		in.conn.mu.Lock()
		defer in.conn.mu.Unlock()
		if in.conn.pending != 0 || in.conn.remote != 1 || len(in.conn.streams) != 1 {
			t.Errorf("%d streams wait, %d are kept, want 0 and 1", in.conn.pending, len(in.conn.streams))
		}
	})
}

// A second stream of a channel is refused; after the end of the first one it is taken.
func TestSecondStream(t *testing.T) {
	attack(t, channelOne, func(t *testing.T, v *victim) {
		v.raw.Write(open(1, 1, 'a'))
		v.inbox.Await(1)
		v.raw.Write(open(3, 1, 'x'))
		synctest.Wait()
		v.raw.Write(frame(typeData, 0, 1, 2, 1, 'b'))
		if m := v.inbox.Await(1); string(m[0].Data) != "b" {
			t.Errorf("%q", m)
		}
		v.raw.Write(frame(typeWindow, flagFIN, 1, 0))
		synctest.Wait()
		v.raw.Write(open(5, 1, 'c'))
		if m := v.inbox.Await(1); string(m[0].Data) != "c" {
			t.Errorf("%q", m)
		}
	})
}

// A channel whose stream the remote refuses or resets is out of service; the session goes on.
func TestRefusedChannel(t *testing.T) {
	refusal := append(multistream.Propose("na"), 0)
	for name, answer := range map[string][]byte{
		"refuses": frame(typeData, 2, 2, uint32(len(refusal)), refusal...),
		"resets":  frame(typeWindow, flagRST, 2, 0),
	} {
		t.Run(name, func(t *testing.T) {
			attack(t, channelOne, func(t *testing.T, v *victim) {
				if err := v.Send(t.Context(), 1, []byte("a")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				v.raw.Write(answer)
				synctest.Wait()
				if err := v.Send(t.Context(), 1, []byte("b")); !errors.Is(err, muxer.ErrUnknownChannel) {
					t.Errorf("Send: %v", err)
				}
				v.raw.Write(open(1, 1, 'a'))
				v.inbox.Await(1)
			})
		})
	}
}

// Memory is claimed as bytes arrive: a length alone costs next to nothing, and all channels' unfinished messages share
// one bound.
func TestHalfMessages(t *testing.T) {
	channels := make([]muxer.Channel, 8)
	for i := range channels {
		channels[i] = muxer.Channel{ID: byte(i), Name: string([]byte{'/', 'a' + byte(i)}), MaxMessage: 64 << 20}
	}
	attack(t, channels, func(t *testing.T, v *victim) {
		half := make([]byte, 48<<10)
		for round := range 2000 {
			for i := range channels {
				id := uint32(1 + 2*i)
				if round == 0 {
					body := append(multistream.Propose(channels[i].Name), 0x80, 0x80, 0x80, 0x20) // 64 MiB
					v.raw.Write(frame(typeData, flagSYN, id, uint32(len(body)), body...))
				}
				v.raw.Write(frame(typeData, 0, id, uint32(len(half)), half...))
				synctest.Wait()
				select {
				case <-v.ended:
					var ce *muxer.CloseError
					if !errors.As(v.err, &ce) || ce.Code != muxer.CodeMessageTooBig {
						t.Errorf("%v", v.err)
					}
					return
				default:
				}
			}
		}
		t.Error("all of it was taken")
	})
}
