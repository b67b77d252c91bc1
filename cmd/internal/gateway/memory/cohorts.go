// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"encoding/binary"
	"errors"
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
	if err == nil {
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
	if err == nil {
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
	b := m.db.NewBatch()
	defer b.Close()
	m.mu.Lock()
	err := m.checkpoint(b, at)
	if err == nil {
		err = m.cohort(b, &c)
	}
	if err == nil {
		err = m.db.ApplyNoSyncWait(b, db.Sync)
	}
	m.mu.Unlock()
	var problem *ledger.Problem
	switch {
	case errors.As(err, &problem):
		return problem
	case err == nil:
		err = m.wait(b)
	}
	if err != nil {
		return fmt.Errorf("couldn't remember an aggregate: %w", err)
	}
	return nil
}

// cohort adds the row of an aggregate's record.
func (m *Memory) cohort(b *db.Batch, c *own.Cohort) error {
	_, epoch, err := ledger.ParseOrigin(c.Origin)
	if err != nil {
		return err
	}
	id, err := parseJTI(jtiOf(c.ID))
	if err != nil {
		return err
	}
	event, err := m.get(yearKey('e', epoch, c.Index))
	if err != nil {
		return err
	}
	key, value := yearKey('h', epoch, c.Index), append(append([]byte{}, c.Leaf[:]...), id[:]...)
	old, err := m.get(key)
	switch {
	case err != nil:
		return err
	case event != nil || old != nil && !bytes.HasPrefix(old, value):
		return indexAgain(c.Index)
	case old == nil:
		err = b.Set(key, append(value, m.instant()...), nil)
	}
	if err == nil {
		err = b.Delete(askedKey(id), nil)
	}
	return err
}

// cohorts hands out what Lines gives of aggregates.
func (m *Memory) cohorts(r db.Reader, each func(*own.Cohort) error) error {
	err := scan(r, 'h', func(key, value []byte) error {
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
	return scan(r, 'i', func(key, value []byte) error {
		if len(key) != 1+16 || len(value) != 8 {
			return errDamaged
		}
		return each(&own.Cohort{ID: m.keys.scope + "/" + formatJTI([16]byte(key[1:])), At: int64(binary.BigEndian.Uint64(value))})
	})
}
