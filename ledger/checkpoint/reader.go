// SPDX-License-Identifier: EUPL-1.2

package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
)

// Fetcher fetches what a log serves, by its path under the log's prefix (Tile.Path). Where there is nothing the error is
// fs.ErrNotExist (errors.Is). Several goroutines call it at once; retries, and a limit on the length of an answer, are its
// own. A tile has at most 8,192 bytes and an entry bundle 16.8 million.
type Fetcher interface {
	Fetch(ctx context.Context, path string) ([]byte, error)
}

// FS fetches from a directory, such as an export's.
type FS struct{ fs.FS }

// Fetch reads the file of that path.
func (f FS) Fetch(_ context.Context, path string) ([]byte, error) { return fs.ReadFile(f.FS, path) }

var (
	// ErrTiles says that tiles or entries aren't those of the checkpoint. It proves nothing against the log by itself:
	// whoever served them may have damaged them.
	ErrTiles = errors.New("tiles don't hash to the checkpoint")
	// ErrFork says that the log signed two checkpoints of which neither extends the other. The two are the evidence.
	ErrFork = errors.New("the log shows two histories")
	// ErrRollback says that a checkpoint is smaller than one the log signed before. It may be one that is merely late.
	ErrRollback = errors.New("the log went back to a smaller size")
)

var ranges = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// Reader reads the leaves of one log in order and authenticates them against checkpoints, which the caller has opened. It
// keeps some 40 hashes, whatever the log's size. It belongs to one goroutine.
type Reader struct {
	fetch Fetcher
	done  *compact.Range // [0, Size) as read and authenticated

	// Tiles makes Read fetch each hash tile too, of every level, and compare it with what the leaves hash to: 0.4 % more
	// hashes, and 32 bytes more a leaf.
	Tiles bool
}

// NewReader returns a Reader at the start of a log.
func NewReader(f Fetcher) *Reader { return &Reader{fetch: f, done: ranges.NewEmptyRange(0)} }

// OpenReader returns a Reader that has the leaves of old behind it. Since it goes on from old it checks that now extends
// it, with the errors of Consistent. Of the log it fetches the tiles on the right edges of the two only.
func OpenReader(ctx context.Context, f Fetcher, old, now Checkpoint) (*Reader, error) {
	done, err := extend(ctx, f, old, now)
	if err != nil {
		return nil, err
	}
	return &Reader{fetch: f, done: done}, nil
}

// Consistent checks, from the log's tiles, that the checkpoint now extends old. The error is nil, ErrRollback, ErrFork,
// ErrTiles, or the Fetcher's: only the first three are about the log.
func Consistent(ctx context.Context, f Fetcher, old, now Checkpoint) error {
	if old == now {
		return nil
	}
	_, err := extend(ctx, f, old, now)
	return err
}

// Size returns how many leaves have been read and authenticated.
func (r *Reader) Size() uint64 { return r.done.End() }

// Read reads the leaves from Size up to now, and hands each to leaf, in order, before it can know that they are
// the log's. They are if it returns nil. On an error of a fetch, of leaf, or ErrTiles, whatever was handed out since the
// call is to be forgotten, and the Reader is where it was. leaf may keep the slice.
//
// From ErrTiles alone nobody knows whether the log forked since the last checkpoint: Consistent tells.
func (r *Reader) Read(ctx context.Context, now Checkpoint, leaf func(index uint64, leaf []byte) error) error {
	switch {
	case now.Size < r.Size():
		return ErrRollback
	case now.Size == r.Size() && now.Root != rootOf(r.done):
		return ErrFork
	case now.Size == r.Size():
		return nil
	}
	next := clone(r.done)
	var levels *levelTiles
	var visit compact.VisitFn
	if r.Tiles {
		levels = &levelTiles{}
		visit = levels.visit
	}
	first := next.End() / TileWidth
	count := (now.Size+TileWidth-1)/TileWidth - first
	bundle := func(ctx context.Context, i uint64) ([][]byte, error) {
		t, _ := tileAt(EntryLevel, first+i, now.Size)
		return fetchEntries(ctx, r.fetch, t)
	}
	at := first * TileWidth
	for leaves, err := range ahead(ctx, count, bundle) {
		if err != nil {
			return err
		}
		for _, l := range leaves {
			if at++; at <= next.End() {
				continue // behind us: the first bundle begins before the end of what was read
			}
			hash := ledger.HashLeaf(l)
			if err := next.Append(hash[:], visit); err != nil {
				return fmt.Errorf("couldn't append leaf %d: %w", at-1, err)
			}
			if err := leaf(at-1, l); err != nil {
				return err
			}
		}
		if levels != nil {
			if err := levels.compareFull(ctx, r.fetch); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if rootOf(next) != now.Root {
		return ErrTiles
	}
	if levels != nil {
		if err := levels.compareRest(ctx, r.fetch); err != nil {
			return err
		}
	}
	r.done = next
	return nil
}

// extend checks that now extends old, and returns the range [0, old.Size).
func extend(ctx context.Context, f Fetcher, old, now Checkpoint) (*compact.Range, error) {
	switch {
	case old.Origin != now.Origin:
		return nil, fmt.Errorf("couldn't compare checkpoints of %q and %q", old.Origin, now.Origin)
	case now.Size < old.Size:
		return nil, ErrRollback
	case now.Size == old.Size && now.Root != old.Root, old.Size == 0 && old.Root != emptyRoot:
		return nil, ErrFork
	}
	h := hashReader{fetch: f, size: now.Size, tiles: make(map[Tile][]byte)}
	done, err := h.rangeOf(ctx, 0, old.Size)
	if err != nil {
		return nil, err
	}
	rest, err := h.rangeOf(ctx, old.Size, now.Size)
	if err != nil {
		return nil, err
	}
	whole := clone(done)
	if err := whole.AppendRange(rest, nil); err != nil {
		return nil, fmt.Errorf("couldn't join ranges: %w", err)
	}
	// The order matters: only tiles that are those of now can show that old isn't part of it.
	if rootOf(whole) != now.Root {
		return nil, ErrTiles
	}
	if rootOf(done) != old.Root {
		return nil, ErrFork
	}
	return done, nil
}

func clone(r *compact.Range) *compact.Range {
	c, err := ranges.NewRange(r.Begin(), r.End(), slices.Clone(r.Hashes()))
	if err != nil {
		panic("checkpoint: a range that isn't one: " + err.Error())
	}
	return c
}

func rootOf(r *compact.Range) ledger.Hash {
	// GetRootHash can only fail for a range that doesn't start at 0.
	h, _ := r.GetRootHash(nil)
	if h == nil {
		return emptyRoot
	}
	return ledger.Hash(h)
}

// hashReader reads hashes of inner nodes from the tiles of a log of some size. They are unverified.
type hashReader struct {
	fetch Fetcher
	size  uint64
	tiles map[Tile][]byte
}

// rangeOf returns the compact range [begin, end).
func (h *hashReader) rangeOf(ctx context.Context, begin, end uint64) (*compact.Range, error) {
	var hashes [][]byte
	for _, id := range compact.RangeNodes(begin, end, nil) {
		hash, err := h.node(ctx, id)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return ranges.NewRange(begin, end, hashes)
}

// node returns the hash of a node all of whose leaves are in the log: the root over 2^height consecutive hashes of a tile.
func (h *hashReader) node(ctx context.Context, id compact.NodeID) ([]byte, error) {
	level, height := int(id.Level/8), id.Level%8
	start := id.Index << height
	t, ok := tileAt(level, start/TileWidth, h.size)
	if !ok {
		return nil, ErrTiles
	}
	data, ok := h.tiles[t]
	if !ok {
		var err error
		if data, err = fetchTile(ctx, h.fetch, t); err != nil {
			return nil, err
		}
		h.tiles[t] = data
	}
	from := int(start%TileWidth) * 32
	return subtree(data[from : from+32<<height]), nil
}

func subtree(hashes []byte) []byte {
	if len(hashes) == 32 {
		return hashes
	}
	half := len(hashes) / 2
	return rfc6962.DefaultHasher.HashChildren(subtree(hashes[:half]), subtree(hashes[half:]))
}

// fetchTile returns the 32·t.Width bytes of a hash tile.
func fetchTile(ctx context.Context, f Fetcher, t Tile) ([]byte, error) {
	data, got, err := fetchOrFull(ctx, f, t)
	if err != nil {
		return nil, err
	}
	if len(data) != 32*got.Width {
		return nil, fmt.Errorf("%s: %w", got.Path(), ErrTiles)
	}
	return data[:32*t.Width], nil
}

// fetchEntries returns the t.Width leaves of an entry bundle.
func fetchEntries(ctx context.Context, f Fetcher, t Tile) ([][]byte, error) {
	data, got, err := fetchOrFull(ctx, f, t)
	if err != nil {
		return nil, err
	}
	leaves, err := ParseEntries(data, got.Width)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", got.Path(), ErrTiles)
	}
	return leaves[:t.Width], nil
}

// fetchOrFull fetches t or, where a partial tile is gone because the log has grown, the full one, and says which it got.
func fetchOrFull(ctx context.Context, f Fetcher, t Tile) (data []byte, got Tile, err error) {
	data, err = f.Fetch(ctx, t.Path())
	if errors.Is(err, fs.ErrNotExist) && t.Width != TileWidth {
		full := t
		full.Width = TileWidth
		if data, err := f.Fetch(ctx, full.Path()); err == nil {
			return data, full, nil
		}
	}
	if err != nil {
		return nil, t, fmt.Errorf("couldn't fetch %s: %w", t.Path(), err)
	}
	return data, t, nil
}

// inFlight is how many bundles Read fetches ahead.
const inFlight = 8

// ahead calls get for 0 … n−1 and yields the answers in that order, running up to inFlight calls at once. It ends early
// when ctx is done.
func ahead[T any](ctx context.Context, n uint64, get func(context.Context, uint64) (T, error)) iter.Seq2[T, error] {
	type answer struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		queue := make(chan chan answer, inFlight)
		go func() {
			defer close(queue)
			for i := range n {
				c := make(chan answer, 1)
				select {
				case queue <- c:
				case <-ctx.Done():
					return
				}
				go func() {
					value, err := get(ctx, i)
					c <- answer{value, err}
				}()
			}
		}()
		for c := range queue {
			if a := <-c; !yield(a.value, a.err) {
				return
			}
		}
	}
}

// levelTiles gathers the hashes that belong in tiles as a range grows, and compares them with what the log serves. A tile
// that was begun before the range grew is compared from there on.
type levelTiles struct {
	open [8]openTile // by level
	full []openTile
}

type openTile struct {
	tile   Tile // Width is how far it is filled
	from   int  // where hashes begin in it
	hashes []byte
}

func (l *levelTiles) visit(id compact.NodeID, hash []byte) {
	if id.Level%8 != 0 {
		return
	}
	o := &l.open[id.Level/8]
	at := int(id.Index % TileWidth)
	if o.hashes == nil {
		*o = openTile{tile: Tile{Level: int(id.Level / 8), Index: id.Index / TileWidth}, from: at}
	}
	o.hashes = append(o.hashes, hash...)
	o.tile.Width = at + 1
	if o.tile.Width == TileWidth {
		l.full = append(l.full, *o)
		*o = openTile{}
	}
}

func (l *levelTiles) compareFull(ctx context.Context, f Fetcher) error {
	for _, o := range l.full {
		if err := o.compare(ctx, f); err != nil {
			return err
		}
	}
	l.full = l.full[:0]
	return nil
}

func (l *levelTiles) compareRest(ctx context.Context, f Fetcher) error {
	for _, o := range l.open {
		if o.hashes == nil {
			continue
		}
		if err := o.compare(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (o *openTile) compare(ctx context.Context, f Fetcher) error {
	data, err := fetchTile(ctx, f, o.tile)
	if err != nil {
		return err
	}
	if !bytes.Equal(data[32*o.from:], o.hashes) {
		return fmt.Errorf("%s: %w", o.tile.Path(), ErrTiles)
	}
	return nil
}
