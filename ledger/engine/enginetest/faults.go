// SPDX-License-Identifier: EUPL-1.2

package enginetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

// faulty is a store whose next commits fail as told.
type faulty struct {
	store.Store
	fail  error // returned by Commit when not nil
	after bool  // once the commit is done
	calls int
}

func (f *faulty) Commit(ctx context.Context, expect, write []store.Row) error {
	f.calls++
	if f.fail == nil || f.after {
		if err := f.Store.Commit(ctx, expect, write); err != nil {
			return err
		}
	}
	return f.fail
}

var errDisk = errors.New("no space left on device")

// testUncertain fails a commit that is not persisted, and one that is. The
// shard can't tell, so it stops; opened again, it is where the store is.
func testUncertain(t *testing.T, f storetest.Factory) {
	st := openStore(t, f)
	broken := &faulty{Store: st}
	e := newEngine(t, broken)
	s := newShard(t, e)
	all := leaves(0, 300)
	mustAppend(t, s, all)
	for _, persisted := range []bool{false, true, true, false} {
		before := s.Root()
		next := uint64(len(all))
		batch := leaves(next, next+10)
		broken.fail, broken.after = errDisk, persisted
		_, err := s.Append(t.Context(), batch, nil)
		if !errors.Is(err, engine.ErrUncertain) || !errors.Is(err, errDisk) {
			t.Fatalf("persisted %v: Append = %v", persisted, err)
		}
		broken.fail = nil
		// The disk is well again; the shard still doesn't know, and doesn't try.
		calls := broken.calls
		for _, leaves := range [][][]byte{batch, nil} {
			if _, err := s.Append(t.Context(), leaves, nil); !errors.Is(err, engine.ErrUncertain) || !errors.Is(err, errDisk) {
				t.Fatalf("persisted %v: a stopped shard answered %v", persisted, err)
			}
		}
		if broken.calls != calls {
			t.Errorf("persisted %v: a stopped shard committed", persisted)
		}
		// It proves what it knew, and no more.
		if s.Root() != before {
			t.Errorf("persisted %v: the root changed", persisted)
		}
		checkSomeProofs(t, s, all)
		if _, err := s.Inclusion(t.Context(), before.Size, before.Size+1); !errors.Is(err, engine.ErrRange) {
			t.Errorf("persisted %v: it proved what it doesn't know: %v", persisted, err)
		}
		if persisted {
			all = append(all, batch...)
		}
		if s, err = e.OpenShard(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
		checkLog(t, s, all)
		more := leaves(uint64(len(all)), uint64(len(all))+3)
		mustAppend(t, s, more)
		all = append(all, more...)
		checkLog(t, s, all)
	}
	// The end of the caller's context doesn't make a commit uncertain.
	ctx, cancel := context.WithCancel(t.Context())
	cancelling := &cancelling{Store: st, cancel: cancel}
	s, err := newEngine(t, cancelling).OpenShard(t.Context(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(ctx, leaves(9000, 9001), nil); err != nil {
		t.Errorf("a context that ended during the commit: %v", err)
	}
}

// cancelling ends the caller's context when the commit begins.
type cancelling struct {
	store.Store
	cancel context.CancelFunc
}

func (c *cancelling) Commit(ctx context.Context, expect, write []store.Row) error {
	c.cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.Store.Commit(ctx, expect, write)
}

// testDamage changes rows behind the engine's back: opening, or the proof that
// stands on them, says so.
func testDamage(t *testing.T, f storetest.Factory) {
	st := openStore(t, f)
	all := leaves(0, 700)
	s := newShard(t, newEngine(t, st))
	mustAppend(t, s, all)
	key := func(suffix ...byte) []byte { return append(be(epoch), suffix...) }
	leafKey := func(i uint64) []byte { return key(be(i)...) }
	tileKey := func(level byte, i uint64) []byte { return append(key(level), be(i)...) }
	get := func(table store.Table, key []byte) []byte {
		t.Helper()
		snap, err := st.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Close()
		value, err := snap.Get(t.Context(), table, key)
		if err != nil || value == nil {
			t.Fatalf("reading a row: %x, %v", value, err)
		}
		return value
	}
	flip := func(value []byte, at int) []byte {
		changed := bytes.Clone(value)
		changed[at] ^= 1
		return changed
	}
	root, treeRow := get(store.TableRoot, key()), get(store.TableTree, key())
	lastTile := get(store.TableTile, tileKey(0, 2))
	upper := get(store.TableTile, tileKey(1, 0))
	lastLeaf := get(store.TableLeaf, leafKey(699))
	oldLeaf := get(store.TableLeaf, leafKey(3))
	oldTile := get(store.TableTile, tileKey(0, 0))
	for _, test := range []struct {
		name  string
		row   store.Row
		opens bool // and then fails where it is read
	}{
		{"no root", store.Row{Table: store.TableRoot, Key: key()}, false},
		{"half a root", store.Row{Table: store.TableRoot, Key: key(), Value: root[:20]}, false},
		{"another root hash", store.Row{Table: store.TableRoot, Key: key(), Value: flip(root, 20)}, false},
		{"a smaller root", store.Row{Table: store.TableRoot, Key: key(), Value: withSize(root, 699)}, false},
		{"a bigger root", store.Row{Table: store.TableRoot, Key: key(), Value: withSize(root, 701)}, false},
		{"no tree", store.Row{Table: store.TableTree, Key: key(), Value: []byte{0xff}}, false},
		{"no last tile", store.Row{Table: store.TableTile, Key: tileKey(0, 2)}, false},
		{"an empty last tile", store.Row{Table: store.TableTile, Key: tileKey(0, 2), Value: []byte{}}, false},
		{"a short last tile", store.Row{Table: store.TableTile, Key: tileKey(0, 2), Value: lastTile[:len(lastTile)-32]}, false},
		{"a torn last tile", store.Row{Table: store.TableTile, Key: tileKey(0, 2), Value: lastTile[:len(lastTile)-1]}, false},
		{"a changed last tile", store.Row{Table: store.TableTile, Key: tileKey(0, 2), Value: flip(lastTile, 5)}, false},
		{"a changed upper tile", store.Row{Table: store.TableTile, Key: tileKey(1, 0), Value: flip(upper, 5)}, false},
		{"no last leaf", store.Row{Table: store.TableLeaf, Key: leafKey(699)}, false},
		{"a changed last leaf", store.Row{Table: store.TableLeaf, Key: leafKey(699), Value: flip(lastLeaf, 9)}, false},
		{"a leaf of another kind", store.Row{Table: store.TableLeaf, Key: leafKey(699), Value: append([]byte{7}, lastLeaf...)}, false},
		{"a leaf beyond the root", store.Row{Table: store.TableLeaf, Key: leafKey(700), Value: lastLeaf}, false},
		{"an old leaf missing", store.Row{Table: store.TableLeaf, Key: leafKey(3)}, true},
		{"an old leaf of another kind", store.Row{Table: store.TableLeaf, Key: leafKey(3), Value: []byte{}}, true},
		{"an old tile missing", store.Row{Table: store.TableTile, Key: tileKey(0, 0)}, true},
		{"an old tile torn", store.Row{Table: store.TableTile, Key: tileKey(0, 0), Value: oldTile[:100]}, true},
	} {
		if err := st.Commit(t.Context(), nil, []store.Row{test.row}); err != nil {
			t.Fatal(err)
		}
		s, err := newEngine(t, st).OpenShard(t.Context(), epoch)
		if err == nil && test.opens {
			_, leavesErr := s.Leaves(t.Context(), 0, 100)
			_, proofErr := s.Inclusion(t.Context(), 5, 700)
			_, entriesErr := s.Entries(t.Context(), 0, 256)
			_, tileErr := s.Tile(t.Context(), 0, 0, 256)
			err = errors.Join(leavesErr, proofErr, entriesErr, tileErr)
		} else if err == nil {
			t.Errorf("%s: opened", test.name)
		}
		if !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err := st.Commit(t.Context(), nil, []store.Row{
			{Table: store.TableTree, Key: key(), Value: treeRow},
			{Table: store.TableRoot, Key: key(), Value: root},
			{Table: store.TableTile, Key: tileKey(0, 2), Value: lastTile},
			{Table: store.TableTile, Key: tileKey(1, 0), Value: upper},
			{Table: store.TableTile, Key: tileKey(0, 0), Value: oldTile},
			{Table: store.TableLeaf, Key: leafKey(699), Value: lastLeaf},
			{Table: store.TableLeaf, Key: leafKey(3), Value: oldLeaf},
			{Table: store.TableLeaf, Key: leafKey(700)},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// withSize changes the size in a root row: u16 version ‖ u64 size ‖ ….
func withSize(root []byte, size uint64) []byte {
	changed := slices.Clone(root)
	binary.BigEndian.PutUint64(changed[2:], size)
	return changed
}
