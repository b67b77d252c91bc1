// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// hand is a clock that a test sets.
type hand struct{ at time.Time }

func (h *hand) now() time.Time { return h.at }

func openAt(t *testing.T, dir string, h *hand) *Memory {
	t.Helper()
	m, err := Open(dir, scope, name, Options{Logger: quiet, Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func sessionOf(n int, at time.Time) Session {
	return Session{ID: jti(n), Person: "Anna Verdi", Reason: "prova", Salt: [32]byte{1}, Opened: at, Until: at.Add(ledger.MaxSession)}
}

// spool spools the n-th receipt, whose digest is made of n.
func spool(m *Memory, n int) (place ledger.BreakGlass, p *Pending, err error) {
	p, err = m.Spool(func(at ledger.BreakGlass) (string, ledger.Hash, []byte, error) {
		place = at
		return jti(n), ledger.Hash{byte(n), byte(n >> 8), 9}, fmt.Appendf(nil, "di %s", rossi), nil
	})
	return place, p, err
}

// TestSession: a session ends with its time, with its calls, with a clock that is set back, and when it is closed; it is
// renewed or opened again by somebody alone.
func TestSession(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	h := &hand{at}
	m := openAt(t, create(t), h)
	none := func(why string) {
		t.Helper()
		if _, open := m.Current(); open {
			t.Errorf("open %s", why)
		}
		if _, _, err := spool(m, 9); !errors.Is(err, ErrSession) {
			t.Errorf("spooled %s: %v", why, err)
		}
	}
	none("before one was opened")
	if err := m.OpenSession(sessionOf(1, at), true); !errors.Is(err, ErrSession) {
		t.Errorf("renewed without one: %v", err)
	}
	if err := m.OpenSession(sessionOf(1, at), false); err != nil {
		t.Fatal(err)
	}
	if err := m.OpenSession(sessionOf(2, at), false); !errors.Is(err, ErrOpen) {
		t.Errorf("opened twice: %v", err)
	}
	for n := 1; n <= ledger.MaxSessionCalls; n++ {
		place, _, err := spool(m, n)
		previous := ledger.Hex{byte(n - 1), byte((n - 1) >> 8), 9}
		if n == 1 {
			previous = ledger.Hex{}
		}
		if want := (ledger.BreakGlass{Session: jti(1), Number: n, Previous: previous}); err != nil || place != want {
			t.Fatalf("%+v, %v, want %+v", place, err, want)
		}
	}
	none("after so many calls")
	h.at = at.Add(time.Minute)
	if err := m.OpenSession(sessionOf(2, h.at), false); err != nil {
		t.Fatal(err)
	}
	h.at = at
	none("after the clock was set back")
	h.at = at.Add(2 * time.Minute)
	if err := m.OpenSession(sessionOf(3, h.at), true); err != nil {
		t.Fatal(err)
	}
	if list := m.Sessions(); len(list) != 3 || !list[1].Closed.Equal(h.at) || !list[0].Closed.IsZero() || list[2].ID != jti(3) {
		t.Errorf("%+v", list)
	}
	h.at = h.at.Add(ledger.MaxSession - time.Millisecond)
	if _, _, err := spool(m, 1); err != nil {
		t.Error(err)
	}
	h.at = h.at.Add(time.Millisecond)
	none("after its time")
	h.at = h.at.Add(time.Hour)
	if err := m.CloseSession(jti(3)); err != nil {
		t.Fatal(err)
	}
	if s := m.Sessions()[2]; !s.Closed.Equal(s.Until) {
		t.Errorf("%+v", s)
	}
	if st, err := m.Status(); err != nil || st.Spooled != ledger.MaxSessionCalls+1 || st.Lacking != 0 || st.Unsettled != 0 || st.BreakGlass {
		t.Errorf("%+v, %v", st, err)
	}
	if err := m.CloseSession(jti(7)); !errors.Is(err, ErrSession) {
		t.Errorf("closed one that isn't there: %v", err)
	}
}

// TestSpool: what is spooled is there after a restart, sealed, until it is recorded; what is gone, or refused, is lacking.
func TestSpool(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	h, dir := &hand{at}, create(t)
	m := openAt(t, dir, h)
	if err := m.OpenSession(sessionOf(1, at), false); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 4; n++ {
		if _, _, err := spool(m, n); err != nil {
			t.Fatal(err)
		}
	}
	if there, err := m.Withheld(m.Spooled(jti(1))[1]); err != nil || !there {
		t.Fatal(there, err)
	}
	if err := m.Respool(m.Spooled(jti(1))[1], []byte("signed again")); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	nobodyIsNamed(t, dir, string(rossi), "Anna Verdi")

	m = openAt(t, dir, h)
	list := m.Spooled(jti(1))
	if len(list) != 4 || len(m.Unsettled()) != 0 {
		t.Fatalf("%d spooled, %d unsettled", len(list), len(m.Unsettled()))
	}
	for i, want := range []string{"di " + string(rossi), "signed again", "di " + string(rossi), "di " + string(rossi)} {
		text, err := m.Submission(list[i])
		withheld, werr := m.IsWithheld(list[i])
		if err != nil || werr != nil || string(text) != want || withheld != (i == 1) || list[i].Number() != i+1 || list[i].Session() != jti(1) {
			t.Errorf("%d: %q, %v, %v", i, text, withheld, err)
		}
	}
	if err := m.Acknowledge(list[0], point(1), []own.Entry{event(1, rossi, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	if there, err := m.Withheld(list[0]); err != nil || there {
		t.Errorf("withheld after it was recorded: %v %v", there, err)
	}
	m.Refused(list[1])
	status := func(spooled, lacking int) {
		t.Helper()
		if st, err := m.Status(); err != nil || st.Spooled != spooled || st.Lacking != lacking {
			t.Errorf("%+v, %v, want %d and %d", st, err, spooled, lacking)
		}
	}
	status(2, 1)
	if !m.IsRefused(list[1]) {
		t.Error("not refused")
	}
	m.Retry()
	status(3, 0)
	// A row that is lost.
	if err := m.db.Delete(list[2].key, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openAt(t, dir, h)
	status(2, 1)
	if place, _, err := spool(m, 5); err != nil || place.Number != 5 {
		t.Errorf("%+v, %v", place, err)
	}
	if s := m.Sessions()[0]; s.Recorded != 1 || s.Count != 5 || s.Person != "Anna Verdi" || s.TellOpened || s.TellRecorded != -1 {
		t.Errorf("%+v", s)
	}
	if err := m.Told(jti(1), 1); err != nil || m.Sessions()[0].TellRecorded != 1 || !m.Sessions()[0].TellOpened {
		t.Error(err)
	}
}

// nobodyIsNamed looks for texts in every file but the key.
func nobodyIsNamed(t *testing.T, dir string, texts ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, keyFile) {
			return err
		}
		data, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(data, []byte(text)) {
				t.Errorf("%s names somebody", filepath.Base(path))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLessons: what was learnt is there after a restart, and nothing of what was learnt before it.
func TestLessons(t *testing.T) {
	dir := create(t)
	m := open(t, dir)
	if l, err := m.Lessons(); err != nil || l.Bundle != nil || len(l.Kinds) != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	for n, kinds := range []map[string][]string{{"inps": {"inps"}, "c_a944": {"municipality"}}, {"inps": {}}} {
		if err := m.Learn(Lessons{Bundle: []byte{byte(n)}, Kinds: kinds}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.LearnKinds("bundle", []string{"x"}); err != nil { // an id like another
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := open(t, dir).Lessons()
	if err != nil || string(l.Bundle) != "\x01" || len(l.Kinds) != 2 || len(l.Kinds["bundle"]) != 1 || l.Kinds["c_a944"] != nil {
		t.Errorf("%+v, %v", l, err)
	}
}
