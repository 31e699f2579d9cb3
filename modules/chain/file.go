package chain

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/switchyard-p2p/switchyard/host/backfill"
)

// File is a backfill.Store in one file, to which blocks are appended in whatever order they come: height (8 bytes),
// length (4), CRC-32C of both and of the block (4), block. What a crash has left unfinished at the end is cut off. A
// block is with the system when Put returns, so that it outlives the process, but perhaps not a power failure.
type File struct {
	mu    sync.RWMutex // guards what follows; reads of the file need it not
	file  *os.File
	end   int64
	at    map[uint64]place
	spans backfill.Spans
}

// place is where a block is in the file.
type place struct {
	at  int64
	len uint32
}

const (
	recordHeader = 8 + 4 + 4
	mostBlock    = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenFile opens the file of a store, or makes it with its folder.
func OpenFile(path string) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &File{file: f, at: map[uint64]place{}}
	if err := s.load(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// load finds the blocks, and cuts off what is not whole.
func (s *File) load() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(s.file, 1<<20)
	var block []byte
	for {
		var header [recordHeader]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			break
		}
		height, size := binary.BigEndian.Uint64(header[:]), binary.BigEndian.Uint32(header[8:])
		if size > mostBlock || s.end+recordHeader+int64(size) > info.Size() {
			break
		}
		if cap(block) < int(size) {
			block = make([]byte, size)
		}
		block = block[:size]
		if _, err := io.ReadFull(r, block); err != nil {
			return err
		}
		if sum(header[:12], block) != binary.BigEndian.Uint32(header[12:]) {
			break
		}
		s.at[height] = place{s.end + recordHeader, size}
		s.spans = s.spans.Add(height)
		s.end += recordHeader + int64(size)
	}
	if s.end == info.Size() {
		return nil
	}
	return s.file.Truncate(s.end)
}

func sum(header, block []byte) uint32 {
	return crc32.Update(crc32.Checksum(header, castagnoli), castagnoli, block)
}

// Close closes the file.
func (s *File) Close() error { return s.file.Close() }

// Has implements backfill.Store.
func (s *File) Has(_ context.Context, height uint64) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, has := s.at[height]
	return has, nil
}

// Get implements backfill.Store.
func (s *File) Get(_ context.Context, height uint64) ([]byte, error) {
	s.mu.RLock()
	p, has := s.at[height]
	s.mu.RUnlock()
	if !has {
		return nil, backfill.ErrNoHeight
	}
	b := make([]byte, p.len)
	if _, err := s.file.ReadAt(b, p.at); err != nil {
		return nil, fmt.Errorf("read block %d: %w", height, err)
	}
	return b, nil
}

// Put implements backfill.Store.
func (s *File) Put(_ context.Context, height uint64, block []byte) error {
	if len(block) > mostBlock {
		return fmt.Errorf("block %d has %d bytes, more than %d", height, len(block), mostBlock)
	}
	record := binary.BigEndian.AppendUint64(make([]byte, 0, recordHeader+len(block)), height)
	record = binary.BigEndian.AppendUint32(record, uint32(len(block)))
	record = append(binary.BigEndian.AppendUint32(record, sum(record, block)), block...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, has := s.at[height]; has {
		return errors.New("the block is stored already")
	}
	if _, err := s.file.WriteAt(record, s.end); err != nil {
		return fmt.Errorf("write block %d: %w", height, err)
	}
	s.at[height] = place{s.end + recordHeader, uint32(len(block))}
	s.spans = s.spans.Add(height)
	s.end += int64(len(record))
	return nil
}

// Range implements backfill.Store.
func (s *File) Range(_ context.Context, from, to uint64) ([]backfill.Span, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.spans.Within(from, to), nil
}
