// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// headRows compares the rows of heads with the heads of the log: each names the one before it.
func (s *shard) headRows(ctx context.Context) error {
	heads, next := s.log.replay.Heads, 0
	missing := func() {
		s.report.problem(CodeMissing, at(store.TableHead, heads[next].Leaf), "the row of this head", "none")
		next++
	}
	prefix := binary.BigEndian.AppendUint32(nil, s.epoch)
	err := s.Rows.Scan(ctx, store.TableHead, prefix, store.After(prefix), 0, func(key, value []byte) error {
		_, index, err := rows.ParseLeafKey(key)
		before, wrong := rows.ParseCounter(value, 8)
		if err != nil || wrong != nil {
			s.report.problem(CodeMalformed, store.TableHead.String(), "keys of 12 and rows of 8 bytes", fmt.Sprintf("%d and %d", len(key), len(value)))
			return nil
		}
		for next < len(heads) && heads[next].Leaf < index {
			missing()
		}
		if next == len(heads) || heads[next].Leaf != index {
			s.report.problem(CodeUnexpected, at(store.TableHead, index), "a head at this index", "another leaf or none")
			return nil
		}
		want := uint64(0)
		if next > 0 {
			want = heads[next-1].Leaf
		}
		if before != want {
			s.report.problem(CodeMismatch, at(store.TableHead, index), fmt.Sprintf("the head before, %d", want), fmt.Sprint(before))
		}
		next++
		return nil
	})
	for err == nil && next < len(heads) {
		missing()
	}
	return err
}

type lookUpKey [16]byte // of a look-up's row, without epoch

// lookUps checks the rows of look-ups.
type lookUps struct {
	rows map[lookUpKey]uint64 // index of the event; those that an event was found for are taken out
	at   map[uint64]lookUpKey
}

func (s *shard) readLookUps(ctx context.Context) error {
	l := &s.events.lookUps
	l.rows, l.at = map[lookUpKey]uint64{}, map[uint64]lookUpKey{}
	prefix := binary.BigEndian.AppendUint32(nil, s.epoch)
	return s.Rows.Scan(ctx, store.TableLookUp, prefix, store.After(prefix), 0, func(key, value []byte) error {
		index, err := rows.ParseCounter(value, 8)
		if err != nil || len(key) != 20 || value == nil {
			s.report.problem(CodeMalformed, store.TableLookUp.String(), "keys of 20 and rows of 8 bytes", fmt.Sprintf("%d and %d", len(key), len(value)))
			return nil
		}
		k := lookUpKey(key[4:])
		l.rows[k], l.at[index] = index, k
		return nil
	})
}

// lookUp takes out the row of one event. That of an erased one can only be told by its index.
func (s *shard) lookUp(e *event) {
	l := &s.events.lookUps
	if e.lookUp == nil {
		if k, ok := l.at[e.index]; ok && e.state == erased {
			delete(l.rows, k)
		}
		return
	}
	index, ok := l.rows[*e.lookUp]
	switch {
	case !ok:
		s.report.problem(CodeMissing, at(store.TableLookUp, e.index), "the row of this look-up", "none")
	case index != e.index:
		s.report.problem(CodeMismatch, at(store.TableLookUp, e.index), fmt.Sprint(e.index), fmt.Sprint(index))
	}
	delete(l.rows, *e.lookUp)
}

func (s *shard) endLookUps() {
	for _, index := range s.events.lookUps.rows {
		s.report.problem(CodeUnexpected, at(store.TableLookUp, index), "a look-up at this index", "another event or none")
	}
}
