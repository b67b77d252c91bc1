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

// Lines gives what Records does as lines without their ends: for provider.Check.
func (m *Memory) Lines() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		line := make([]byte, 0, own.MaxLine)
		err := m.Records(func(e *own.Entry) error {
			line = own.AppendEntry(line[:0], e)
			if !yield(line[:len(line)-1], nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

var errStopped = errors.New("no more is wanted")

// Count says how many events were acknowledged.
func (m *Memory) Count() (int, error) {
	n := 0
	err := scan(m.db, 'e', func(_, _ []byte) error { n++; return nil })
	return n, err
}

// Has says whether any event of a year's log was acknowledged.
func (m *Memory) Has(epoch uint32) (bool, error) {
	from := binary.BigEndian.AppendUint32([]byte{'e'}, epoch)
	it, err := m.db.NewIter(&db.IterOptions{LowerBound: from, UpperBound: binary.BigEndian.AppendUint32([]byte{'e'}, epoch+1)})
	if err != nil {
		return false, err
	}
	has := it.First()
	return has, it.Close()
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
	Pending  uint64           `json:"pending"` // entries after the head
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
	data, err := json.Marshal(c)
	if err == nil {
		err = m.db.Set(binary.BigEndian.AppendUint32([]byte{'k'}, epoch), data, db.Sync)
	}
	if err != nil {
		return fmt.Errorf("couldn't note a check: %w", err)
	}
	return nil
}

// Checks are the last ones of each year, by year.
func (m *Memory) Checks() ([]Check, error) {
	var list []Check
	err := scan(m.db, 'k', func(_, value []byte) error {
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
