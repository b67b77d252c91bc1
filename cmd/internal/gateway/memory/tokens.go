// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"encoding/binary"
	"fmt"
	"time"

	db "github.com/cockroachdb/pebble/v2"
)

// Seen notes a token that may be used once, and says whether it was noted before. It
// is remembered until that instant, after which the caller refuses it for its age. A
// token that is new is on disk once Begin, Spool or Sync has returned after this: so
// before anything is released, and without a wait of its own.
func (m *Memory) Seen(kind, jti string, until time.Time) (bool, error) {
	handle := m.keys.handle("memory-token", kind, jti)
	end := max(until.UnixMilli(), m.now().UnixMilli()) + 1
	if m.shared != nil {
		return m.shared.seen(handle, time.UnixMilli(end))
	}
	b := m.db.NewBatch()
	defer b.Close()
	seen, err := m.noteToken(b, handle, uint64(end))
	if err != nil {
		return false, fmt.Errorf("couldn't note a token: %w", err)
	}
	return seen, nil
}

// Sync returns when all that was noted before is on disk.
func (m *Memory) Sync() error {
	if m.shared != nil {
		return nil // it is since Seen returned
	}
	if err := m.db.LogData(nil, db.Sync); err != nil {
		return fmt.Errorf("couldn't note a token: %w", err)
	}
	return nil
}

func (m *Memory) noteToken(b *db.Batch, handle [32]byte, end uint64) (seen bool, err error) {
	m.tokens.Lock()
	defer m.tokens.Unlock()
	key := append([]byte{'t'}, handle[:]...)
	old, err := m.get(key)
	if err != nil || old != nil {
		return old != nil, err
	}
	value := binary.BigEndian.AppendUint64(nil, end)
	if err := b.Set(key, value, nil); err != nil {
		return false, err
	}
	if err := b.Set(append(append([]byte{'x'}, value...), handle[:]...), nil, nil); err != nil {
		return false, err
	}
	return false, b.Commit(db.NoSync)
}

// Sweep forgets the tokens that are over; where instances share them, since the hour
// before.
func (m *Memory) Sweep() error {
	if m.shared != nil {
		return m.shared.sweep()
	}
	m.tokens.Lock()
	defer m.tokens.Unlock()
	b := m.db.NewBatch()
	defer b.Close()
	it, err := m.db.NewIter(&db.IterOptions{LowerBound: []byte{'x'}, UpperBound: append([]byte{'x'}, m.instant()...)})
	if err != nil {
		return fmt.Errorf("couldn't forget tokens: %w", err)
	}
	const atOnce = 1 << 16 // of some 80 bytes
	for it.First(); it.Valid() && err == nil && b.Count() < atOnce; it.Next() {
		key := it.Key()
		if err = b.Delete(key, nil); err == nil {
			err = b.Delete(append([]byte{'t'}, key[9:]...), nil)
		}
	}
	if closed := it.Close(); err == nil {
		err = closed
	}
	if err == nil && !b.Empty() {
		err = b.Commit(db.NoSync) // what a crash brings back is swept again
	}
	if err != nil {
		return fmt.Errorf("couldn't forget tokens: %w", err)
	}
	return nil
}
