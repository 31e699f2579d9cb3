package badger

import (
	"bytes"
	"fmt"
	"slices"

	bdb "github.com/dgraph-io/badger/v4"
)

// source is where a loader finds the entries of a store. What it gives to fn is not fn's to keep.
type source interface {
	// get is the value of a key; nil: there is none.
	get(key []byte) ([]byte, error)
	// each calls fn with the entries of a span until it fails.
	each(s span, fn func(key, value []byte) error) error
	// back is each from the last entry to the first; the span has an end.
	back(s span, fn func(key, value []byte) error) error
}

// span is a part of all keys: from (inclusive) to to (exclusive; nil: all that follow).
type span struct{ from, to []byte }

// letter is the span of the keys that begin with it.
func letter(l byte) span { return span{[]byte{l}, []byte{l + 1}} }

func (s span) has(key []byte) bool {
	return bytes.Compare(key, s.from) >= 0 && (s.to == nil || bytes.Compare(key, s.to) < 0)
}

// database is the source of a large store.
type database struct{ *bdb.DB }

func (d database) get(key []byte) (value []byte, err error) {
	err = d.View(func(txn *bdb.Txn) error {
		item, err := txn.Get(key)
		if err == bdb.ErrKeyNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		value, err = item.ValueCopy([]byte{})
		return err
	})
	return value, err
}

func (d database) each(s span, fn func(key, value []byte) error) error {
	return d.iterate(s, s.from, false, fn)
}

func (d database) back(s span, fn func(key, value []byte) error) error {
	return d.iterate(s, s.to, true, fn)
}

func (d database) iterate(s span, from []byte, reverse bool, fn func(key, value []byte) error) error {
	return d.View(func(txn *bdb.Txn) error {
		opts := bdb.DefaultIteratorOptions
		opts.PrefetchValues = false // values lie beside the keys
		opts.Reverse = reverse
		it := txn.NewIterator(opts)
		defer it.Close()
		it.Seek(from)
		if reverse && it.Valid() && !s.has(it.Item().Key()) { // the end itself
			it.Next()
		}
		for ; it.Valid(); it.Next() {
			item := it.Item()
			key := item.Key()
			if !s.has(key) {
				return nil
			}
			var failed error
			if err := item.Value(func(value []byte) error { failed = fn(key, value); return nil }); err != nil {
				return fmt.Errorf("read %.16x: %w", key, err)
			}
			if failed != nil {
				return failed
			}
		}
		return nil
	})
}

// entries are the source of a small store: all that its files hold, by key. Meanwhile the database opens these files.
type entries []found

// entriesOf puts in order what was read, and leaves out what does not hold any more in this second.
func entriesOf(all []found, now uint64) entries {
	slices.SortStableFunc(all, func(a, b found) int {
		if c := bytes.Compare(a.key, b.key); c != 0 || a.version == b.version {
			return c
		}
		if a.version > b.version {
			return -1
		}
		return 1
	})
	all = slices.CompactFunc(all, func(a, b found) bool { return bytes.Equal(a.key, b.key) })
	return slices.DeleteFunc(all, func(f found) bool { return f.deleted || f.end != 0 && f.end <= now })
}

// at is where a key is, or would be.
func (e entries) at(key []byte) (int, bool) {
	return slices.BinarySearchFunc(e, key, func(f found, key []byte) int { return bytes.Compare(f.key, key) })
}

// in are the entries of a span.
func (e entries) in(s span) entries {
	from, _ := e.at(s.from)
	to := len(e)
	if s.to != nil {
		to, _ = e.at(s.to)
	}
	return e[from:to]
}

func (e entries) get(key []byte) ([]byte, error) {
	if i, ok := e.at(key); ok {
		return e[i].value, nil
	}
	return nil, nil
}

func (e entries) each(s span, fn func(key, value []byte) error) error {
	for _, f := range e.in(s) {
		if err := fn(f.key, f.value); err != nil {
			return err
		}
	}
	return nil
}

func (e entries) back(s span, fn func(key, value []byte) error) error {
	for _, f := range slices.Backward(e.in(s)) {
		if err := fn(f.key, f.value); err != nil {
			return err
		}
	}
	return nil
}
