package cli

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// lockJournal locks a journal until it is closed or the process ends. It reports false if another process has it. What
// is locked is a byte far behind the end: readers are not held up.
func lockJournal(f *os.File) (bool, error) {
	at := windows.Overlapped{OffsetHigh: math.MaxInt32}
	err := windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}
