// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/index"
)

// The key file holds the keys of the index in the order they came, so that a restart needn't read the whole log. It is
// derived from the log and never synced for a commit: what a crash tears off, the log gives back.
//
//	file  = "traccia-keys/1 " ‖ origin ‖ "\n" ‖ block …
//	block = u32 n ‖ u64 size ‖ last 32 ‖ n × (key 32 ‖ u64 index) ‖ u32 sum
//
// A block brings the keys to those of the log's first size leaves; last is the Merkle leaf hash of leaf size−1, by which
// a file of another history is told; indexes ascend and are below size. sum is CRC-32C over everything in the file before
// it, so no block goes missing or changes place. For example a file of one block, two keys of leaf 2:
//
//	traccia-keys/1 registro.example/2026⏎
//	00000002 0000000000000003 9f2a… | 41c0… 0000000000000002 | e7b3… 0000000000000002 | 5d1c22f0
//
// Nothing in it is secret, and nothing in it is believed that no head in the log states.
type keyFile struct {
	f    *os.File
	sum  uint32
	path string
}

const (
	keyFileMagic = "traccia-keys/1 "
	keyRow       = 32 + 8
	// maxBlock is how many keys a block holds at most: what a crash costs, and what is kept until it is written.
	maxBlock = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errForeignKeys = errors.New("it belongs to another log")
	errKeysAhead   = errors.New("it is ahead of the log")
	errBadBlock    = errors.New("a torn or damaged block")
)

// keyBlock is one block. rows holds its keys as they stand in the file.
type keyBlock struct {
	size uint64 // of the log that is covered
	last ledger.Hash
	rows []byte
}

func keyFileHeader(origin string) []byte { return []byte(keyFileMagic + origin + "\n") }

// formatBlock appends a block that follows what has the sum so far, and returns the new sum.
func formatBlock(out []byte, sum uint32, b *keyBlock) ([]byte, uint32) {
	start := len(out)
	out = binary.BigEndian.AppendUint32(out, uint32(len(b.rows)/keyRow))
	out = binary.BigEndian.AppendUint64(out, b.size)
	out = append(out, b.last[:]...)
	out = append(out, b.rows...)
	sum = crc32.Update(sum, castagnoli, out[start:])
	out = binary.BigEndian.AppendUint32(out, sum)
	return out, crc32.Update(sum, castagnoli, out[len(out)-4:])
}

// keyReader reads blocks one after another.
type keyReader struct {
	r      io.Reader
	sum    uint32
	offset int64  // of the end of the last whole block
	size   uint64 // that it covers
	index  uint64 // of its last key
	buf    []byte
}

// readKeyHeader starts reading; the error is errForeignKeys when the file isn't one of this origin's.
func readKeyHeader(r io.Reader, origin string) (*keyReader, error) {
	want := keyFileHeader(origin)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != string(want) {
		return nil, errForeignKeys
	}
	return &keyReader{r: r, sum: crc32.Checksum(want, castagnoli), offset: int64(len(want))}, nil
}

// next reads a block; it is good until the next call. The error is io.EOF after the last, or errBadBlock.
func (k *keyReader) next() (*keyBlock, error) {
	const head = 4 + 8 + 32
	if k.buf == nil {
		k.buf = make([]byte, head+maxBlock*keyRow+4)
	}
	switch _, err := io.ReadFull(k.r, k.buf[:head]); {
	case err == io.EOF:
		return nil, io.EOF
	case err != nil:
		return nil, errBadBlock
	}
	n := binary.BigEndian.Uint32(k.buf)
	if n > maxBlock {
		return nil, errBadBlock
	}
	all := k.buf[:head+int(n)*keyRow+4]
	if _, err := io.ReadFull(k.r, all[head:]); err != nil {
		return nil, errBadBlock
	}
	body, sum := all[:len(all)-4], all[len(all)-4:]
	got := crc32.Update(k.sum, castagnoli, body)
	if got != binary.BigEndian.Uint32(sum) {
		return nil, errBadBlock
	}
	b := &keyBlock{size: binary.BigEndian.Uint64(body[4:]), last: ledger.Hash(body[12:]), rows: body[head:]}
	if b.size <= k.size {
		return nil, errBadBlock
	}
	index := k.index
	for row := b.rows; len(row) > 0; row = row[keyRow:] {
		i := binary.BigEndian.Uint64(row[32:])
		if i < index || i < k.size || i >= b.size {
			return nil, errBadBlock
		}
		index = i
	}
	k.sum = crc32.Update(got, castagnoli, sum)
	k.offset += int64(len(all))
	k.size, k.index = b.size, index
	return b, nil
}

// openKeys reads the file and hands over the blocks that cover at most limit leaves, of a log of size leaves. The file it
// returns ends after the last of them. The error is errForeignKeys or errKeysAhead when none of it is to be believed.
// torn says that something else than whole blocks stood at its end.
func openKeys(path, origin string, limit, size uint64, take func(*keyBlock) error) (k *keyFile, torn bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, false, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	r, err := readKeyHeader(bufio.NewReaderSize(f, 1<<18), origin)
	if err != nil {
		return nil, false, err
	}
	keep, sum := r.offset, r.sum
	for {
		b, err := r.next()
		if err != nil {
			torn = err != io.EOF
			break
		}
		if b.size > size {
			return nil, false, errKeysAhead
		}
		if b.size > limit {
			continue // only to see that the rest isn't ahead
		}
		if err := take(b); err != nil {
			return nil, false, err
		}
		keep, sum = r.offset, r.sum
	}
	if err := f.Truncate(keep); err != nil {
		return nil, torn, err
	}
	if _, err := f.Seek(keep, io.SeekStart); err != nil {
		return nil, torn, err
	}
	return &keyFile{f: f, sum: sum, path: path}, torn, nil
}

// createKeys starts a file without keys, in the place of another if there is one.
func createKeys(path, origin string) (*keyFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	header := keyFileHeader(origin)
	if _, err := f.Write(header); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &keyFile{f: f, sum: crc32.Checksum(header, castagnoli), path: path}, nil
}

func (k *keyFile) append(b *keyBlock) error {
	out, sum := formatBlock(make([]byte, 0, 4+8+32+len(b.rows)+4), k.sum, b)
	if _, err := k.f.Write(out); err != nil {
		return fmt.Errorf("couldn't append to %s: %w", k.path, err)
	}
	k.sum = sum
	return nil
}

// close makes the file durable.
func (k *keyFile) close() error { return errors.Join(k.f.Sync(), k.f.Close()) }

// abandon closes the file of an index that nobody will use.
func (k *keyFile) abandon() {
	if k != nil {
		k.f.Close()
	}
}

// load takes the keys of the log's first leaves, at most limit of them, from the key file; a file that isn't this log's is
// made again. Trouble with the file is no reason not to start: the log has it all.
func (f *follower) load(ctx context.Context, shard *engine.Shard, path string, limit, size uint64) error {
	covered, err := f.openFile(ctx, shard, path, limit, size, f.takeBlock)
	if err != nil {
		return err
	}
	if covered == 0 {
		f.tree = index.New()
	}
	f.size = covered
	return nil
}

// takeBlock puts the keys of a block into the tree.
func (f *follower) takeBlock(b *keyBlock) error {
	for row := b.rows; len(row) > 0; row = row[keyRow:] {
		if _, ok := f.tree.Insert(ledger.Hash(row), binary.BigEndian.Uint64(row[32:])); !ok {
			return errBadBlock
		}
	}
	return nil
}

// openFile opens the key file, hands over its blocks as openKeys does, and says how many leaves they cover: 0 where it had to
// be made anew, whatever was handed over.
func (f *follower) openFile(ctx context.Context, shard *engine.Shard, path string, limit, size uint64, take func(*keyBlock) error) (covered uint64, err error) {
	var last ledger.Hash
	file, torn, err := openKeys(path, f.origin, limit, size, func(b *keyBlock) error {
		covered, last = b.size, b.last
		return take(b)
	})
	if err == nil {
		if err = isLeaf(ctx, shard, covered, last); err != nil {
			file.abandon()
			if !errors.Is(err, errForeignKeys) {
				return 0, err
			}
		}
	}
	if err == nil {
		if torn {
			f.log.Warn("cut what a crash left of the index's key file", "file", path, "covers", covered)
		}
		f.file = file
		return covered, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn("discarded the index's key file: it is made again from the log", "file", path, "reason", err)
	}
	if f.file, err = createKeys(path, f.origin); err != nil {
		f.log.Warn("the index has no key file: the next start reads the whole log", "file", path, "error", err)
	}
	return 0, nil
}

// isLeaf says whether the log's first size leaves end with the one of this hash: errForeignKeys if they don't.
func isLeaf(ctx context.Context, shard *engine.Shard, size uint64, last ledger.Hash) error {
	if size == 0 {
		return nil
	}
	leaves, err := shard.Leaves(ctx, size-1, 1)
	if err != nil || len(leaves) == 0 {
		return fmt.Errorf("couldn't read the log at %d: %w", size-1, err)
	}
	if ledger.HashLeaf(leaves[0]) != last {
		return errForeignKeys
	}
	return nil
}

// keep writes down the keys that the file doesn't have. Without the file the next start takes longer, no more.
func (f *follower) keep() {
	if f.file == nil || len(f.rows) == 0 {
		return
	}
	if err := f.file.append(&keyBlock{size: f.upTo, last: ledger.HashLeaf(f.last), rows: f.rows}); err != nil {
		f.log.Warn("the index goes on without its key file: the next start reads more of the log", "error", err)
		f.file.abandon()
		f.file = nil
	}
	f.rows = f.rows[:0]
}

// keepAll leaves the key file whole, and closes it.
func (f *follower) keepAll() {
	f.keep()
	if f.file == nil {
		return
	}
	if err := f.file.close(); err != nil {
		f.log.Warn("couldn't close the index's key file: the next start makes it again", "error", err)
	}
	f.file = nil
}
