// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"encoding/binary"
	"fmt"

	db "github.com/cockroachdb/pebble/v2"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/own"
)

func askedKey(id [16]byte) []byte { return append([]byte{'i'}, id[:]...) }

// AskCohort notes that the ledger is asked to record an aggregate, under its
// statement's jti. It is on disk when this returns. Then follows AcknowledgeCohort
// or DropCohort. One without an answer isn't sent again, or the log would say of an
// aggregate that nobody was given that somebody was; the note stays, so that a
// record of it isn't taken for another's.
func (m *Memory) AskCohort(jti string) error {
	id, err := parseJTI(jti)
	switch {
	case err != nil:
	case m.shared != nil:
		return m.shared.ask(id, m.instant())
	default:
		err = m.db.Set(askedKey(id), m.instant(), db.Sync)
	}
	if err != nil {
		return fmt.Errorf("couldn't note an aggregate: %w", err)
	}
	return nil
}

// DropCohort forgets an aggregate that the ledger refused.
func (m *Memory) DropCohort(jti string) error {
	id, err := parseJTI(jti)
	switch {
	case err != nil:
	case m.shared != nil:
		return m.shared.dropAsked(id)
	default:
		err = m.db.Delete(askedKey(id), db.Sync)
	}
	if err != nil {
		return fmt.Errorf("couldn't forget an aggregate: %w", err)
	}
	return nil
}

// AcknowledgeCohort notes what the ledger answered of an aggregate: its checkpoint
// and where the record stands, which the caller has proven; At is the memory's. It
// is on disk when this returns; a *ledger.Problem says that the answer contradicts
// an earlier one, and then nothing was noted. The same answer again changes nothing.
func (m *Memory) AcknowledgeCohort(at checkpoint.Checkpoint, c own.Cohort) error {
	a := answered{rows: make([]row, 1)}
	var err error
	if a.checkpoint, err = m.checkpointRow(at); err == nil {
		a.asked, a.rows[0], err = m.cohortRow(&c)
	}
	if err != nil {
		return fmt.Errorf("couldn't remember an aggregate: %w", err)
	}
	return m.acknowledge(&a)
}

// cohortRow is the row of an aggregate's record, and the jti that it was asked under.
func (m *Memory) cohortRow(c *own.Cohort) (id [16]byte, r row, err error) {
	_, epoch, err := ledger.ParseOrigin(c.Origin)
	if err == nil {
		id, err = parseJTI(jtiOf(c.ID))
	}
	r = row{key: yearKey('h', epoch, c.Index), head: append(bytes.Clone(c.Leaf[:]), id[:]...), index: c.Index}
	r.value = append(bytes.Clone(r.head), m.instant()...)
	return id, r, err
}

// cohorts hands out what Lines gives of aggregates.
func (m *Memory) cohorts(scan rows, each func(*own.Cohort) error) error {
	err := scan('h', func(key, value []byte) error {
		if len(key) != 1+4+8 || len(value) != 32+16+8 {
			return errDamaged
		}
		return each(&own.Cohort{
			ID: m.keys.scope + "/" + formatJTI([16]byte(value[32:48])), Origin: ledger.Origin(m.keys.ledger, binary.BigEndian.Uint32(key[1:])),
			Index: binary.BigEndian.Uint64(key[5:]), Leaf: ledger.Hash(value[:32]), At: int64(binary.BigEndian.Uint64(value[48:])),
		})
	})
	if err != nil {
		return err
	}
	return scan('i', func(key, value []byte) error {
		if len(key) != 1+16 || len(value) != 8 {
			return errDamaged
		}
		return each(&own.Cohort{ID: m.keys.scope + "/" + formatJTI([16]byte(key[1:])), At: int64(binary.BigEndian.Uint64(value))})
	})
}
