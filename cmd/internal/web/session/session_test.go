// SPDX-License-Identifier: EUPL-1.2

package session_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Invented codes.
const (
	anna  = ledger.Subject("RSSMRA80A01H501U")
	bruno = ledger.Subject("RSSMRA80A01H50MM")
)

// fixture is the sessions of a ledger, with a clock.
type fixture struct {
	*testing.T
	dir   string
	node  *node.Node
	store *session.Store
	now   time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, dir: filepath.Join(t.TempDir(), "ledger"), now: time.Now()}
	nodetest.NewWorld(t, f.now).Create(t, f.dir, node.Options{})
	f.open()
	t.Cleanup(func() { f.node.Close() })
	return f
}

func (f *fixture) open() {
	f.Helper()
	var err error
	if f.node, err = node.Open(context.Background(), f.dir, node.Options{}); err != nil {
		f.Fatal(err)
	}
	f.store = session.New(f.node, func() time.Time { return f.now })
}

func (f *fixture) begin(subjects ...ledger.Subject) string {
	f.Helper()
	cookie, err := f.store.Begin(f.Context(), session.Identity{Provider: "spid", Level: 2, Subjects: subjects, At: f.now, Token: "a signed token"})
	if err != nil {
		f.Fatal(err)
	}
	return cookie
}

func (f *fixture) is(cookie string, want error) {
	f.Helper()
	s, err := f.store.Get(f.Context(), cookie)
	if !errors.Is(err, want) || err == nil && s.Subject == "" {
		f.Errorf("the session is %v, want %v", err, want)
	}
}

func TestLife(t *testing.T) {
	f := newFixture(t)
	begun := f.now
	cookie := f.begin(anna, bruno)
	s, err := f.store.Get(t.Context(), cookie)
	if err != nil || s.Subject != anna || s.Identity.Token != "a signed token" || s.Identity.Level != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	// Whoever is active stays, also over a restart of the ledger, but for four hours.
	for f.now.Sub(begun) < session.Absolute-14*time.Minute {
		f.now = f.now.Add(14 * time.Minute)
		f.is(cookie, nil)
	}
	f.node.Close()
	f.open()
	f.is(cookie, nil)
	f.now = begun.Add(session.Absolute)
	f.is(cookie, session.ErrEnded)
	f.now = begun
	f.is(cookie, session.ErrEnded) // it doesn't come back

	idle := f.begin(anna)
	f.now = f.now.Add(session.Idle - time.Second)
	f.is(idle, nil)
	f.now = f.now.Add(session.Idle)
	f.is(idle, session.ErrEnded)

	left := f.begin(anna)
	if s, err := f.store.End(t.Context(), left); err != nil || s.Identity.Subjects[0] != anna {
		t.Errorf("%+v, %v", s, err)
	}
	f.is(left, session.ErrEnded)
	if _, err := f.store.End(t.Context(), left); !errors.Is(err, session.ErrEnded) {
		t.Errorf("ended twice: %v", err)
	}
	if _, err := f.store.Begin(t.Context(), session.Identity{}); err == nil {
		t.Error("an identity without a code has a session")
	}
}

func TestCookie(t *testing.T) {
	f := newFixture(t)
	cookie, other := f.begin(anna), f.begin(anna)
	if cookie == other {
		t.Error("two sessions have one cookie")
	}
	raw, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(raw) != 36 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	for bit := range 8 * len(raw) {
		flipped := bytes.Clone(raw)
		flipped[bit/8] ^= 1 << (bit % 8)
		f.is(base64.RawURLEncoding.EncodeToString(flipped), session.ErrEnded)
	}
	for _, bad := range []string{"", "x", cookie + "A", cookie[1:], cookie + "=", " " + cookie, base64.StdEncoding.EncodeToString(raw) + "\n"} {
		f.is(bad, session.ErrEnded)
	}
	f.is(cookie, nil)
}

func TestChange(t *testing.T) {
	f := newFixture(t)
	cookie := f.begin(anna, bruno)
	refused := errors.New("refused")
	if _, err := f.store.Change(t.Context(), cookie, func(s *session.Session) error { s.Choose(1); return refused }); err != refused {
		t.Errorf("%v", err)
	}
	if s, _ := f.store.Get(t.Context(), cookie); s.Subject != anna {
		t.Error("a refused change was kept")
	}
	s, err := f.store.Change(t.Context(), cookie, func(s *session.Session) error {
		if s.Choose(2) || s.Choose(-1) || !s.Choose(1) {
			t.Error("chose among other codes")
		}
		return nil
	})
	if err != nil || s.Subject != bruno || s.Which() != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	// However requests come together, an ended session isn't there any more.
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				_, err := f.store.Change(t.Context(), cookie, func(*session.Session) error { return nil })
				if err != nil && !errors.Is(err, session.ErrEnded) {
					t.Error(err)
				}
			}
		})
	}
	if _, err := f.store.End(t.Context(), cookie); err != nil {
		t.Error(err)
	}
	all.Wait()
	f.is(cookie, session.ErrEnded)
}

// TestRows: who has the database and all keys of the ledger finds nobody, and can't tell two sessions of one person.
func TestRows(t *testing.T) {
	f := newFixture(t)
	cookie := f.begin(anna)
	f.begin(anna)
	raw, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.node.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(filepath.Join(f.dir, "store"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var keys, values [][]byte
	err = snap.Scan(t.Context(), store.TableSession, nil, nil, 0, func(key, value []byte) error {
		keys, values = append(keys, bytes.Clone(key)), append(values, bytes.Clone(value))
		for _, secret := range [][]byte{[]byte(anna), []byte("a signed token"), []byte("spid"), raw[4:], raw[4:20]} {
			if bytes.Contains(key, secret) || bytes.Contains(value, secret) {
				t.Errorf("a row holds %q", secret)
			}
		}
		return nil
	})
	if err != nil || len(keys) != 2 || bytes.Equal(keys[0][4:], keys[1][4:]) || !bytes.Equal(keys[0][:4], keys[1][:4]) {
		t.Errorf("%x, %v", keys, err)
	}
	// A row put in another's place opens for neither.
	snap.Close()
	if err := db.Commit(t.Context(), nil, []store.Row{{Table: store.TableSession, Key: keys[0], Value: values[1]}, {Table: store.TableSession, Key: keys[1], Value: values[0]}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f.open()
	f.is(cookie, session.ErrEnded)
	// Rows of sessions that nobody comes back to go away.
	if n, err := f.node.SweepSessions(t.Context(), f.now.Add(session.Absolute-time.Hour)); n != 0 || err != nil {
		t.Errorf("%d of two open sessions went, %v", n, err)
	}
	if n, err := f.node.SweepSessions(t.Context(), f.now.Add(session.Absolute+time.Hour)); n != 2 || err != nil {
		t.Errorf("%d of two ended sessions went, %v", n, err)
	}
}
