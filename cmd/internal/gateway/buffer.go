// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sync/semaphore"
)

const (
	inMemory  = 1 << 20   // of one answer
	allMemory = 256 << 20 // of all answers; beyond it they go to disk at once
	chunk     = 64 << 10
)

// errTooLong: an answer has more bytes than its e-service allows.
var errTooLong = errors.New("longer than max_answer")

// store is where answers wait until they are recorded.
type store struct {
	dir string
	ram *semaphore.Weighted
}

// openStore prepares a directory of the gateway's own. What a crash left in it,
// nobody can read any more.
func openStore(dir string) (*store, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	return &store{dir, semaphore.NewWeighted(allMemory)}, os.MkdirAll(dir, 0o700)
}

// held is an answer's content, whole: in memory, or in a file that has no name
// and is encrypted under a key that was never anywhere but here. It belongs to one
// goroutine.
type held struct {
	store *store
	size  int64
	sum   hash.Hash
	ram   []byte // the last part of it, all of it without a file
	taken int64  // of the store's memory

	file   *os.File
	aead   cipher.AEAD
	chunks uint64 // in the file, each full
}

// hold reads an answer of at most so many bytes to its end.
func (s *store) hold(r io.Reader, most int64) (*held, error) {
	h := &held{store: s, sum: sha256.New()}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if h.size+int64(n) > most {
			err = errTooLong
		} else if n > 0 {
			if err := h.write(buf[:n]); err != nil {
				h.close()
				return nil, err
			}
		}
		if errors.Is(err, io.EOF) {
			return h, nil
		}
		if err != nil {
			h.close()
			return nil, err
		}
	}
}

func (h *held) write(p []byte) error {
	h.size += int64(len(p))
	h.sum.Write(p)
	if h.file == nil {
		if len(h.ram)+len(p) <= inMemory && h.store.ram.TryAcquire(int64(len(p))) {
			h.taken += int64(len(p))
			h.ram = append(h.ram, p...)
			return nil
		}
		if err := h.begin(); err != nil {
			return fmt.Errorf("couldn't keep an answer: %w", err)
		}
	}
	h.ram = append(h.ram, p...)
	return h.flush()
}

// begin makes the file, and a key for it.
func (h *held) begin() (err error) {
	key := make([]byte, chacha20poly1305.KeySize)
	rand.Read(key)
	if h.aead, err = chacha20poly1305.NewX(key); err != nil {
		return err
	}
	clear(key)
	if h.file, err = os.CreateTemp(h.store.dir, "answer-"); err != nil {
		return err
	}
	return os.Remove(h.file.Name())
}

// flush writes the full chunks.
func (h *held) flush() error {
	done := 0
	for ; len(h.ram)-done >= chunk; done += chunk {
		sealed := h.aead.Seal(nil, h.nonce(h.chunks), h.ram[done:done+chunk], nil)
		if _, err := h.file.Write(sealed); err != nil {
			return fmt.Errorf("couldn't keep an answer: %w", err)
		}
		h.chunks++
	}
	if done > 0 {
		h.ram = append(make([]byte, 0, chunk+32<<10), h.ram[done:]...)
		h.store.ram.Release(h.taken)
		h.taken = 0
	}
	return nil
}

// nonce is a chunk's number: the key is of this one answer, and a number is used
// once.
func (h *held) nonce(n uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, chacha20poly1305.NonceSizeX-8, chacha20poly1305.NonceSizeX), n)
}

// digest is that of the content.
func (h *held) digest() string { return fmt.Sprintf("%x", h.sum.Sum(nil)) }

// reader reads the content from its beginning, each time it is called.
func (h *held) reader() io.Reader { return &heldReader{h: h} }

type heldReader struct {
	h    *held
	next uint64 // chunk
	rest []byte
	end  bool
}

func (r *heldReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		switch {
		case r.next < r.h.chunks:
			const sealed = chunk + chacha20poly1305.Overhead
			buf := make([]byte, sealed)
			if _, err := r.h.file.ReadAt(buf, int64(r.next)*sealed); err != nil {
				return 0, fmt.Errorf("couldn't read a kept answer: %w", err)
			}
			plain, err := r.h.aead.Open(buf[:0], r.h.nonce(r.next), buf, nil)
			if err != nil {
				return 0, errors.New("couldn't read a kept answer: its file was changed")
			}
			r.rest = plain
			r.next++
		case !r.end:
			r.rest, r.end = r.h.ram, true
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// close forgets the content.
func (h *held) close() {
	h.store.ram.Release(h.taken)
	h.taken = 0
	if h.file != nil {
		h.file.Close()
	}
}
