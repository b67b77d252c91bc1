// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	db "github.com/cockroachdb/pebble/v2"

	"github.com/traccia-ledger/traccia/ledger"
)

// Session is a session of break-glass (docs/break-glass.md).
type Session struct {
	ID             string    `json:"id"`
	Person, Reason string    // who opened it and why, in clear nowhere else
	Salt           [32]byte  // of their digest
	Opened, Until  time.Time // to the millisecond
	Closed         time.Time // zero until it is
	Count          int       // receipts in it
	Last           ledger.Hash
	Recorded       int // of them, in the ledger
	// What the ledger has records of: the opening, and an end that says of so many
	// recorded; -1 of none.
	TellOpened   bool
	TellRecorded int
}

// Over says that nothing is released in the session any more. A clock that was set
// back ends it too.
func (s *Session) Over(now time.Time) bool {
	return !s.Closed.IsZero() || !now.Before(s.Until) || now.Before(s.Opened) || s.Count >= ledger.MaxSessionCalls
}

// session is a Session with its spooled receipts; Memory.mu guards it.
type session struct {
	Session
	// deadline is Until by a clock that nobody sets: of a session that this process
	// opened.
	deadline time.Time
	spooled  map[int]*Pending
}

var (
	// ErrSession: no session of break-glass is open.
	ErrSession = errors.New("no session of break-glass is open")
	// ErrOpen: one is open already.
	ErrOpen = errors.New("a session of break-glass is open")
)

func sessionKey(id string) ([]byte, error) {
	uuid, err := parseJTI(id)
	return append([]byte{'b'}, uuid[:]...), err
}

// put adds the row of a session.
func (m *Memory) put(b *db.Batch, s *Session) error {
	key, err := sessionKey(s.ID)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return b.Set(key, m.keys.seal(key, nil, plain), nil)
}

// loadSessions reads rows b and q. Each receipt is under way: an answer to it may
// have been lost.
func (m *Memory) loadSessions() error {
	err := scan(m.db, 'b', func(key, value []byte) error {
		plain, err := m.keys.unseal(key, value, 0)
		if err != nil {
			return err
		}
		s := &session{spooled: map[int]*Pending{}}
		if json.Unmarshal(plain, &s.Session) != nil {
			return errDamaged
		}
		m.sessions[s.ID] = s
		return nil
	})
	if err != nil {
		return err
	}
	return scan(m.db, 'q', func(key, value []byte) error {
		if len(key) != 1+16+4 || len(value) < spooledHead {
			return errDamaged
		}
		s := m.sessions[formatJTI([16]byte(key[1:17]))]
		if s == nil {
			return errDamaged
		}
		m.ticket++
		p := &Pending{jti: [16]byte(value[8:24]), ticket: m.ticket, key: bytes.Clone(key), session: s}
		s.spooled[p.Number()], m.open[p] = p, true
		return nil
	})
}

// current is the session that is open; nil if none is. The caller holds mu.
func (m *Memory) current() *session {
	now := m.now()
	for _, s := range m.sessions {
		if !s.Over(now) && (s.deadline.IsZero() || now.Before(s.deadline)) {
			return s
		}
	}
	return nil
}

// OpenSession opens a session, which is on disk when this returns: with the one
// before closed in the same write if renew, which takes one that is open, and
// ErrOpen otherwise if there is one.
func (m *Memory) OpenSession(s Session, renew bool) error {
	m.spooling.Lock()
	defer m.spooling.Unlock()
	s.TellRecorded = -1
	b := m.db.NewBatch()
	defer b.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.current()
	switch {
	case before != nil && !renew:
		return ErrOpen
	case before == nil && renew:
		return ErrSession
	}
	var closed Session
	if renew {
		closed = before.Session
		m.end(&closed)
		if err := m.put(b, &closed); err != nil {
			return err
		}
	}
	if err := m.put(b, &s); err != nil {
		return err
	}
	if err := b.Commit(db.Sync); err != nil {
		return fmt.Errorf("couldn't open a session: %w", err)
	}
	if renew {
		before.Session = closed
	}
	m.sessions[s.ID] = &session{Session: s, deadline: m.now().Add(s.Until.Sub(s.Opened)), spooled: map[int]*Pending{}}
	return nil
}

// CloseSession ends a session now, or with its time. One that is closed stays as it
// is.
func (m *Memory) CloseSession(id string) error {
	return m.change(id, m.end)
}

// end closes a session, once nothing is spooled in it any more.
func (m *Memory) end(s *Session) {
	if !s.Closed.IsZero() {
		return
	}
	s.Closed = m.now().UTC().Truncate(time.Millisecond)
	if s.Closed.After(s.Until) {
		s.Closed = s.Until
	} else if s.Closed.Before(s.Opened) { // the clock was set back
		s.Closed = s.Opened
	}
}

// Told notes what the ledger has a record of: a session's opening, or its end with
// so many recorded.
func (m *Memory) Told(id string, recorded int) error {
	return m.change(id, func(s *Session) { s.TellOpened, s.TellRecorded = true, recorded })
}

func (m *Memory) change(id string, how func(*Session)) error {
	m.spooling.Lock()
	defer m.spooling.Unlock()
	b := m.db.NewBatch()
	defer b.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[id]
	if s == nil {
		return ErrSession
	}
	changed := s.Session
	how(&changed)
	err := m.put(b, &changed)
	if err == nil {
		err = b.Commit(db.Sync)
	}
	if err != nil {
		return fmt.Errorf("couldn't note a session: %w", err)
	}
	s.Session = changed
	return nil
}

// Sessions returns all sessions, in the order of opening.
func (m *Memory) Sessions() []Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Session, 0, len(m.sessions))
	for _, s := range m.sessions {
		list = append(list, s.Session)
	}
	slices.SortFunc(list, func(a, b Session) int { return a.Opened.Compare(b.Opened) })
	return list
}

// Current returns the session that is open.
func (m *Memory) Current() (Session, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.current(); s != nil {
		return s.Session, true
	}
	return Session{}, false
}

// spooledHead is what stands before the sealed submission of a row q.
const spooledHead = 8 + 16 + 1

// Spool makes the next receipt of the open session, and keeps its submission: it
// is on disk when this returns, and only then may anything be released on it. make
// is told the receipt's place, and returns its jti, the digest of its payload and
// the submission. The error is ErrSession where no session is open.
func (m *Memory) Spool(make func(place ledger.BreakGlass) (jti string, payload ledger.Hash, submission []byte, err error)) (*Pending, error) {
	m.spooling.Lock() // one after the other: each names the one before
	defer m.spooling.Unlock()
	m.mu.Lock()
	s := m.current()
	if s == nil {
		m.mu.Unlock()
		return nil, ErrSession
	}
	next := s.Session
	m.mu.Unlock()
	next.Count++
	jti, payload, submission, err := make(ledger.BreakGlass{Session: next.ID, Number: next.Count, Previous: ledger.Hex(next.Last)})
	if err != nil {
		return nil, err
	}
	next.Last = payload
	id, err := parseJTI(jti)
	if err != nil {
		return nil, err
	}
	uuid, err := parseJTI(next.ID)
	if err != nil {
		return nil, err
	}
	p := &Pending{jti: id, session: s, key: binary.BigEndian.AppendUint32(append([]byte{'q'}, uuid[:]...), uint32(next.Count))}
	b := m.db.NewBatch()
	defer b.Close()
	m.mu.Lock()
	next.Recorded = s.Recorded // which Acknowledge may have moved
	err = m.put(b, &next)
	if err == nil {
		err = b.Set(p.key, m.keys.seal(p.key, append(append(m.instant(), id[:]...), 0), submission), nil)
	}
	if err == nil {
		err = m.db.ApplyNoSyncWait(b, db.Sync)
	}
	if err == nil {
		s.Session = next
		m.ticket++
		p.ticket = m.ticket
		s.spooled[next.Count], m.open[p] = p, true
	}
	m.mu.Unlock()
	if err == nil {
		err = m.wait(b)
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't spool a receipt: %w", err)
	}
	return p, nil
}

// Spooled returns the receipts of a session that aren't recorded yet, by number.
func (m *Memory) Spooled(id string) []*Pending {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*Pending
	if s := m.sessions[id]; s != nil {
		for _, p := range s.spooled {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *Pending) int { return a.Number() - b.Number() })
	return list
}

// IsSpooled says whether it is a receipt of break-glass, which is kept whatever the
// ledger says.
func (p *Pending) IsSpooled() bool { return p.session != nil }

// IsReleased says whether it is a receipt of break-glass that an instance which is
// over had on its way: data were released on it.
func (p *Pending) IsReleased() bool { return p.released }

// Deliver notes that a spooled receipt is sent, with this submission: where instances
// share their calls it counts as under way from now on, until it is acknowledged or
// dropped.
func (m *Memory) Deliver(p *Pending, submission []byte) error {
	if m.shared == nil {
		return nil
	}
	key := append([]byte{'p'}, p.jti[:]...)
	return m.shared.begin(p, m.keys.seal(key, m.instant(), submission))
}

// Session is that of a spooled receipt.
func (p *Pending) Session() string { return formatJTI([16]byte(p.key[1:17])) }

// Number is that of a spooled receipt in its session.
func (p *Pending) Number() int { return int(binary.BigEndian.Uint32(p.key[17:])) }

// Respool keeps another submission of the same receipt.
func (m *Memory) Respool(p *Pending, submission []byte) error {
	_, err := m.respool(p, func(head, _ []byte) []byte { return m.keys.seal(p.key, head, submission) })
	return err
}

// Withheld notes of a spooled receipt that nothing was released on it. False: it is
// recorded already.
func (m *Memory) Withheld(p *Pending) (bool, error) {
	return m.respool(p, func(head, submission []byte) []byte {
		head[spooledHead-1] = 1
		return m.keys.seal(p.key, head, submission)
	})
}

func (m *Memory) respool(p *Pending, change func(head, submission []byte) []byte) (there bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, err := m.get(p.key)
	if err == nil && value == nil {
		return false, nil
	}
	var submission []byte
	if err == nil {
		submission, err = m.keys.unseal(p.key, value, spooledHead)
	}
	if err == nil {
		err = m.db.Set(p.key, change(value[:spooledHead:spooledHead], submission), db.Sync)
	}
	if err != nil {
		return false, fmt.Errorf("couldn't change a spooled receipt: %w", err)
	}
	return true, nil
}

// IsWithheld says whether Withheld was noted.
func (m *Memory) IsWithheld(p *Pending) (bool, error) {
	value, err := m.get(p.key)
	return len(value) >= spooledHead && value[spooledHead-1] == 1, err
}

// Refused notes, for as long as this process lives, that the ledger doesn't take a
// spooled receipt: it is kept, and nothing of it is recorded.
func (m *Memory) Refused(p *Pending) {
	m.mu.Lock()
	p.refused = true
	delete(m.open, p)
	m.mu.Unlock()
}

// IsRefused says whether Refused was noted since Retry.
func (m *Memory) IsRefused(p *Pending) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return p.refused
}

// Retry has receipts that the ledger refused sent again.
func (m *Memory) Retry() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		for _, p := range s.spooled {
			if p.refused {
				m.ticket++
				p.refused, p.ticket, m.open[p] = false, m.ticket, true
			}
		}
	}
}

// spooledStatus counts what sessions wait for, and what they lack. The caller holds
// mu.
func (m *Memory) spooledStatus(s *Status) {
	for _, one := range m.sessions {
		waiting := 0
		for _, p := range one.spooled {
			if !p.refused {
				waiting++
			}
		}
		s.Spooled += waiting
		s.Lacking += one.Count - one.Recorded - waiting
	}
	s.BreakGlass = m.current() != nil
}
