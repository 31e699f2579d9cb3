package docs

import "os"

// remove deletes the folder of an example.
func remove(dir string) { _ = os.RemoveAll(dir) }

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
