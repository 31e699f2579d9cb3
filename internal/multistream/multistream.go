// Package multistream implements multistream-select 1.0, by which libp2p agrees on the protocol of a connection or
// stream. Each end sends a header; the dialer then proposes protocols, and the listener echoes the one that it takes,
// or answers "na".
//
// The package bounds what the remote can make us read, reads no byte past the choice, and writes as rarely as it can: a
// listener's answer goes out together with the first bytes of the protocol itself.
//
// The protocol is described in libp2p/specs, connections/README.md. The tests compare this package with
// github.com/multiformats/go-multistream, which writes word by word and needs a goroutine for a proposal.
package multistream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// First is the first byte that a dialer sends: the length of the header.
const First = byte(len(header) + 1)

const (
	header = "/multistream/1.0.0"
	na     = "na"
	// maxToken bounds one proposal (it is go-multistream's limit) and maxTotal everything that a remote may send before
	// we agree. Real dialers send one to three short proposals.
	maxToken = 1024
	maxTotal = 4096

	headerSize = len(header) + 2
	naSize     = len(na) + 2
)

// ErrRefused reports that the remote takes none of the proposed protocols.
var ErrRefused = errors.New("the remote does not speak the protocol")

var (
	errTooLong = fmt.Errorf("no agreement on a protocol within %d bytes", maxTotal)
	errHeader  = fmt.Errorf("the remote does not begin with %s", header)
	errToken   = errors.New("a word of multistream-select that is too long, or does not end in a newline")
)

// words reads what the remote sends, word by word and no further.
type words struct {
	r    io.Reader
	buf  []byte // read but not taken
	left int    // bytes that may still be read
}

// fill reads until buf holds n bytes, and no more.
func (w *words) fill(n int) error {
	missing := n - len(w.buf)
	if missing <= 0 {
		return nil
	}
	if missing > w.left {
		return errTooLong
	}
	at := len(w.buf)
	w.buf = append(w.buf, make([]byte, missing)...)
	got, err := io.ReadFull(w.r, w.buf[at:])
	w.left -= got
	w.buf = w.buf[:at+got]
	if err == io.EOF && at > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// header takes the remote's header. It also reads up to follow bytes that surely come behind it, if they have arrived.
func (w *words) header(follow int) error {
	w.buf = make([]byte, 0, 128)
	for len(w.buf) < headerSize {
		got, err := w.r.Read(w.buf[len(w.buf) : headerSize+follow])
		w.left -= got
		w.buf = w.buf[:len(w.buf)+got]
		if got == 0 {
			if err == nil {
				err = io.ErrNoProgress
			}
			if err == io.EOF && len(w.buf) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	if w.buf[0] != First || string(w.buf[1:headerSize-1]) != header || w.buf[headerSize-1] != '\n' {
		return errHeader
	}
	w.buf = w.buf[headerSize:]
	return nil
}

// next takes one word.
func (w *words) next() (string, error) {
	size := 1
	for {
		if err := w.fill(size); err != nil {
			return "", err
		}
		if w.buf[size-1] < 0x80 {
			break
		}
		if size++; size > 2 { // two bytes are enough for maxToken
			return "", errToken
		}
	}
	length, _ := binary.Uvarint(w.buf[:size])
	if length == 0 || length > maxToken {
		return "", errToken
	}
	end := size + int(length)
	if err := w.fill(end); err != nil {
		return "", err
	}
	if w.buf[end-1] != '\n' {
		return "", errToken
	}
	word := string(w.buf[size : end-1])
	w.buf = w.buf[end:]
	return word, nil
}

// Select proposes protocols in order and returns the one that the remote takes. The error wraps ErrRefused if it takes
// none of them.
func Select(rw io.ReadWriter, protocols []string) (string, error) {
	w := words{r: rw, left: maxTotal}
	say := appendToken(make([]byte, 0, 128), header)
	for i, p := range protocols {
		if _, err := rw.Write(appendToken(say, p)); err != nil {
			return "", err
		}
		if i == 0 {
			if err := w.header(min(naSize, len(p)+2)); err != nil {
				return "", err
			}
		}
		switch answer, err := w.next(); {
		case err != nil:
			return "", err
		case answer == p:
			return p, nil
		case answer != na:
			return "", fmt.Errorf("the remote answers %.40q to the protocol %q", answer, p)
		}
		say = say[:0]
	}
	return "", fmt.Errorf("%w %q", ErrRefused, protocols)
}

// Await reads the answer to Propose(protocol). The error wraps ErrRefused if the remote does not take it.
func Await(r io.Reader, protocol string) error {
	w := words{r: r, left: maxTotal}
	if err := w.header(min(naSize, len(protocol)+2)); err != nil {
		return err
	}
	switch answer, err := w.next(); {
	case err != nil:
		return err
	case answer == na:
		return fmt.Errorf("%w %q", ErrRefused, protocol)
	case answer != protocol:
		return fmt.Errorf("the remote answers %.40q to the protocol %q", answer, protocol)
	}
	return nil
}

// Answer reads the remote's proposals and returns the first one that has accepts. The caller writes pending, the
// answer, before it waits for the remote, best together with bytes of its own. A remote that reads no answer causes no
// error: it may have sent all that it wanted and stopped listening.
func Answer(rw io.ReadWriter, has func(protocol string) bool) (protocol string, pending []byte, err error) {
	w := words{r: rw, left: maxTotal}
	if err := w.header(1); err != nil {
		return "", nil, err
	}
	say := appendToken(make([]byte, 0, 64), header)
	for {
		if len(w.buf) == 0 { // the remote may wait for us
			_, _ = rw.Write(say)
			say = say[:0]
		}
		p, err := w.next()
		if err != nil {
			return "", nil, err
		}
		if has(p) {
			return p, appendToken(say, p), nil
		}
		say = appendToken(say, na)
	}
}

// Propose returns the header and one protocol, for a dialer that writes on without waiting for the answer. Await or an
// Answered reads that.
func Propose(protocol string) []byte {
	return appendToken(appendToken(nil, header), protocol)
}

func appendToken(b []byte, token string) []byte {
	b = binary.AppendUvarint(b, uint64(len(token)+1))
	return append(append(b, token...), '\n')
}

// Answered parses the remote's answer to a Propose as its bytes arrive.
type Answered struct {
	want   []byte
	refuse []byte // the answer that refuses
	got    int
	no     bool // the bytes so far are no prefix of want
	done   bool
}

// NewAnswered returns a parser of the answer to Propose(protocol).
func NewAnswered(protocol string) *Answered {
	return &Answered{want: Propose(protocol), refuse: Propose(na)}
}

// Take parses the next bytes of the answer and ignores what follows it. done reports that the answer is complete. The
// error wraps ErrRefused if the remote does not take the protocol.
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
