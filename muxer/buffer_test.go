package muxer

import "testing"

// Every size gets a buffer that holds it and is at most a quarter larger, and a buffer that was given back goes to
// requests that it holds only.
func TestBufferClasses(t *testing.T) {
	last := -1
	for n := minPooled; n <= maxPooled; n++ {
		i, size := class(n)
		if size < n || size > n+n/4+1 || i < last || i >= numClasses {
			t.Fatalf("%d bytes: class %d of %d bytes", n, i, size)
		}
		if j, again := class(size); j != i || again != size {
			t.Fatalf("the size %d of class %d is of class %d with %d bytes", size, i, j, again)
		}
		last = i
	}
	if last != numClasses-1 {
		t.Errorf("the last class is %d of %d", last, numClasses)
	}
}

func TestBufferReuse(t *testing.T) {
	for _, n := range []int{0, 1, minPooled - 1, minPooled, 600, 1024, 1025, 65536, maxPooled, maxPooled + 1} {
		b := NewBuffer(n)
		if len(b) != n || cap(b) != BufferSize(n) {
			t.Fatalf("NewBuffer(%d): %d of %d bytes, want a capacity of %d", n, len(b), cap(b), BufferSize(n))
		}
		for i := range b {
			b[i] = 1
		}
		FreeBuffer(b)
		if c := NewBuffer(n); len(c) != n || cap(c) != BufferSize(n) {
			t.Fatalf("NewBuffer(%d) again: %d of %d bytes", n, len(c), cap(c))
		}
	}
	FreeBuffer(make([]byte, 777)) // not one of ours: it is left to the collector
	FreeBuffer(nil)
}
