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

func (s *shard) readLookUps(ctx context.Context) error {
	prefix := binary.BigEndian.AppendUint32(nil, s.epoch)
	return s.Rows.Scan(ctx, store.TableLookUp, prefix, store.After(prefix), 0, func(key, value []byte) error {
		index, err := rows.ParseCounter(value, 8)
		if err != nil || len(key) != 20 || value == nil {
			s.report.problem(CodeMalformed, store.TableLookUp.String(), "keys of 20 and rows of 8 bytes", fmt.Sprintf("%d and %d", len(key), len(value)))
			return nil
		}
		s.events.lookUps.add(lookUpKey(key[4:]), index)
		return nil
	})
}

// eventRows checks rows of which each leads to one event of the log.
type eventRows[K comparable] struct {
	rows map[K]uint64 // index of the event; those that an event was found for are taken out
	at   map[uint64]K
}

func (r *eventRows[K]) add(key K, index uint64) {
	if r.rows == nil {
		r.rows, r.at = map[K]uint64{}, map[uint64]K{}
	}
	r.rows[key], r.at[index] = index, key
}

// take takes out the row of one event, nil for one that has none. That of an erased one can only be told by its index.
func (r *eventRows[K]) take(report *Report, table store.Table, key *K, e *event, expected string) {
	if key == nil {
		if k, ok := r.at[e.index]; ok && e.state == erased {
			delete(r.rows, k)
		}
		return
	}
	index, ok := r.rows[*key]
	switch {
	case !ok:
		report.problem(CodeMissing, at(table, e.index), expected, "none")
	case index != e.index:
		report.problem(CodeMismatch, at(table, e.index), fmt.Sprint(e.index), fmt.Sprint(index))
	}
	delete(r.rows, *key)
}

// end reports the rows that are left.
func (r *eventRows[K]) end(report *Report, table store.Table, expected string) {
	for _, index := range r.rows {
		report.problem(CodeUnexpected, at(table, index), expected, "another event or none")
	}
}
