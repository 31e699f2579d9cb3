package peerstore

import (
	"errors"
	"fmt"
)

// ErrTooManyBans is returned by Ban when Limits.MaxBans bans without an end hold, so that none can make room.
var ErrTooManyBans = errors.New("peer store: as many bans as the limit (MaxBans) allows, and none of them ends")

// ErrClosed is returned by calls that would persist something in a store that was closed.
var ErrClosed = errors.New("peer store: closed")

// TargetError is the error of a target that cannot be banned.
type TargetError struct{ Text, Why string }

func (e *TargetError) Error() string { return fmt.Sprintf("ban target %.80q: %s", e.Text, e.Why) }
