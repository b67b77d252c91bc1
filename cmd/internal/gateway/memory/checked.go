// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	db "github.com/cockroachdb/pebble/v2"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// Lines gives all that was acknowledged as the provider's check takes it
// (docs/provider-check.md), at one instant: events by year and index, then cohorts,
// as lines without their ends. A line is the caller's until the next one.
func (m *Memory) Lines() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		line := make([]byte, 0, own.MaxLine)
		give := func(line []byte) error {
			if !yield(line[:len(line)-1], nil) {
				return errStopped
			}
			return nil
		}
		err := m.atOnce(func(r rows) error {
			err := m.events(r, func(e *own.Entry) error { return give(own.AppendEntry(line[:0], e)) })
			if err != nil {
				return err
			}
			return m.cohorts(r, func(c *own.Cohort) error { return give(own.AppendCohort(line[:0], c)) })
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

var errStopped = errors.New("no more is wanted")

// Count says how many lines there are.
func (m *Memory) Count() (int, error) {
	if m.shared != nil {
		return m.shared.count()
	}
	n := 0
	for _, letter := range []byte("ehi") {
		if err := scan(m.db, letter, func(_, _ []byte) error { n++; return nil }); err != nil {
			return 0, fmt.Errorf("couldn't count the own records: %w", err)
		}
	}
	return n, nil
}

// Has says whether anything in a year's log was acknowledged.
func (m *Memory) Has(epoch uint32) (bool, error) {
	if m.shared != nil {
		return m.shared.has(epoch)
	}
	for _, letter := range []byte("eh") {
		it, err := m.db.NewIter(&db.IterOptions{LowerBound: yearKey(letter, epoch, 0), UpperBound: yearKey(letter, epoch+1, 0)})
		if err != nil {
			return false, err
		}
		has := it.First()
		if err := it.Close(); has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// Proofs gives the proofs of subjects' keys that KeepProofs was given, nil for the
// others.
func (m *Memory) Proofs(origin string, subjects []ledger.Subject) ([][]byte, error) {
	list := make([][]byte, len(subjects))
	for i, s := range subjects {
		var err error
		if list[i], err = m.get(m.proofKey(origin, s)); err != nil {
			return nil, fmt.Errorf("couldn't read a proof: %w", err)
		}
	}
	return list, nil
}

// KeepProofs keeps them. What a crash takes is asked for again.
func (m *Memory) KeepProofs(origin string, subjects []ledger.Subject, proofs [][]byte) error {
	b := m.db.NewBatch()
	defer b.Close()
	for i, s := range subjects {
		if err := b.Set(m.proofKey(origin, s), proofs[i], nil); err != nil {
			return err
		}
	}
	if err := b.Commit(db.NoSync); err != nil {
		return fmt.Errorf("couldn't keep proofs: %w", err)
	}
	return nil
}

func (m *Memory) proofKey(origin string, s ledger.Subject) []byte {
	handle := m.keys.handle("memory-subject", string(s), origin)
	return append([]byte{'v'}, handle[:]...)
}

// Check is what the last comparison of the memory with a year's log came to. It
// names nobody.
type Check struct {
	Origin   string           `json:"origin"`
	At       time.Time        `json:"at"`    // when it began
	Until    time.Time        `json:"until"` // the instant of the head up to which it compared
	Head     uint64           `json:"head"`
	Size     uint64           `json:"size"` // of the log
	Entries  uint64           `json:"entries"`
	Subjects uint64           `json:"subjects"`
	Cohorts  uint64           `json:"cohorts"` // records of aggregates
	Pending  uint64           `json:"pending"` // entries and cohorts after the head
	Found    int              `json:"found"`   // problems
	Problems []ledger.Problem `json:"problems"`
	Index    *uint64          `json:"record_index,omitempty"` // of the statement in the log
	Note     string           `json:"note,omitempty"`         // why it isn't recorded, though nothing was found
}

// Whole says whether the log was checked to its end and that is recorded. Only a
// log that has ended has its last head as its last leaf for good.
func (c *Check) Whole() bool { return c.Found == 0 && c.Index != nil && c.Head+1 == c.Size }

// Checked notes a check in place of the one of that log before it.
func (m *Memory) Checked(c *Check) error {
	_, epoch, err := ledger.ParseOrigin(c.Origin)
	if err != nil {
		return err
	}
	key := binary.BigEndian.AppendUint32([]byte{'k'}, epoch)
	data, err := json.Marshal(c)
	switch {
	case err != nil:
	case m.shared != nil:
		return m.shared.checked(key, data)
	default:
		err = m.db.Set(key, data, db.Sync)
	}
	if err != nil {
		return fmt.Errorf("couldn't note a check: %w", err)
	}
	return nil
}

// Checks are the last ones of each year, by year.
func (m *Memory) Checks() ([]Check, error) {
	var list []Check
	err := m.rows('k', func(_, value []byte) error {
		var c Check
		if err := json.Unmarshal(value, &c); err != nil {
			return errDamaged
		}
		list = append(list, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't read the checks: %w", err)
	}
	return list, nil
}
