// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"golang.org/x/sync/semaphore"
)

// TestHold: what is kept is what came, in memory and in a file, read as often as it takes.
func TestHold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "answers")
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, chunk, inMemory, inMemory + 1, inMemory + chunk, 3*inMemory + 17} {
		content := make([]byte, size)
		random.Read(content)
		h, err := s.hold(iotest.HalfReader(bytes.NewReader(content)), int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if onDisk := h.file != nil; onDisk != (size > inMemory) {
			t.Errorf("%d bytes: on disk %v", size, onDisk)
		}
		for range 2 {
			if got, err := io.ReadAll(h.reader()); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
			}
		}
		if want := fmt.Sprintf("%x", sha256.Sum256(content)); h.digest() != want || h.size != int64(size) {
			t.Errorf("%d bytes: digest %s of %d, want %s", size, h.digest(), h.size, want)
		}
		if h.file != nil {
			file := make([]byte, 2*size)
			n, _ := h.file.ReadAt(file, 0)
			if bytes.Contains(file[:n], content[:32]) {
				t.Error("the file holds what came")
			}
			if _, err := h.file.WriteAt([]byte{file[100] ^ 1}, 100); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(h.reader()); err == nil {
				t.Error("a changed file was read")
			}
		}
		h.close()
		if size == 0 {
			continue
		}
		if _, err := s.hold(bytes.NewReader(content), int64(size)-1); !errors.Is(err, errTooLong) {
			t.Errorf("%d bytes too many: %v", 1, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	if !s.ram.TryAcquire(allMemory) {
		t.Error("memory isn't given back")
	}
	broken := errors.New("broken")
	if _, err := s.hold(io.MultiReader(bytes.NewReader([]byte("x")), iotest.ErrReader(broken)), 10); !errors.Is(err, broken) {
		t.Errorf("%v, want the reader's error", err)
	}
}

// TestHoldFull: when all memory is taken, answers go to disk at once.
func TestHoldFull(t *testing.T) {
	s := &store{t.TempDir(), semaphore.NewWeighted(4)}
	h, err := s.hold(bytes.NewReader([]byte("twelve bytes")), 100)
	if err != nil || h.file == nil {
		t.Fatalf("in memory all the same, %v", err)
	}
	if got, err := io.ReadAll(h.reader()); err != nil || string(got) != "twelve bytes" {
		t.Errorf("%q, %v", got, err)
	}
	h.close()
}
