// Package multistream agrees on the protocol of a connection or stream, by multistream-select 1.0 as libp2p uses it: each end sends a header, then
// the dialer proposes protocols and the listener echoes the one that it takes, or "na". It bounds what the remote may make us read.
//
// Facts: libp2p/specs, connections/README.md; github.com/multiformats/go-multistream does the work.
package multistream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	ms "github.com/multiformats/go-multistream"
)

// First is the first byte of every dialer: the length of the header.
const First = byte(len(header) + 1)

const (
	header = ms.ProtocolID
	na     = "na"
	// maxTotal is how many bytes a remote may send before it and we agree. Proposals are at most 1,024 bytes each (go-multistream's
	// limit), and real dialers send one to three short ones.
	maxTotal = 4096
)

// ErrRefused says that the remote takes none of the protocols that we proposed.
var ErrRefused = errors.New("the remote does not speak the protocol")

// errTooLong says that the remote sent more than maxTotal bytes without coming to a choice.
var errTooLong = fmt.Errorf("no agreement on a protocol within %d bytes", maxTotal)

// bounded lets only so many bytes be read.
type bounded struct {
	io.ReadWriteCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errTooLong
	}
	n, err := b.ReadWriteCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// Select proposes protocols to the remote, in order, and returns the one that it takes; an error that wraps ErrRefused when it
// takes none. It reads nothing beyond the answer.
func Select(rw io.ReadWriteCloser, protocols []string) (string, error) {
	p, err := ms.SelectOneOf(protocols, &bounded{rw, maxTotal})
	if errors.Is(err, ms.ErrNotSupported[string]{}) {
		return "", fmt.Errorf("%w %q", ErrRefused, protocols)
	}
	return p, err
}

// Answer reads the remote's proposals and returns the first one that has says yes to. It reads nothing beyond that.
func Answer(rw io.ReadWriteCloser, has func(protocol string) bool) (string, error) {
	m := ms.NewMultistreamMuxer[string]()
	m.AddHandlerWithFunc("", has, nil)
	p, _, err := m.Negotiate(&bounded{rw, maxTotal})
	return p, err
}

// Propose is what a dialer sends that does not wait for the answer: the header and one protocol. The answer is read with an Answered.
func Propose(protocol string) []byte {
	return appendToken(appendToken(nil, header), protocol)
}

func appendToken(b []byte, token string) []byte {
	b = binary.AppendUvarint(b, uint64(len(token)+1))
	return append(append(b, token...), '\n')
}

// Answered takes in the remote's answer to a Propose as its bytes come.
type Answered struct {
	want   []byte
	refuse []byte // what it says instead
	got    int
	no     bool // what has come is no beginning of want
	done   bool
}

// NewAnswered awaits the answer to Propose(protocol).
func NewAnswered(protocol string) *Answered {
	return &Answered{want: Propose(protocol), refuse: Propose(na)}
}

// Take takes the next bytes of the answer. done says that the answer is whole; what comes behind it is not looked at. An error that wraps ErrRefused
// says that the remote does not take the protocol.
func (a *Answered) Take(p []byte) (done bool, err error) {
	for _, c := range p {
		if a.done {
			break
		}
		a.no = a.no || c != a.want[a.got]
		if a.no && (a.got >= len(a.refuse) || c != a.refuse[a.got]) {
			return false, fmt.Errorf("the answer to a proposed protocol is neither it nor %q", na)
		}
		a.got++
		switch {
		case a.no && a.got == len(a.refuse):
			return false, ErrRefused
		case !a.no && a.got == len(a.want):
			a.done = true
		}
	}
	return a.done, nil
}
