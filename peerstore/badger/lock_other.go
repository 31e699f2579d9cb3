//go:build !unix

package badger

import "os"

// lockFile leaves it to the database to lock its folder.
func lockFile(*os.File) error { return nil }
