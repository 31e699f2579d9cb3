package peerstore

import (
	"errors"
	"fmt"
)

// ErrTooManyBans says that a ban was refused because Limits.MaxBans bans hold for ever, so that none of them may make room.
var ErrTooManyBans = errors.New("peer store: as many bans as the limit (MaxBans) allows, and none of them ends")

// ErrClosed is returned by calls that would persist something in a store that was closed.
var ErrClosed = errors.New("peer store: closed")

// TargetError says why something cannot be banned.
type TargetError struct{ Text, Why string }

func (e *TargetError) Error() string { return fmt.Sprintf("ban target %.80q: %s", e.Text, e.Why) }
