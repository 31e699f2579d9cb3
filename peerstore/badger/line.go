package badger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// line is one of the keep log:
//
//	CRC keep SCHEMA COUNT            the first one; COUNT lines follow that say all that held then
//	CRC ban TARGET SINCE UNTIL "REASON"
//	CRC unban TARGET
//	CRC flags "NODE" FLAGS           in place of the flags that the node had
//	CRC value "KEY" "BASE64"
//	CRC unset "KEY"
//
// CRC is the CRC-32C of the rest in hex. SINCE and UNTIL are as in RFC 3339 or "-" for none, FLAGS are the letters of
// t(rusted), u(nconditional) and p(rivate) behind a "-".
type line struct {
	op     string
	schema int
	count  int
	ban    peerstore.Ban // of opUnban, the target
	id     transport.NodeID
	flags  flags
	key    string
	value  []byte
}

const (
	opKeep  = "keep"
	opBan   = "ban"
	opUnban = "unban"
	opFlags = "flags"
	opValue = "value"
	opUnset = "unset"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends l with its newline.
func appendLine(b []byte, l *line) []byte {
	const maxReason = 256 // bytes that the book keeps
	at := len(b)
	b = append(b, "00000000 "...)
	rest := len(b)
	switch l.op {
	case opKeep:
		b = fmt.Appendf(b, "keep %d %d", l.schema, l.count)
	case opBan:
		reason := l.ban.Reason[:min(len(l.ban.Reason), maxReason)]
		b = fmt.Appendf(b, "ban %s %s %s %q", l.ban.Target, timeText(l.ban.Since), timeText(l.ban.Until), reason)
	case opUnban:
		b = fmt.Appendf(b, "unban %s", l.ban.Target)
	case opFlags:
		b = fmt.Appendf(b, "flags %q %s", l.id, l.flags)
	case opValue:
		b = fmt.Appendf(b, "value %q %q", l.key, base64.RawStdEncoding.EncodeToString(l.value))
	case opUnset:
		b = fmt.Appendf(b, "unset %q", l.key)
	}
	copy(b[at:], fmt.Sprintf("%08x", crc32.Checksum(b[rest:], castagnoli)))
	return append(b, '\n')
}

// parseLine reads a line without its newline, and only what appendLine writes.
func parseLine(text string) (l line, err error) {
	var target, since, until, letters, value string
	_, rest, _ := strings.Cut(text, " ")
	switch l.op, _, _ = strings.Cut(rest, " "); l.op {
	case opKeep:
		_, err = fmt.Sscanf(rest, "keep %d %d", &l.schema, &l.count)
	case opBan:
		_, err = fmt.Sscanf(rest, "ban %s %s %s %q", &target, &since, &until, &l.ban.Reason)
		l.ban.Since, l.ban.Until = parseTime(since), parseTime(until)
	case opUnban:
		_, err = fmt.Sscanf(rest, "unban %s", &target)
	case opFlags:
		_, err = fmt.Sscanf(rest, "flags %q %s", &l.id, &letters)
		l.flags = parseFlags(letters)
	case opValue:
		_, err = fmt.Sscanf(rest, "value %q %q", &l.key, &value)
		l.value, _ = base64.RawStdEncoding.DecodeString(value)
	case opUnset:
		_, err = fmt.Sscanf(rest, "unset %q", &l.key)
	}
	if err == nil && target != "" {
		l.ban.Target, err = peerstore.ParseTarget(target)
	}
	if err == nil && string(appendLine(nil, &l)) != text+"\n" { // which compares the checksum, too
		err = errors.New("not as it was written")
	}
	return l, err
}

// timeText is a time as far as stamp keeps it.
func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return unstamp(stamp(t)).UTC().Format(time.RFC3339Nano)
}

func parseTime(text string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text)
	return t
}

// flags are the operator's flags of a peer: a bit for each of flagLetters.
type flags uint8

const flagLetters = "tup"

func flagsOf(r *peerstore.Record) (f flags) {
	for i, on := range [...]bool{r.Trusted, r.Unconditional, r.Private} {
		if on {
			f |= 1 << i
		}
	}
	return f
}

func (f flags) set(r *peerstore.Record) {
	r.Trusted, r.Unconditional, r.Private = f&1 != 0, f&2 != 0, f&4 != 0
}

func (f flags) String() string {
	text := "-"
	for i, letter := range flagLetters {
		if f&(1<<i) != 0 {
			text += string(letter)
		}
	}
	return text
}

func parseFlags(text string) (f flags) {
	for i, letter := range flagLetters {
		if strings.ContainsRune(text, letter) {
			f |= 1 << i
		}
	}
	return f
}
