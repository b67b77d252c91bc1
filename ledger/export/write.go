// SPDX-License-Identifier: EUPL-1.2

package export

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

// Source is a ledger to export. All fields but Open and Progress are required.
type Source struct {
	Name string // the ledger's
	VKey []byte // the content of log.vkey
	Logs []SourceLog
	// Blob returns content that a record names by its SHA-256, nil where there is none of that digest.
	Blob func(ctx context.Context, digest ledger.Hash) ([]byte, error)
	// Open, when set, returns the body of an event, verified against its leaf, or ErrErased.
	Open func(ctx context.Context, epoch uint32, index uint64, leaf []byte) (nonce [32]byte, body []byte, err error)
	// Seal, when set, returns the line of an event as it is handed to the authority, and Days, which is called when all
	// logs are written, the day keys that the lines name.
	Seal func(ctx context.Context, epoch uint32, index uint64, leaf []byte) (*Sealed, error)
	Days func(ctx context.Context) ([]Day, error)
	// Progress, when set, is told of leaves written.
	Progress func(leaves int)
}

// SourceLog is one log, at a checkpoint that was published.
type SourceLog struct {
	Epoch      uint32
	Signed     []byte // the checkpoint's note
	Checkpoint checkpoint.Checkpoint
	Tiles      Tiles
}

// Tiles reads a log as c2sp.org/tlog-tiles has it, at any size up to its own.
type Tiles interface {
	Tile(ctx context.Context, level uint, index uint64, width int) ([]byte, error)
	Entries(ctx context.Context, index uint64, width int) ([]byte, error)
}

// ErrErased: the event can't be opened any more.
var ErrErased = errors.New("erased")

// Write makes the folder out, which must not exist, whole or not at all.
func Write(ctx context.Context, out string, src Source) (*Manifest, error) {
	mode := fs.FileMode(0o755)
	if src.Open != nil || src.Seal != nil {
		mode = 0o700
	}
	folder, err := durable.NewFolder(out, mode)
	if err != nil {
		return nil, fmt.Errorf("couldn't begin the export: %w", err)
	}
	w := &writer{Source: src, folder: folder}
	m, err := w.write(ctx)
	if err != nil {
		return nil, errors.Join(err, folder.Abandon())
	}
	if err := folder.Finish(); err != nil {
		return nil, fmt.Errorf("couldn't finish the export: %w", err)
	}
	return m, nil
}

type writer struct {
	Source
	folder *durable.Folder
	sums   []Sum
}

func (w *writer) write(ctx context.Context) (*Manifest, error) {
	m := &Manifest{Format: Format, Ledger: w.Name, MadeAt: time.Now().UTC().Format(time.RFC3339), Bodies: w.Open != nil, Sealed: w.Seal != nil, Logs: []Log{}}
	for _, l := range w.Logs {
		log, err := w.log(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("couldn't export the log of %d: %w", l.Epoch, err)
		}
		m.Logs = append(m.Logs, *log)
	}
	if w.Seal != nil {
		if err := w.days(ctx); err != nil {
			return nil, err
		}
	}
	data, err := FormatManifest(m)
	if err != nil {
		return nil, err
	}
	if err := w.file(ManifestFile, data); err != nil {
		return nil, err
	}
	if err := w.file(KeyFile, w.VKey); err != nil {
		return nil, err
	}
	slices.SortFunc(w.sums, func(a, b Sum) int { return strings.Compare(a.Path, b.Path) })
	return m, w.folder.Write(SumsFile, 0o644, FormatSums(w.sums))
}

// days writes the authority's day keys.
func (w *writer) days(ctx context.Context) (err error) {
	days, err := w.Days(ctx)
	if err != nil {
		return err
	}
	file, err := w.lines(DaysFile, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close(file)) }()
	for i := range days {
		line, err := FormatDay(&days[i])
		if err != nil {
			return err
		}
		if err := file.add(line); err != nil {
			return err
		}
	}
	return nil
}

// file writes a whole file.
func (w *writer) file(path string, data []byte) error {
	w.sums = append(w.sums, Sum{path, sha256.Sum256(data)})
	return w.folder.Write(path, 0o644, data)
}

// lines is a file that grows line by line.
type lines struct {
	*bufio.Writer
	file   *durable.File
	digest hash.Hash
	path   string
}

func (w *writer) lines(path string, mode fs.FileMode) (*lines, error) {
	file, err := w.folder.Create(path, mode)
	if err != nil {
		return nil, err
	}
	return &lines{bufio.NewWriterSize(file, 1<<16), file, sha256.New(), path}, nil
}

func (l *lines) add(line []byte) error {
	line = append(line, '\n')
	l.digest.Write(line)
	_, err := l.Write(line)
	return err
}

// close ends a file of lines; a nil one is no file.
func (w *writer) close(l *lines) error {
	if l == nil {
		return nil
	}
	w.sums = append(w.sums, Sum{l.path, ledger.Hash(l.digest.Sum(nil))})
	return errors.Join(l.Flush(), l.file.Close())
}

// logWriter writes one log.
type logWriter struct {
	*writer
	src     SourceLog
	log     *Log
	tree    *compact.Range
	records *lines
	events  *lines // nil without bodies
	sealed  *lines // nil but for the authority
	blobs   map[ledger.Hash]bool
}

func (w *writer) log(ctx context.Context, src SourceLog) (log *Log, err error) {
	cp := src.Checkpoint
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	l := &logWriter{
		writer: w, src: src, tree: factory.NewEmptyRange(0), blobs: map[ledger.Hash]bool{},
		log: &Log{Epoch: src.Epoch, Origin: cp.Origin, Size: cp.Size, Root: ledger.Hex(cp.Root)},
	}
	if l.records, err = w.lines(RecordsPath(src.Epoch), 0o644); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close(l.records)) }()
	if w.Open != nil {
		if l.events, err = w.lines(EventsPath(src.Epoch), 0o600); err != nil {
			return nil, err
		}
	}
	defer func() { err = errors.Join(err, w.close(l.events)) }()
	if w.Seal != nil {
		if l.sealed, err = w.lines(SealedPath(src.Epoch), 0o600); err != nil {
			return nil, err
		}
	}
	defer func() { err = errors.Join(err, w.close(l.sealed)) }()
	if err := l.entries(ctx); err != nil {
		return nil, err
	}
	if err := l.tiles(ctx); err != nil {
		return nil, err
	}
	return l.log, w.file(LogPath(src.Epoch)+"/checkpoint", src.Signed)
}

// entries writes the entry bundles, and what is made of their leaves.
func (l *logWriter) entries(ctx context.Context) error {
	size := l.src.Checkpoint.Size
	for index := uint64(0); index*checkpoint.TileWidth < size; index++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		tile := checkpoint.Tile{Level: checkpoint.EntryLevel, Index: index, Width: int(min(size-index*checkpoint.TileWidth, checkpoint.TileWidth))}
		bundle, err := l.src.Tiles.Entries(ctx, index, tile.Width)
		if err != nil {
			return err
		}
		leaves, err := checkpoint.ParseEntries(bundle, tile.Width)
		if err != nil {
			return fmt.Errorf("couldn't read %s: %w", tile.Path(), err)
		}
		if err := l.file(LogPath(l.src.Epoch)+"/"+tile.Path(), bundle); err != nil {
			return err
		}
		for i, leaf := range leaves {
			if err := l.leaf(ctx, index*checkpoint.TileWidth+uint64(i), leaf); err != nil {
				return err
			}
		}
		if l.Progress != nil {
			l.Progress(tile.Width)
		}
	}
	root, err := l.tree.GetRootHash(nil)
	if err != nil {
		return err
	}
	if root == nil {
		root = rfc6962.DefaultHasher.EmptyRoot()
	}
	if ledger.Hash(root) != l.src.Checkpoint.Root {
		return fmt.Errorf("the leaves give the root %x at size %d, published was %x: run ledgerd fsck", root, size, l.src.Checkpoint.Root)
	}
	return nil
}

func (l *logWriter) leaf(ctx context.Context, index uint64, leaf []byte) error {
	hash := ledger.HashLeaf(leaf)
	if err := l.tree.Append(hash[:], nil); err != nil {
		return err
	}
	parsed, err := ledger.ParseLeaf(leaf)
	if err != nil {
		return nil // as it is in the log: an alarm for whoever reads it
	}
	switch parsed := parsed.(type) {
	case ledger.Record:
		return l.record(ctx, index, parsed.JSON)
	case ledger.Event:
		l.log.Events++
		if l.Seal != nil {
			if err := l.seal(ctx, index, leaf); err != nil {
				return err
			}
		}
		if l.Open != nil {
			return l.event(ctx, index, leaf)
		}
	}
	return nil
}

// between says whether a character stands between the words of a record.
func between(c rune) bool {
	return c != '_' && (c < '0' || '9' < c) && (c < 'A' || 'Z' < c) && (c < 'a' || 'z' < c)
}

// record writes the line of a record, and the blobs that it names.
func (l *logWriter) record(ctx context.Context, index uint64, record []byte) error {
	l.log.Records++
	line, err := FormatRecord(index, record)
	if err != nil {
		return err
	}
	if err := l.records.add(line); err != nil {
		return err
	}
	for text := range bytes.FieldsFuncSeq(record, between) {
		var digest ledger.Hex
		if err := digest.UnmarshalText(text); err != nil || l.blobs[ledger.Hash(digest)] {
			continue
		}
		blob, err := l.Blob(ctx, ledger.Hash(digest))
		if err != nil {
			return err
		}
		if blob == nil {
			continue // another digest
		}
		l.blobs[ledger.Hash(digest)] = true
		if err := l.file(fmt.Sprintf("%s/blob/%s", LogPath(l.src.Epoch), text), blob); err != nil {
			return err
		}
	}
	return nil
}

func (l *logWriter) event(ctx context.Context, index uint64, leaf []byte) error {
	e := &Event{Index: index}
	nonce, body, err := l.Open(ctx, l.src.Epoch, index, leaf)
	switch {
	case errors.Is(err, ErrErased):
		e.Erased = true
		l.log.Erased++
	case err != nil:
		return err
	default:
		e.Nonce, e.Body = nonce[:], body
		l.log.Opened++
	}
	line, err := FormatEvent(e)
	if err != nil {
		return err
	}
	return l.events.add(line)
}

func (l *logWriter) seal(ctx context.Context, index uint64, leaf []byte) error {
	s, err := l.Seal(ctx, l.src.Epoch, index, leaf)
	if err != nil {
		return err
	}
	if s.Erased {
		l.log.Erased++
	} else {
		l.log.Sealed++
	}
	line, err := FormatSealed(s)
	if err != nil {
		return err
	}
	return l.sealed.add(line)
}

// tiles writes the hash tiles of every level.
func (l *logWriter) tiles(ctx context.Context) error {
	for level := 0; ; level++ {
		nodes := l.src.Checkpoint.Size >> (8 * level)
		if nodes == 0 {
			return nil
		}
		for index := uint64(0); index*checkpoint.TileWidth < nodes; index++ {
			tile := checkpoint.Tile{Level: level, Index: index, Width: int(min(nodes-index*checkpoint.TileWidth, checkpoint.TileWidth))}
			hashes, err := l.src.Tiles.Tile(ctx, uint(level), index, tile.Width)
			if err != nil {
				return err
			}
			if err := l.file(LogPath(l.src.Epoch)+"/"+tile.Path(), hashes); err != nil {
				return err
			}
		}
	}
}
