// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	db "github.com/cockroachdb/pebble/v2"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// Codes of an acknowledgement that can't be true beside an earlier one. It is
// evidence against the ledger, and nothing may be released on it.
const (
	CodeNumberAgain = "number_again" // a number of a subject that another event has
	CodeIndexOrder  = "index_order"  // a later number at an earlier index
	CodeIndexAgain  = "index_again"  // an index that another event, or a cohort, has
	CodeOtherRoot   = "other_root"   // two roots of one size
)

// Pending is a submission whose outcome isn't known yet.
type Pending struct {
	jti    [16]byte
	ticket uint64 // calls that began later have greater ones
	key    []byte // of its row
	// Of a spooled receipt alone. Memory.mu guards refused.
	session *session
	refused bool // by the ledger: it isn't under way
}

// gap is a run of numbers that weren't told, of one subject.
type gap struct {
	to     uint32
	ticket uint64 // of the last call that had begun when it was seen
}

// gapKeyLen is the length of a key of row g, and ends with the first number.
const gapKeyLen = 1 + 32 + 4

// Begin notes a submission that is to be sent, under its receipt's jti. It is on
// disk when this returns. Then follows Acknowledge or Drop; what has neither, for
// a crash or because nobody knows what the ledger did, is found by Open again.
func (m *Memory) Begin(jti string, submission []byte) (*Pending, error) {
	id, err := parseJTI(jti)
	if err != nil {
		return nil, err
	}
	key := append([]byte{'p'}, id[:]...)
	value := m.keys.seal(key, m.instant(), submission)
	m.mu.Lock()
	m.ticket++
	p := &Pending{jti: id, ticket: m.ticket, key: key}
	m.open[p] = true
	m.mu.Unlock()
	if err := m.db.Set(key, value, db.Sync); err != nil {
		m.settled(p)
		return nil, fmt.Errorf("couldn't note a submission: %w", err)
	}
	return p, nil
}

// instant is now as unix_ms.
func (m *Memory) instant() []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(m.now().UnixMilli()))
}

func parseJTI(jti string) (id [16]byte, err error) {
	plain := strings.ReplaceAll(jti, "-", "")
	if n, err := hex.Decode(id[:], []byte(plain)); len(plain) != 32 || n != 16 || err != nil || formatJTI(id) != jti {
		return id, errors.New("a jti that is no uuid")
	}
	return id, nil
}

// jtiOf is that of an id "<iss>/<jti>".
func jtiOf(id string) string {
	_, jti, _ := strings.Cut(id, "/")
	return jti
}

func formatJTI(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// Unsettled returns the submissions whose outcome isn't known, in no order; those
// of calls that are under way are among them, spooled receipts aren't.
func (m *Memory) Unsettled() []*Pending {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*Pending, 0, len(m.open))
	for p := range m.open {
		if p.session == nil {
			list = append(list, p)
		}
	}
	return list
}

// Submission returns what was noted; nil once the call is settled.
func (m *Memory) Submission(p *Pending) ([]byte, error) {
	value, err := m.get(p.key)
	if err != nil || value == nil {
		return nil, err
	}
	head := 8
	if p.session != nil {
		head = spooledHead
	}
	return m.keys.unseal(p.key, value, head)
}

// Drop forgets a submission that the ledger refused: nothing of it is recorded.
func (m *Memory) Drop(p *Pending) error {
	if err := m.db.Delete(p.key, db.Sync); err != nil {
		return fmt.Errorf("couldn't forget a submission: %w", err)
	}
	m.settled(p)
	return nil
}

func (m *Memory) settled(p *Pending) {
	m.mu.Lock()
	delete(m.open, p)
	m.mu.Unlock()
}

// Acknowledge notes what the ledger answered to a submission: its checkpoint, and
// the events as own.Entries gives them, none where the party has no numbers. The
// caller has proven the answer. It is on disk when this returns; a *ledger.Problem
// says that the answer contradicts an earlier one, and then nothing was noted.
// The same answer again changes nothing. A spooled receipt counts as recorded in
// its session.
//
// A number that leaves others out is taken: the answers to those may be on their
// way. Status tells of gaps that no call under way can fill any more.
func (m *Memory) Acknowledge(p *Pending, c checkpoint.Checkpoint, entries []own.Entry) error {
	b := m.db.NewBatch()
	defer b.Close()
	m.mu.Lock()
	var moved []func()
	err := m.checkpoint(b, c)
	for i := 0; i < len(entries) && err == nil; i++ {
		var move func()
		if move, err = m.entry(b, &entries[i]); err != nil {
			var problem *ledger.Problem
			if errors.As(err, &problem) {
				problem.Where = fmt.Sprintf("/entries/%d", i)
			}
		} else if move != nil {
			moved = append(moved, move)
		}
	}
	if err == nil {
		err = b.Delete(p.key, nil)
	}
	if err == nil && p.session != nil {
		counted := p.session.Session
		counted.Recorded++
		err = m.put(b, &counted)
		moved = append(moved, func() {
			p.session.Session = counted
			delete(p.session.spooled, p.Number())
		})
	}
	if err == nil {
		err = m.db.ApplyNoSyncWait(b, db.Sync)
	}
	if err == nil {
		for _, move := range moved {
			move()
		}
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
		return fmt.Errorf("couldn't remember an acknowledgement: %w", err)
	}
	m.settled(p)
	return nil
}

// checkpoint adds the row of an acknowledged checkpoint.
func (m *Memory) checkpoint(b *db.Batch, c checkpoint.Checkpoint) error {
	_, epoch, err := ledger.ParseOrigin(c.Origin)
	if err != nil {
		return err
	}
	key := yearKey('c', epoch, c.Size)
	old, err := m.get(key)
	if err != nil {
		return err
	}
	if old == nil {
		return b.Set(key, append(c.Root[:], m.instant()...), nil)
	}
	if !bytes.Equal(old[:32], c.Root[:]) {
		return &ledger.Problem{
			Code: CodeOtherRoot, Where: "/checkpoint", Expected: fmt.Sprintf("root %x of size %d, as acknowledged before", old[:32], c.Size), Found: fmt.Sprintf("%x", c.Root[:]),
		}
	}
	return nil
}

// entry adds the rows of one event. What it returns is to be called once they are
// applied.
func (m *Memory) entry(b *db.Batch, e *own.Entry) (moved func(), err error) {
	_, epoch, err := ledger.ParseOrigin(e.Origin)
	if err != nil {
		return nil, err
	}
	id, err := parseJTI(jtiOf(e.Receipt))
	if err != nil {
		return nil, err
	}
	key := yearKey('e', epoch, e.Index)
	plain := append(binary.BigEndian.AppendUint32(append([]byte{}, e.Leaf[:]...), e.Number), id[:]...)
	old, err := m.get(key)
	switch {
	case err != nil:
		return nil, err
	case old != nil && bytes.HasPrefix(old, plain):
		return nil, nil // the same answer again
	case old == nil:
		old, err = m.get(yearKey('h', epoch, e.Index))
	}
	if err != nil {
		return nil, err
	}
	if old != nil {
		return nil, indexAgain(e.Index)
	}
	plain = binary.BigEndian.AppendUint64(plain, uint64(e.At))
	var code [16]byte // a code of 11 digits is no shorter than another
	copy(code[:], e.Subject)
	if err := b.Set(key, m.keys.seal(key, plain, code[:]), nil); err != nil {
		return nil, err
	}
	return m.number(b, e)
}

func indexAgain(index uint64) *ledger.Problem {
	return &ledger.Problem{Code: CodeIndexAgain, Expected: fmt.Sprintf("an index that nothing else has, not %d", index), Found: "something else there"}
}

// yearKey is that of a row of a year's log.
func yearKey(letter byte, epoch uint32, at uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32([]byte{letter}, epoch), at)
}

// number compares a subject's number with those told before, and adds its rows.
func (m *Memory) number(b *db.Batch, e *own.Entry) (moved func(), err error) {
	handle := m.keys.handle("memory-subject", string(e.Subject), e.Origin)
	key := append([]byte{'s'}, handle[:]...)
	old, err := m.get(key)
	if err != nil {
		return nil, err
	}
	next, last := uint32(0), uint64(0)
	if old != nil {
		next, last = binary.BigEndian.Uint32(old)+1, binary.BigEndian.Uint64(old[4:])
	}
	if old != nil && e.Number < next {
		return m.fill(b, handle, e, last)
	}
	if old != nil && e.Index < last {
		return nil, orderProblem(last, e.Index)
	}
	if err := b.Set(key, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, e.Number), e.Index), nil); err != nil {
		return nil, err
	}
	if e.Number == next {
		return nil, nil
	}
	row, g := gapKey(handle, next), &gap{e.Number - 1, m.ticket}
	return func() { m.gaps[row] = g }, b.Set(row[:], m.gapValue(g.to), nil)
}

func orderProblem(last, found uint64) *ledger.Problem {
	return &ledger.Problem{Code: CodeIndexOrder, Expected: fmt.Sprintf("an index on the other side of %d, as the numbers are", last), Found: fmt.Sprint(found)}
}

func gapKey(handle [32]byte, from uint32) (key [gapKeyLen]byte) {
	binary.BigEndian.AppendUint32(append(append(key[:0], 'g'), handle[:]...), from)
	return key
}

func (m *Memory) gapValue(to uint32) []byte {
	return append(binary.BigEndian.AppendUint32(nil, to), m.instant()...)
}

// fill takes a number out of the gap that it is in.
func (m *Memory) fill(b *db.Batch, handle [32]byte, e *own.Entry, last uint64) (moved func(), err error) {
	var key [gapKeyLen]byte
	var found *gap
	for row, g := range m.gaps {
		if bytes.Equal(row[1:33], handle[:]) && binary.BigEndian.Uint32(row[33:]) <= e.Number && e.Number <= g.to {
			key, found = row, g
		}
	}
	if found == nil {
		return nil, &ledger.Problem{Code: CodeNumberAgain, Expected: "a number of this subject that no other event has", Found: fmt.Sprintf("%d again", e.Number)}
	}
	if e.Index > last {
		return nil, orderProblem(last, e.Index)
	}
	from := binary.BigEndian.Uint32(key[33:])
	rest := map[[gapKeyLen]byte]*gap{}
	if from < e.Number {
		rest[gapKey(handle, from)] = &gap{e.Number - 1, found.ticket}
	}
	if e.Number < found.to {
		rest[gapKey(handle, e.Number+1)] = &gap{found.to, found.ticket}
	}
	err = b.Delete(key[:], nil)
	for row, g := range rest {
		err = errors.Join(err, b.Set(row[:], m.gapValue(g.to), nil))
	}
	return func() {
		delete(m.gaps, key)
		for row, g := range rest {
			m.gaps[row] = g
		}
	}, err
}
