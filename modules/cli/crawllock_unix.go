//go:build unix

package cli

import (
	"errors"
	"os"
	"syscall"
)

// lockJournal locks a journal until it is closed or the process ends. It reports false if another process has it.
func lockJournal(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
