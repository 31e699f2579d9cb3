package handshake

import "errors"

// IdentityError reports that our own identity did not sign, or did not tell its key, so that a handshake could not go
// on. The remote has nothing to do with it.
type IdentityError struct{ Err error }

func (e *IdentityError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *IdentityError) Unwrap() error { return e.Err }

// IsOwnFault reports whether a handshake failed because our own identity did not sign: err is an *IdentityError,
// perhaps wrapped.
func IsOwnFault(err error) bool {
	_, own := errors.AsType[*IdentityError](err)
	return own
}
