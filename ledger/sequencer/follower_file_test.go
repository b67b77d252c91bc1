// SPDX-License-Identifier: EUPL-1.2

package sequencer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// keyFile is the key file read and written from docs/index.md alone.
type keyFile struct {
	origin string
	blocks []keyBlock
}

type keyBlock struct {
	size uint64
	last ledger.Hash
	keys []keyRow
}

type keyRow struct {
	key   ledger.Hash
	index uint64
}

func (k *keyFile) format() []byte {
	out := []byte("traccia-keys/1 " + k.origin + "\n")
	for _, b := range k.blocks {
		out = binary.BigEndian.AppendUint32(out, uint32(len(b.keys)))
		out = binary.BigEndian.AppendUint64(out, b.size)
		out = append(out, b.last[:]...)
		for _, row := range b.keys {
			out = append(out, row.key[:]...)
			out = binary.BigEndian.AppendUint64(out, row.index)
		}
		out = binary.BigEndian.AppendUint32(out, crc32.Checksum(out, crc32.MakeTable(crc32.Castagnoli)))
	}
	return out
}

func parseKeyFile(t testing.TB, data []byte) *keyFile {
	t.Helper()
	header, rest, ok := bytes.Cut(data, []byte("\n"))
	k := &keyFile{origin: strings.TrimPrefix(string(header), "traccia-keys/1 ")}
	for ok && len(rest) > 0 {
		var b keyBlock
		n := binary.BigEndian.Uint32(rest)
		b.size, b.last, rest = binary.BigEndian.Uint64(rest[4:]), ledger.Hash(rest[12:]), rest[44:]
		for range n {
			b.keys, rest = append(b.keys, keyRow{ledger.Hash(rest), binary.BigEndian.Uint64(rest[32:])}), rest[40:]
		}
		k.blocks, rest = append(k.blocks, b), rest[4:]
	}
	if !bytes.Equal(k.format(), data) {
		t.Fatal("the key file isn't as docs/index.md says")
	}
	return k
}

// indexed is a fixture with a key file, and what it logs.
type indexed struct {
	*fixture
	path string
	said *bytes.Buffer
}

func newIndexed(t testing.TB) *indexed {
	f := &indexed{path: filepath.Join(t.TempDir(), "index", "a.keys"), said: new(bytes.Buffer)}
	f.fixture = newFixture(t, f.configureIt)
	return f
}

func (f *indexed) configureIt(cfg *sequencer.Config) {
	cfg.IndexFile = f.path
	cfg.Log = slog.New(slog.NewTextHandler(f.said, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (f *indexed) read() []byte {
	f.t.Helper()
	data, err := os.ReadFile(f.path)
	f.must(err)
	return data
}

func (f *indexed) write(data []byte) {
	f.t.Helper()
	f.must(os.WriteFile(f.path, data, 0o600))
}

// reopen starts again with this key file, and returns the keys that the file
// has afterwards, what was said, and the error. The index is compared with the
// log's last head by AtHead.
func (f *indexed) reopen(data []byte) (k *keyFile, said string, err error) {
	f.t.Helper()
	f.said.Reset()
	f.write(data)
	if err := f.open(); err != nil {
		return nil, f.said.String(), err
	}
	_, err = f.atHead(f.t.Context(), nil)
	f.must(err)
	f.must(f.seq.Close())
	return parseKeyFile(f.t, f.read()), f.said.String(), nil
}

func (k *keyFile) keys() (all []keyRow) {
	for _, b := range k.blocks {
		all = append(all, b.keys...)
	}
	return all
}

func TestKeyFile(t *testing.T) {
	f := newIndexed(t)
	for n := range 6 {
		f.submit(n)
		if n%2 == 1 {
			_, err := f.seq.Head(t.Context())
			f.must(err)
		}
	}
	f.must(f.seq.Close())
	good := f.read()
	file := parseKeyFile(t, good)
	var want []keyRow
	for at, raw := range f.audit().Leaves {
		if leaf, err := ledger.ParseLeaf(raw); err != nil {
			t.Fatal(err)
		} else if e, ok := leaf.(ledger.Event); ok {
			want = append(want, keyRow{e.SubjectTag, uint64(at)}, keyRow{e.AgencyTag, uint64(at)})
		}
	}
	if got := file.keys(); !slices.Equal(got, want) || file.origin != ledger.Origin(nodetest.Name, f.epoch) {
		t.Fatalf("the key file of %s has %d keys, expected %d", file.origin, len(got), len(want))
	}
	if len(file.blocks) != 3 {
		t.Errorf("%d blocks after 3 heads", len(file.blocks))
	}
	if info, err := os.Stat(f.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again := func(what string, data []byte, warns string) {
		t.Helper()
		k, said, err := f.reopen(data)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := k.keys(); !slices.Equal(got, want) {
			t.Fatalf("%s: the key file has %d keys afterwards, expected %d", what, len(got), len(want))
		}
		if warns == "" && said != "" || !strings.Contains(said, warns) {
			t.Fatalf("%s: said %q, expected %q", what, said, warns)
		}
	}
	again("as it was", good, "")
	if !bytes.Equal(f.read(), good) {
		t.Error("a restart wrote the key file again")
	}
	const torn, discarded = "cut what a crash left", "discarded"
	ends := map[int]bool{len(good): true} // where whole blocks end
	for n := range file.blocks {
		ends[len((&keyFile{file.origin, file.blocks[:n]}).format())] = true
	}
	header := len((&keyFile{origin: file.origin}).format())
	for n := 0; n < len(good); n += 1 + n%5 {
		warns := torn
		if n < header {
			warns = discarded
		} else if ends[n] {
			warns = ""
		}
		again(fmt.Sprintf("cut to %d", n), good[:n], warns)
		bad := bytes.Clone(good)
		bad[n] ^= 1 << (n % 8)
		again(fmt.Sprintf("byte %d changed", n), bad, "index's key file")
	}
	again("zeros at its end", append(bytes.Clone(good), make([]byte, 5000)...), torn)
	again("a block twice", (&keyFile{file.origin, append(slices.Clone(file.blocks), file.blocks[2])}).format(), torn)
	first := len((&keyFile{file.origin, file.blocks[:1]}).format())
	second := len((&keyFile{file.origin, file.blocks[:2]}).format())
	again("a block missing", slices.Concat(good[:first], good[second:]), torn)
	again("blocks in another order", slices.Concat(good[:header], good[first:second], good[header:first], good[second:]), torn)
	again("another origin", (&keyFile{"altro.example/2026", file.blocks}).format(), discarded)
	more := append(slices.Clone(file.blocks), keyBlock{size: 1000})
	again("ahead of the log", (&keyFile{file.origin, more}).format(), "ahead of the log")
	other := slices.Clone(file.blocks)
	other[2].last[7] ^= 1
	again("of another history", (&keyFile{file.origin, other}).format(), "another log")
	f.must(os.Remove(f.path))
	f.must(f.open())
	f.must(f.seq.Close())
	again("made anew", f.read(), "")

	// Sums that are right over keys that are wrong: the head says so.
	for what, change := range map[string]func([]keyRow) []keyRow{
		"another key":   func(rows []keyRow) []keyRow { rows[0].key[9] ^= 1; return rows },
		"another index": func(rows []keyRow) []keyRow { rows[1].index++; return rows },
		"a key less":    func(rows []keyRow) []keyRow { return rows[1:] },
	} {
		other = slices.Clone(file.blocks)
		other[1].keys = change(slices.Clone(other[1].keys))
		_, _, err := f.reopen((&keyFile{file.origin, other}).format())
		if !errors.Is(err, sequencer.ErrIndex) || !strings.Contains(err.Error(), "reindex") || !strings.Contains(err.Error(), "the head at") {
			t.Errorf("%s: %v", what, err)
		}
	}
	other = slices.Clone(file.blocks)
	other[1].keys = append([]keyRow{file.blocks[1].keys[1]}, file.blocks[1].keys[1:]...)
	again("a key twice", (&keyFile{file.origin, other}).format(), discarded)

	// No file can be made: the log is enough.
	f.path = filepath.Join(f.path, "below a file")
	f.said.Reset()
	f.must(f.open())
	_, err := f.atHead(t.Context(), nil)
	f.must(err)
	if !strings.Contains(f.said.String(), "no key file") {
		t.Errorf("said %q", f.said)
	}
}

// TestKeyFileAfterPowerCut: the log lost its end, the file didn't.
func TestKeyFileAfterPowerCut(t *testing.T) {
	f := newIndexed(t)
	for n := range 8 {
		f.submit(n)
		if n == 3 {
			_, err := f.seq.Head(t.Context())
			f.must(err)
		}
		f.powerCut() // what was acknowledged stays; the last head may be lost
	}
	f.audit()
	f.must(f.seq.Close())
	parseKeyFile(t, f.read())
}

// TestManyBlocks fills more than one block between heads.
func TestManyBlocks(t *testing.T) {
	f := newIndexed(t)
	for n := range 5 {
		_, err := f.seq.Submit(t.Context(), f.pending(n, nodetest.Access{Subjects: 1500}))
		f.must(err)
	}
	f.must(f.seq.Close())
	k, said, err := f.reopen(f.read())
	f.must(err)
	if len(k.keys()) != 2*5*1500 || said != "" {
		t.Errorf("%d keys, said %q", len(k.keys()), said)
	}
	for _, b := range k.blocks {
		if len(b.keys) > 4096 {
			t.Errorf("a block of %d keys", len(b.keys))
		}
	}
}

func TestReindex(t *testing.T) {
	f := newIndexed(t)
	for n := range 5 {
		f.submit(n)
		_, err := f.seq.Head(t.Context())
		f.must(err)
	}
	f.must(f.seq.Close())
	want := parseKeyFile(t, f.read()).keys()
	f.must(os.Remove(f.path))
	cfg := sequencer.Config{Name: nodetest.Name, Epoch: f.epoch, Shard: f.shard, Log: quiet, IndexFile: f.path}
	var leaves uint64
	r, err := sequencer.Reindex(t.Context(), cfg, func(n uint64) { leaves += n })
	f.must(err)
	report := f.audit().Report
	if r.Size != report.Leaves || leaves != r.Size || r.Keys != report.Keys || r.Root != report.IndexRoot || r.Heads != len(report.Heads) || len(r.Wrong) > 0 {
		t.Errorf("Reindex = %+v over %d leaves, expected %+v", r, leaves, report)
	}
	k, said, err := f.reopen(f.read())
	if err != nil || said != "" || !slices.Equal(k.keys(), want) {
		t.Errorf("with the new file: %v, said %q", err, said)
	}

	// A head that lies: its place, what it states and what came; the file stays.
	lie := ledger.Head{Epoch: f.epoch, Keys: 3, Root: ledger.Hash{1}, Scopes: ledger.ScopesHash(nil), UnixMS: report.Heads[len(report.Heads)-1].UnixMS + 1}
	f.append(lie)
	before := f.read()
	cfg.Shard = f.shard
	r, err = sequencer.Reindex(t.Context(), cfg, func(uint64) {})
	f.must(err)
	if len(r.Wrong) != 1 || r.Wrong[0] != (sequencer.WrongHead{Index: report.Leaves, Stated: lie, Keys: report.Keys, Root: report.IndexRoot}) {
		t.Errorf("wrong heads: %+v", r.Wrong)
	}
	if names, err := os.ReadDir(filepath.Dir(f.path)); err != nil || len(names) != 1 || !bytes.Equal(f.read(), before) {
		t.Errorf("%v in the directory, %v", names, err)
	}
	err = f.open()
	for _, part := range []string{fmt.Sprintf("head at %d", report.Leaves), "states 3 keys", fmt.Sprintf("give %d", report.Keys)} {
		if !errors.Is(err, sequencer.ErrIndex) || !strings.Contains(err.Error(), part) {
			t.Errorf("Open = %v, expected %q", err, part)
		}
	}
}
