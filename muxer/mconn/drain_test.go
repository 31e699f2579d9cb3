package mconn

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// mover is one end of a link that moves. Deliver checks that the messages of each channel come in order.
type mover struct {
	*Session
	muxertest.HandlerFunc
	slow  time.Duration // that a delivery takes
	got   [2]uint32     // messages, by channel
	moves bool          // it closes its end when the remote does
	err   error
	done  chan struct{}
}

func (m *mover) deliver(msgs []muxer.Message) error {
	if len(msgs) == 0 {
		if m.moves {
			return m.Close(muxer.CodeMoved, "")
		}
		return nil
	}
	time.Sleep(m.slow)
	for _, msg := range msgs {
		if n := binary.BigEndian.Uint32(msg.Data); n != m.got[msg.Channel] {
			return errors.New("a message is lost or out of order")
		}
		m.got[msg.Channel]++
	}
	return nil
}

func (m *mover) send(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		for channel := range byte(2) {
			msg := binary.BigEndian.AppendUint32(make([]byte, 0, 3000), uint32(i))
			if err := m.Send(context.Background(), channel, msg[:4+i%2000]); err != nil {
				t.Errorf("message %d: %v", i, err)
				return
			}
		}
	}
}

func (m *mover) endsWith(t *testing.T, code muxer.Code) {
	t.Helper()
	<-m.done
	var ce *muxer.CloseError
	if !errors.As(m.err, &ce) || ce.Code != code {
		t.Errorf("ended with %v, want %v", m.err, code)
	}
}

// movers runs both ends of a link, which can hold about size bytes in each direction.
func movers(t *testing.T, size int, f func(t *testing.T, a, b *mover)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ca, cb := muxertest.Pipe(size)
		var ends [2]*mover
		for i, conn := range []Conn{Plain(ca), Plain(cb)} {
			s, err := New(conn, muxer.Side(i), many(2, muxer.Channel{SendQueue: 64 << 10}), Config{})
			if err != nil {
				t.Fatal(err)
			}
			m := &mover{Session: s, done: make(chan struct{}), moves: true}
			m.HandlerFunc = m.deliver
			go func() {
				defer close(m.done)
				m.err = s.Run(context.Background(), m)
			}()
			ends[i] = m
		}
		synctest.Wait() // a session that does not run yet has nothing to drain
		f(t, ends[0], ends[1])
		for _, m := range ends {
			m.Close(muxer.CodeBanned, "")
			<-m.done
		}
	})
}

// A drain loses nothing: all queued messages arrive at both ends, whichever end begins, even if the other one is slow.
func TestDrain(t *testing.T) {
	for name, c := range map[string]struct {
		slow time.Duration
		both bool
	}{
		"one begins":   {0, false},
		"both at once": {0, true},
		"slow":         {time.Second, false}, // until well after a ping would time out
	} {
		t.Run(name, func(t *testing.T) {
			movers(t, 16<<10, func(t *testing.T, a, b *mover) {
				b.slow = c.slow
				a.send(t, 50)
				b.send(t, 30)
				a.Close(muxer.CodeMoved, "")
				if c.both {
					b.Close(muxer.CodeMoved, "")
				}
				if err := a.Send(t.Context(), 0, nil); !errors.Is(err, muxer.ErrMoved) {
					t.Errorf("a message after the move: %v", err)
				}
				if a.TrySend(0, nil) {
					t.Error("a message after the move is taken")
				}
				a.endsWith(t, muxer.CodeMoved)
				b.endsWith(t, muxer.CodeMoved)
				if a.got != [2]uint32{30, 30} || b.got != [2]uint32{50, 50} {
					t.Errorf("%d and %d messages arrived", a.got, b.got)
				}
			})
		})
	}
}

// A sender that waits for room learns that the session takes no more: its message is not sent.
func TestDrainWakesSenders(t *testing.T) {
	movers(t, 1<<10, func(t *testing.T, a, b *mover) {
		b.slow = 10 * time.Second
		waits := make(chan error)
		go func() {
			for n := uint32(0); ; n++ {
				msg := binary.BigEndian.AppendUint32(make([]byte, 0, 40<<10), n)
				if err := a.Send(context.Background(), 0, msg[:40<<10]); err != nil {
					waits <- err
					waits <- nil
					if uint32(n) != b.got[0] {
						t.Errorf("%d messages arrived of %d", b.got[0], n)
					}
					close(waits)
					return
				}
			}
		}()
		synctest.Wait()
		a.Close(muxer.CodeMoved, "")
		if err := <-waits; !errors.Is(err, muxer.ErrMoved) {
			t.Error(err)
		}
		a.endsWith(t, muxer.CodeMoved)
		b.endsWith(t, muxer.CodeMoved)
		<-waits
		<-waits
	})
}

// A drain that cannot end well says so.
func TestDrainFails(t *testing.T) {
	t.Run("the other end does not move", func(t *testing.T) {
		movers(t, 16<<10, func(t *testing.T, a, b *mover) {
			b.moves = false
			a.Close(muxer.CodeMoved, "")
			b.endsWith(t, muxer.CodeProtocolError)
			if <-a.done; a.err != io.EOF {
				t.Error(a.err)
			}
		})
	})
	t.Run("it is cut short", func(t *testing.T) {
		movers(t, 1<<10, func(t *testing.T, a, b *mover) {
			b.slow = time.Hour
			a.send(t, 10)
			a.Close(muxer.CodeMoved, "")
			a.Close(muxer.CodeBanned, "")
			a.endsWith(t, muxer.CodeBanned)
		})
	})
	t.Run("it takes too long", func(t *testing.T) {
		attack(t, many(1, muxer.Channel{}), Config{}, func(t *testing.T, v *victim) {
			v.answerFirstPing(t)
			began := time.Now()
			v.Close(muxer.CodeMoved, "")
			v.endsWith(t, muxer.CodeTimeout)
			if took := time.Since(began); took != drainTimeout {
				t.Errorf("after %v", took)
			}
		})
	})
	t.Run("the remote hangs up before it has all", func(t *testing.T) {
		attack(t, many(1, muxer.Channel{MaxMessage: 1 << 20, SendQueue: 1 << 20}), Config{},
			func(t *testing.T, v *victim) {
				v.answerFirstPing(t)
				_ = v.Send(t.Context(), 0, make([]byte, 512<<10)) // more than the pipe holds
				v.Close(muxer.CodeMoved, "")
				v.remote.Write(endPacket)
				synctest.Wait()
				v.remote.Close()
				v.endsWith(t, muxer.CodeRemoteClosed)
			})
	})
	for name, bytes := range map[string][]byte{
		"an end inside a message": append(packet(0, false, make([]byte, 10)), endPacket...),
		"a packet behind the end": append(append([]byte{}, endPacket...), pingPacket...),
		"two ends":                append(append([]byte{}, endPacket...), endPacket...),
	} {
		t.Run(name, func(t *testing.T) {
			attack(t, many(1, muxer.Channel{}), Config{}, func(t *testing.T, v *victim) {
				v.answerFirstPing(t)
				v.Close(muxer.CodeMoved, "")
				v.remote.Write(bytes)
				v.endsWith(t, muxer.CodeProtocolError)
			})
		})
	}
}

// Behind its mark an end sends nothing more, and before it all keep-alives.
func TestDrainIsSilentAtTheEnd(t *testing.T) {
	attack(t, many(1, muxer.Channel{}), Config{}, func(t *testing.T, v *victim) {
		v.answerFirstPing(t)
		v.Close(muxer.CodeMoved, "")
		end := make([]byte, len(endPacket))
		if _, err := io.ReadFull(v.remote, end); err != nil || string(end) != string(endPacket) {
			t.Fatalf("% x, %v, want the end", end, err)
		}
		v.remote.Write(pingPacket)
		time.Sleep(time.Second)
		v.remote.Write(endPacket)
		if rest, err := io.ReadAll(v.remote); err != nil || len(rest) > 0 {
			t.Errorf("% x, %v behind the end", rest, err)
		}
		v.endsWith(t, muxer.CodeMoved)
	})
}
