package crawl

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line of a journal: 250 addresses of 512 bytes, and what else a visit has.
const maxLine = 1 << 20

// JournalError reports a journal that cannot be read.
type JournalError struct {
	Line int
	Err  error
}

func (e *JournalError) Error() string { return fmt.Sprintf("journal: line %d: %v", e.Line, e.Err) }
func (e *JournalError) Unwrap() error { return e.Err }

// readJournal calls fn with each visit of a journal, in order. It returns how many bytes of it are whole lines: the
// last line may be torn, and does not count then. Its errors are those of r, and *JournalError.
func readJournal(r io.Reader, fn func(*Visit)) (whole int64, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	for line := 1; ; line++ {
		text, err := readLine(in)
		torn := errors.Is(err, io.EOF) // the line has no end
		if torn && len(text) == 0 {
			return whole, nil
		}
		if err != nil && !torn {
			if errors.Is(err, errLongLine) {
				err = &JournalError{line, err}
			}
			return whole, err
		}
		v := new(Visit)
		if err = json.Unmarshal(text, v); err == nil {
			switch {
			case torn: // it may be whole, but its end was not written; the visit is repeated
				return whole, nil
			case v.V != Version:
				return whole, &JournalError{line, fmt.Errorf("version %d; this program reads version %d", v.V, Version)}
			case v.Address.IsZero():
				return whole, &JournalError{line, errors.New("it has no address")}
			}
			whole += int64(len(text)) + 1
			fn(v)
			continue
		}
		if _, more := in.Peek(1); torn || errors.Is(more, io.EOF) { // the last line, written in part
			return whole, nil
		}
		return whole, &JournalError{line, err}
	}
}

var errLongLine = fmt.Errorf("longer than %d bytes", maxLine)

// readLine returns the next line without its end; with io.EOF what there is of a last line without one.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, errLongLine
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(line, []byte("\n")), err
		}
	}
}

// writeVisit appends a line to a journal, with one call of Write.
func writeVisit(w io.Writer, v *Visit) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if _, err = w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
