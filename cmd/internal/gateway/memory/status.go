// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	db "github.com/cockroachdb/pebble/v2"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// Status says what an operator has to know.
type Status struct {
	// Unsettled counts submissions whose outcome isn't known, calls under way among
	// them.
	Unsettled int
	// Missing counts numbers that the ledger left out and that no call under way
	// can be answered with any more: an alarm. A submission that is unsettled is
	// under way.
	Missing uint64
	// Spooled counts receipts of break-glass that wait to be recorded; Lacking those
	// that the ledger refused, or that are gone: an alarm.
	Spooled, Lacking int
	BreakGlass       bool // a session is open
	// Elsewhere counts those of Unsettled that other instances have for longer than a
	// call waits for the ledger.
	Elsewhere int
	// Waiting is since when the oldest checkpoint waits to be seen witnessed; zero
	// if none does.
	Waiting time.Time
}

// Status returns it.
func (m *Memory) Status() (Status, error) {
	if m.shared != nil {
		s, err := m.shared.state()
		m.mu.Lock()
		m.spooledStatus(&s)
		m.mu.Unlock()
		return s, err
	}
	s := m.numbers()
	list, err := m.Unwitnessed()
	for _, a := range list {
		if s.Waiting.IsZero() || a.At.Before(s.Waiting) {
			s.Waiting = a.At
		}
	}
	return s, err
}

func (m *Memory) numbers() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	oldest := uint64(math.MaxUint64)
	var s Status
	for p := range m.open {
		oldest = min(oldest, p.ticket)
		if p.session == nil {
			s.Unsettled++
		}
	}
	m.spooledStatus(&s)
	for _, list := range m.gaps {
		for _, g := range list {
			if g.ticket < oldest {
				s.Missing += uint64(g.to-g.from) + 1
			}
		}
	}
	return s
}

// IsEldest says whether this instance does what one does for all: it is so of a
// gateway alone. For a moment none or two may be.
func (m *Memory) IsEldest() bool {
	if m.shared == nil {
		return true
	}
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	return m.shared.eldest
}

// Acknowledged is a checkpoint that an answer came with.
type Acknowledged struct {
	checkpoint.Checkpoint
	At time.Time
}

// Unwitnessed returns the checkpoints that Witnessed hasn't been called for, by
// year and size.
func (m *Memory) Unwitnessed() ([]Acknowledged, error) {
	var list []Acknowledged
	err := m.rows('c', func(key, value []byte) error {
		if len(key) != 1+4+8 || len(value) != 32+8 {
			return errDamaged
		}
		list = append(list, Acknowledged{checkpoint.Checkpoint{
			Origin: ledger.Origin(m.keys.ledger, binary.BigEndian.Uint32(key[1:])), Size: binary.BigEndian.Uint64(key[5:]), Root: ledger.Hash(value[:32]),
		}, instantOf(value[32:])})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't read the acknowledged checkpoints: %w", err)
	}
	return list, nil
}

// Witnessed forgets a checkpoint that enough witnesses have seen, or a later one
// that contains it.
func (m *Memory) Witnessed(c checkpoint.Checkpoint) error {
	_, epoch, err := ledger.ParseOrigin(c.Origin)
	switch {
	case err != nil:
	case m.shared != nil:
		return m.shared.witnessed(yearKey('c', epoch, c.Size))
	default:
		err = m.db.Delete(yearKey('c', epoch, c.Size), db.NoSync) // after a crash it is found witnessed again
	}
	if err != nil {
		return fmt.Errorf("couldn't forget a checkpoint: %w", err)
	}
	return nil
}

// Records hands out every event that was acknowledged, by year and index. It shows
// one instant, whatever is added meanwhile. The entry is the callback's until it
// returns.
func (m *Memory) Records(each func(*own.Entry) error) error {
	return m.atOnce(func(r rows) error { return m.events(r, each) })
}

// atOnce has rows read as they are at one instant.
func (m *Memory) atOnce(read func(rows) error) (err error) {
	if m.shared != nil {
		err = m.shared.atOnce(read)
	} else {
		snapshot := m.db.NewSnapshot()
		err = errors.Join(read(func(letter byte, row func(key, value []byte) error) error { return scan(snapshot, letter, row) }), snapshot.Close())
	}
	if err != nil {
		return fmt.Errorf("couldn't read the own records: %w", err)
	}
	return nil
}

// rows calls back for the rows of a letter, as they are now.
func (m *Memory) rows(letter byte, row func(key, value []byte) error) error {
	if m.shared != nil {
		return m.shared.atOnce(func(r rows) error { return r(letter, row) })
	}
	return scan(m.db, letter, row)
}

func (m *Memory) events(scan rows, each func(*own.Entry) error) error {
	var e own.Entry
	return scan('e', func(key, value []byte) error {
		const plain = 32 + 4 + 16 + 8
		if len(key) != 1+4+8 || len(value) < plain {
			return errDamaged
		}
		code, err := m.keys.unseal(key, value, plain)
		if err != nil {
			return err
		}
		e = own.Entry{
			Subject: ledger.Subject(strings.TrimRight(string(code), "\x00")), Origin: ledger.Origin(m.keys.ledger, binary.BigEndian.Uint32(key[1:])),
			Number: binary.BigEndian.Uint32(value[32:]), Index: binary.BigEndian.Uint64(key[5:]), Leaf: ledger.Hash(value[:32]),
			Receipt: m.keys.scope + "/" + formatJTI([16]byte(value[36:52])), At: int64(binary.BigEndian.Uint64(value[52:])),
		}
		return each(&e)
	})
}
