// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	// Where instances share their calls: whose it is, since when, and whether it is a
	// spooled receipt on its way. shared.mu guards them.
	owner    [16]byte
	began    time.Time
	released bool
}

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
	if m.shared != nil {
		p := &Pending{jti: id, key: key}
		return p, m.shared.begin(p, value)
	}
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
// of calls that are under way are among them, spooled receipts aren't. Where
// instances share their calls they are this one's.
func (m *Memory) Unsettled() []*Pending {
	if m.shared != nil {
		return m.shared.unsettled()
	}
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

// Left returns submissions that no call waits for: once each, those that an earlier
// run left, or another instance that is over. For whoever settles them.
func (m *Memory) Left() []*Pending {
	if m.shared != nil {
		return m.shared.left()
	}
	if m.handed.Swap(true) {
		return nil
	}
	return m.Unsettled()
}

// Submission returns what was noted; nil once the call is settled.
func (m *Memory) Submission(p *Pending) ([]byte, error) {
	read, head := m.get, 8
	switch {
	case p.session != nil:
		head = spooledHead
	case m.shared != nil:
		read = func([]byte) ([]byte, error) { return m.shared.submission(p) }
	}
	value, err := read(p.key)
	if err != nil || value == nil {
		return nil, err
	}
	return m.keys.unseal(p.key, value, head)
}

// Drop forgets a submission that the ledger refused: nothing of it is recorded. A
// spooled receipt is kept.
func (m *Memory) Drop(p *Pending) error {
	switch {
	case m.shared != nil:
		return m.shared.drop(p)
	case p.session != nil:
		return nil
	}
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
// its session. The error is ErrTaken where another instance has taken the call over.
//
// A number that leaves others out is taken: the answers to those may be on their
// way. Status tells of gaps that no call under way can fill any more.
func (m *Memory) Acknowledge(p *Pending, c checkpoint.Checkpoint, entries []own.Entry) error {
	a := answered{call: p, rows: make([]row, len(entries))}
	var err error
	a.checkpoint, err = m.checkpointRow(c)
	for i := 0; i < len(entries) && err == nil; i++ {
		a.rows[i], err = m.entryRow(&entries[i])
	}
	if err != nil {
		return fmt.Errorf("couldn't remember an acknowledgement: %w", err)
	}
	return m.acknowledge(&a)
}

func (m *Memory) acknowledge(a *answered) error {
	spooled := a.call != nil && a.call.session != nil
	if m.shared != nil {
		if err := m.shared.acknowledge(a); err != nil || !spooled {
			return err
		}
	}
	b := m.db.NewBatch()
	defer b.Close()
	m.mu.Lock()
	var moved []func()
	var err error
	if m.shared == nil {
		moved, err = m.note(b, a)
	}
	if err == nil && spooled {
		counted := a.call.session.Session
		counted.Recorded++
		err = errors.Join(b.Delete(a.call.key, nil), m.put(b, &counted))
		moved = append(moved, func() {
			a.call.session.Session = counted
			delete(a.call.session.spooled, a.call.Number())
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
	if a.call != nil {
		m.settled(a.call)
	}
	return nil
}

// note adds the rows of an answer. What it returns is to be called once they are
// applied.
func (m *Memory) note(b *db.Batch, a *answered) (moved []func(), err error) {
	there := map[*row]entry{}
	subjects := map[[32]byte]*numbers{}
	for i := range a.rows {
		r := &a.rows[i]
		for _, letter := range []byte("eh") {
			value, err := m.get(append([]byte{letter}, r.key[1:]...))
			if err != nil {
				return nil, err
			}
			if value != nil {
				there[r] = entry{letter == 'h', value}
			}
		}
		if r.cohort() {
			continue
		}
		n := &numbers{gaps: m.gaps[r.subject]}
		last, err := m.get(append([]byte{'s'}, r.subject[:]...))
		if err == nil && last != nil {
			err = n.setLast(last)
		}
		if err != nil {
			return nil, err
		}
		subjects[r.subject] = n
	}
	point, err := m.get(a.checkpoint.key)
	if err != nil {
		return nil, err
	}
	if point == nil {
		point = a.checkpoint.value
		if err := b.Set(a.checkpoint.key, point, nil); err != nil {
			return nil, err
		}
	}
	fresh, problem, err := a.judge(point, func(r *row) (entry, bool) { e, ok := there[r]; return e, ok }, subjects, m.ticket)
	if problem != nil {
		err = problem
	}
	if err != nil {
		return nil, err
	}
	for _, r := range fresh {
		if err := b.Set(r.key, r.value, nil); err != nil {
			return nil, err
		}
		if r.cohort() {
			continue
		}
		n := subjects[r.subject]
		if err := m.putNumbers(b, r.subject, n); err != nil {
			return nil, err
		}
		moved = append(moved, func() {
			if m.gaps[r.subject] = n.gaps; len(n.gaps) == 0 {
				delete(m.gaps, r.subject)
			}
		})
	}
	if a.call == nil {
		return moved, b.Delete(askedKey(a.asked), nil)
	}
	return moved, b.Delete(a.call.key, nil)
}

// putNumbers adds a subject's rows s and g.
func (m *Memory) putNumbers(b *db.Batch, subject [32]byte, n *numbers) error {
	err := b.Set(append([]byte{'s'}, subject[:]...), n.formatLast(), nil)
	for _, g := range without(m.gaps[subject], n.gaps) {
		err = errors.Join(err, b.Delete(gapKey(subject, g.from), nil))
	}
	for _, g := range without(n.gaps, m.gaps[subject]) {
		err = errors.Join(err, b.Set(gapKey(subject, g.from), append(binary.BigEndian.AppendUint32(nil, g.to), m.instant()...), nil))
	}
	return err
}

// checkpointRow is the row of an acknowledged checkpoint.
func (m *Memory) checkpointRow(c checkpoint.Checkpoint) (row, error) {
	_, epoch, err := ledger.ParseOrigin(c.Origin)
	return row{key: yearKey('c', epoch, c.Size), head: c.Root[:], value: append(bytes.Clone(c.Root[:]), m.instant()...)}, err
}

func otherRoot(found *row, known []byte) *ledger.Problem {
	return &ledger.Problem{
		Code: CodeOtherRoot, Where: "/checkpoint", Expected: fmt.Sprintf("root %x of size %d, as acknowledged before", known[:32], binary.BigEndian.Uint64(found.key[5:])), Found: fmt.Sprintf("%x", found.head),
	}
}

// entryRow is the row of an event.
func (m *Memory) entryRow(e *own.Entry) (r row, err error) {
	_, epoch, err := ledger.ParseOrigin(e.Origin)
	if err != nil {
		return r, err
	}
	id, err := parseJTI(jtiOf(e.Receipt))
	if err != nil {
		return r, err
	}
	r = row{key: yearKey('e', epoch, e.Index), subject: m.keys.handle("memory-subject", string(e.Subject), e.Origin), number: e.Number, index: e.Index}
	r.head = append(binary.BigEndian.AppendUint32(append([]byte{}, e.Leaf[:]...), e.Number), id[:]...)
	var code [16]byte // a code of 11 digits is no shorter than another
	copy(code[:], e.Subject)
	r.value = m.keys.seal(r.key, binary.BigEndian.AppendUint64(bytes.Clone(r.head), uint64(e.At)), code[:])
	return r, nil
}

func indexAgain(index uint64) *ledger.Problem {
	return &ledger.Problem{Code: CodeIndexAgain, Expected: fmt.Sprintf("an index that nothing else has, not %d", index), Found: "something else there"}
}

// yearKey is that of a row of a year's log.
func yearKey(letter byte, epoch uint32, at uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32([]byte{letter}, epoch), at)
}

// without returns the gaps that others aren't.
func without(list, others []gap) []gap {
	return slices.DeleteFunc(slices.Clone(list), func(g gap) bool { return slices.Contains(others, g) })
}

func gapKey(handle [32]byte, from uint32) []byte {
	return binary.BigEndian.AppendUint32(append([]byte{'g'}, handle[:]...), from)
}
