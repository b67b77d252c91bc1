// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// sessionGrace is how long after its time a session of break-glass may go without
// a record of its end: the ledger is back by then, and the receipts delivered.
const sessionGrace = 24 * time.Hour

// session tells of a session of break-glass that a scope's party opened or closed.
func (m *Monitor) session(index uint64, r registry.BreakGlass) {
	statement, _, err := registry.ParseSession(r.Statement)
	if err != nil {
		return // the registry took it
	}
	const expected = "that whoever depends on %s knows"
	switch s := statement.(type) {
	case registry.SessionOpened:
		m.tell(LevelNotice, problem(CodeBreakGlass, leafAt(index), fmt.Sprintf(expected, s.Scope), fmt.Sprintf("break-glass of %s, session %s, from %s to %s at most", s.Scope, s.Session, unixText(s.Opened), unixText(s.Until))))
	case registry.SessionClosed:
		m.tell(LevelNotice, problem(CodeBreakGlass, leafAt(index), fmt.Sprintf(expected, s.Scope), fmt.Sprintf("session %s of %s closed at %s with %s", s.Session, s.Scope, unixText(s.Closed), counted(s.Count, "receipt"))))
	}
}

// sessions judges what is missing of sessions when all that the log had was read.
func (m *Monitor) sessions() {
	for _, s := range m.registry.Sessions() {
		switch last := time.UnixMilli(int64(min(m.clock.high, 1<<52))); {
		case s.Closed == nil && last.Sub(time.UnixMilli(s.Until)) > sessionGrace:
			m.tellSession(s.Index, problem(CodeSessionOpen, leafAt(s.Index), "the end of session "+s.Session+" of "+s.Scope+", within 24 hours of "+unixText(s.Until), "none at "+m.clock.latest()))
		case s.Closed != nil && !s.Settled():
			m.tellSession(s.ClosedIndex, problem(CodeSessionMissing, leafAt(s.ClosedIndex), fmt.Sprintf("%d recorded receipts of session %s of %s", s.Closed.Count, s.Session, s.Scope), fmt.Sprint(s.Closed.Recorded)))
		}
	}
}

// tellSession tells of a record once.
func (m *Monitor) tellSession(index uint64, p *ledger.Problem) {
	if !m.sessionTold[index] {
		m.sessionTold[index] = true
		m.tell(LevelAlarm, p)
	}
}

func unixText(ms int64) string { return text(time.UnixMilli(ms)) }
