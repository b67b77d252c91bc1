// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/google/trillian"
	"github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/types"
	"github.com/transparency-dev/merkle/compact"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Shard is the log of one epoch. Append is for one goroutine at a time, and
// others wait; the rest may be called at any time by anybody.
type Shard struct {
	engine *Engine
	tree   *trillian.Tree

	mu      sync.Mutex // held by Append
	stopped error      // why no more is appended; guarded by mu

	state atomic.Pointer[state]
}

// state is what the last durable commit of this shard left. It never changes.
type state struct {
	root   Root
	nanos  uint64  // Trillian's time of the root
	logRow []byte  // the root row, which the next commit expects
	edge   []*tile // by level, the tile that the next node goes to; nil when it starts empty
}

// Root returns the root of the last durable commit made or opened here. Others
// may have appended since.
func (s *Shard) Root() Root { return s.state.Load().root }

// edgeTile returns the tile if it is at the right edge.
func (st *state) edgeTile(id tileID) *tile {
	if id.level >= uint(len(st.edge)) || st.edgeIndex(id.level) != id.index {
		return nil
	}
	return st.edge[id.level]
}

// edgeIndex returns the index of the tile that the next node of a level goes
// to. A level is in edge when the log has a node on it.
func (st *state) edgeIndex(level uint) uint64 {
	return st.root.Size >> (tileHeight * (level + 1))
}

// load reads the state from the store and checks it.
func (s *Shard) load(ctx context.Context, r store.Reader) (*state, error) {
	id := s.tree.TreeId
	row, err := r.Get(ctx, store.TableRoot, logKey(id))
	if err != nil {
		return nil, err
	}
	st, err := parseState(row)
	if err != nil {
		return nil, err
	}
	var wanted []tileID
	for level := uint(0); st.root.Size>>(tileHeight*level) > 0; level++ {
		st.edge = append(st.edge, nil)
		if st.root.Size>>(tileHeight*level)%tileWidth > 0 {
			wanted = append(wanted, tileID{id, level, st.edgeIndex(level)})
		}
	}
	tiles, err := loadTiles(ctx, r, wanted)
	if err != nil {
		return nil, err
	}
	for i, t := range tiles {
		level := wanted[i].level
		// Every commit writes root and tiles together: they are as wide as the
		// root says, or something else wrote them.
		if uint64(t.width()) != st.root.Size>>(tileHeight*level)%tileWidth {
			return nil, damagedTile(wanted[i])
		}
		st.edge[level] = t
	}
	if st.root.Size == 0 {
		return st, nil
	}
	hash, err := s.rootAt(ctx, st, st.root.Size)
	if err != nil {
		return nil, err
	}
	if hash != st.root.Hash {
		return nil, fmt.Errorf("%w: the tiles of log %d don't give its root of size %d", store.ErrDamaged, id, st.root.Size)
	}
	return st, s.checkEnd(ctx, r, st)
}

// checkEnd checks that the last leaf is what the tree says and no leaf follows.
func (s *Shard) checkEnd(ctx context.Context, r store.Reader, st *state) error {
	id, last := s.tree.TreeId, st.root.Size-1
	rows, err := r.GetMany(ctx, store.TableLeaf, [][]byte{leafKey(id, last), leafKey(id, last+1)})
	if err != nil {
		return err
	}
	leaf, err := leafRow(last, rows[0])
	if err != nil {
		return err
	}
	want, err := s.engine.nodes(ctx, id, []compact.NodeID{compact.NewNodeID(0, last)}, st.edgeTile,
		func() (store.Reader, error) { return r, nil })
	if err != nil {
		return err
	}
	if got := ledger.HashLeaf(leaf); !bytes.Equal(got[:], want[0]) {
		return fmt.Errorf("%w: leaf %d of log %d isn't what its tile says", store.ErrDamaged, last, id)
	}
	if rows[1] != nil {
		return fmt.Errorf("%w: log %d has a leaf beyond its root of size %d", store.ErrDamaged, id, st.root.Size)
	}
	return nil
}

func parseState(row []byte) (*state, error) {
	var root types.LogRootV1
	if err := root.UnmarshalBinary(row); err != nil || len(root.RootHash) != hashSize || root.TreeSize > math.MaxInt64 {
		return nil, fmt.Errorf("%w: the root of a log", store.ErrDamaged)
	}
	return &state{
		root:   Root{Size: root.TreeSize, Hash: ledger.Hash(root.RootHash)},
		nanos:  root.TimestampNanos,
		logRow: row,
	}, nil
}

// Append adds leaves of 1 to ledger.MaxLeaf bytes at the end of the log and
// writes rows of the tables above the engine's, all in one durable commit, and
// returns the new root. Without leaves it writes the rows alone, on the same
// condition: that nobody else appended.
//
// An error wrapping store.ErrConflict means that somebody else did: nothing was
// written, and the shard must be opened again to go on. After another error of
// the commit the outcome is unknown: that call and all later ones return an
// error wrapping ErrUncertain. Other errors mean that nothing was tried.
//
// The end of ctx is no reason to abandon a commit under way.
func (s *Shard) Append(ctx context.Context, leaves [][]byte, rows []store.Row) (Root, error) {
	for i, leaf := range leaves {
		if len(leaf) == 0 || len(leaf) > ledger.MaxLeaf {
			return Root{}, fmt.Errorf("%w: leaf %d of the batch has %d bytes", ErrRange, i, len(leaf))
		}
	}
	for _, row := range rows {
		if row.Table < store.TableBody {
			return Root{}, fmt.Errorf("engine: the table %s is the engine's own", row.Table)
		}
		if err := row.Check(); err != nil {
			return Root{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != nil {
		return Root{}, s.stopped
	}
	if err := ctx.Err(); err != nil {
		return Root{}, err
	}
	ctx = context.WithoutCancel(ctx)
	batch := &fusedBatch{shard: s, before: s.state.Load(), leaves: leaves, rows: rows}
	_, err := log.IntegrateBatch(ctx, s.tree, len(leaves), 0, 0, s.engine.clock, batch, quota.Noop())
	switch {
	case batch.commitErr == nil && err != nil:
		return Root{}, fmt.Errorf("couldn't integrate the batch: %w", err)
	case errors.Is(batch.commitErr, store.ErrConflict):
		return Root{}, fmt.Errorf("couldn't append, another sequencer did: %w", batch.commitErr)
	case batch.commitErr != nil:
		s.stopped = fmt.Errorf("%w: %w", ErrUncertain, batch.commitErr)
		return Root{}, s.stopped
	}
	s.publish(batch)
	return batch.after.root, nil
}

// publish shows a committed batch to readers. Full tiles go to the cache; those
// at the edge are in the state.
func (s *Shard) publish(batch *fusedBatch) {
	for id, t := range batch.tiles {
		if t.width() == tileWidth {
			s.engine.cache.Add(id, t)
		}
	}
	s.state.Store(batch.after)
}
