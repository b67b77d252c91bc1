// SPDX-License-Identifier: EUPL-1.2

// Package session keeps who is logged in to the ledger's pages.
//
// A session is a row of the ledger's store and a secret in the browser's cookie. The row's key and the key that seals it
// are made from the secret, which the ledger doesn't keep: whoever has the database, and every key of the ledger with it,
// can't tell who was there, and can't make a cookie. Several processes that share the store share the sessions.
//
// It ends 15 minutes after its last request, 4 hours after the login, or when its citizen leaves; the row is then gone, and
// the cookie worth nothing. A login always makes a new secret, so that nobody can have chosen it before.
package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/traccia-ledger/traccia/cmd/internal/web/consents"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// How long a session lasts.
const (
	Idle     = 15 * time.Minute // after its last request
	Absolute = 4 * time.Hour    // after the login
	noticed  = time.Minute      // a request this soon after the last one isn't written down
)

// ErrEnded: there is no such session, or not any more.
var ErrEnded = errors.New("the session ended")

// Identity is what a provider of identity proved about who logged in.
type Identity struct {
	Provider string           `json:"provider"` // the configuration's id of it, "spid"
	Level    int              `json:"level"`    // of assurance: 2 or 3
	Subjects []ledger.Subject `json:"subjects"` // codes that it proves, the first is the one in force
	At       time.Time        `json:"at"`       // when they were authenticated
	// Token is the signed token that names Subjects, compact: what a consent or a passkey that rests on this login seals
	// beside it (docs/consent.md).
	Token string `json:"token,omitempty"`
	// AccessToken is taken back when the session ends.
	AccessToken string `json:"access_token,omitempty"`
	// IDToken is the hint that ends the provider's own session.
	IDToken string `json:"id_token,omitempty"`
}

// Session of a citizen. It belongs to one request; Store.Change changes the kept one.
type Session struct {
	Identity Identity       `json:"identity"`
	Subject  ledger.Subject `json:"subject"`           // whose list is shown: one of the identity's, or a mandate's
	Mandate  *Mandate       `json:"mandate,omitempty"` // under which they act for Subject; nil: for themselves
	Seen     time.Time      `json:"seen"`              // the last request, within a minute
	Ends     time.Time      `json:"ends"`              // at the latest
	// Told is what the next page says was done; a key of the catalogs, "".
	Told string `json:"told,omitempty"`
	// Draft is a record about consent for Subject that waits for a passkey; nil: none does.
	Draft *consents.Draft `json:"draft,omitempty"`
}

// Mandate is why somebody sees another's list.
type Mandate struct {
	ID        string         `json:"id"`
	Relation  string         `json:"relation"`  // a Relation constant of package consent
	Collector string         `json:"collector"` // the body that recorded it
	Until     time.Time      `json:"until"`
	Delegate  ledger.Subject `json:"delegate"` // the code of the identity that it names
}

// Rows is where sessions are kept; *node.Node has them.
type Rows interface {
	// Session returns the row at key, nil if there is none.
	Session(ctx context.Context, key []byte) ([]byte, error)
	// ChangeSession puts a row in the place of another, nil is none; store.ErrConflict if it isn't that other one any more.
	ChangeSession(ctx context.Context, key, from, to []byte) error
	// SweepSessions takes away those that are over.
	SweepSessions(ctx context.Context, now time.Time) (int, error)
}

// Store makes, finds and ends sessions. It is safe for concurrent use.
type Store struct {
	rows Rows
	now  func() time.Time
}

// New returns the store over rows; now is its clock.
func New(rows Rows, now func() time.Time) *Store { return &Store{rows, now} }

// secret is what a cookie holds: when its row goes away, and 32 random bytes.
//
//	base64url(u32 hour ‖ random 32)
type secret [36]byte

func parseSecret(cookie string) (s secret, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	// The decoder passes over line ends.
	if err != nil || len(raw) != len(s) || len(cookie) != base64.RawURLEncoding.EncodedLen(len(s)) {
		return s, ErrEnded
	}
	return secret(raw), nil
}

func (s *secret) derive(what string) [32]byte {
	m := hmac.New(sha256.New, s[4:])
	m.Write([]byte(ledger.NameSpace + "/session-" + what + "\x00"))
	m.Write(s[:4])
	return [32]byte(m.Sum(nil))
}

// row is the session's key in the store.
func (s *secret) row() []byte {
	id := s.derive("row")
	hours := binary.BigEndian.Uint32(s[:4])
	return rows.SessionKey(time.Unix(int64(hours)*3600, 0), [16]byte(id[:16]))
}

func (s *secret) seal(session *Session) ([]byte, error) {
	plain, err := json.Marshal(session)
	if err != nil {
		return nil, err
	}
	key := s.derive("seal")
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, s.row()), nil
}

func (s *secret) open(sealed []byte) (*Session, error) {
	key := s.derive("seal")
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, ErrEnded
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], s.row())
	if err != nil {
		return nil, ErrEnded
	}
	session := new(Session)
	if err := json.Unmarshal(plain, session); err != nil || len(session.Identity.Subjects) == 0 {
		return nil, ErrEnded
	}
	return session, nil
}

// Begin makes a session, and returns the cookie's value.
func (st *Store) Begin(ctx context.Context, identity Identity) (cookie string, err error) {
	if len(identity.Subjects) == 0 {
		return "", errors.New("couldn't begin a session: the identity proves no code")
	}
	now := st.now()
	s := &Session{Identity: identity, Subject: identity.Subjects[0], Seen: now, Ends: now.Add(Absolute)}
	var k secret
	binary.BigEndian.PutUint32(k[:4], uint32((s.Ends.Unix()+3599)/3600))
	rand.Read(k[4:])
	sealed, err := k.seal(s)
	if err != nil {
		return "", err
	}
	if err := st.rows.ChangeSession(ctx, k.row(), nil, sealed); err != nil {
		return "", fmt.Errorf("couldn't keep the session: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(k[:]), nil
}

// Get returns the session of a cookie, and notes that it was used; ErrEnded.
func (st *Store) Get(ctx context.Context, cookie string) (*Session, error) {
	return st.Change(ctx, cookie, nil)
}

// row reads the row of a session; ErrEnded if there is none.
func (st *Store) row(ctx context.Context, key []byte) ([]byte, error) {
	was, err := st.rows.Session(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the session: %w", err)
	}
	if was == nil {
		return nil, ErrEnded
	}
	return was, nil
}

// Change lets f change a session and keeps it so; nil: nothing but that it was seen. Where f returns an error, nothing changes.
func (st *Store) Change(ctx context.Context, cookie string, f func(*Session) error) (*Session, error) {
	k, err := parseSecret(cookie)
	if err != nil {
		return nil, err
	}
	for {
		was, err := st.row(ctx, k.row())
		if err != nil {
			return nil, err
		}
		s, err := k.open(was)
		if err != nil {
			return nil, err
		}
		now := st.now()
		if now.Sub(s.Seen) >= Idle || !now.Before(s.Ends) {
			return nil, errors.Join(ErrEnded, ignoreConflict(st.rows.ChangeSession(ctx, k.row(), was, nil)))
		}
		if f == nil && now.Sub(s.Seen) < noticed {
			return s, nil
		}
		s.Seen = now
		if f != nil {
			if err := f(s); err != nil {
				return nil, err
			}
		}
		sealed, err := k.seal(s)
		if err != nil {
			return nil, err
		}
		// Another request may have changed it, or ended it: then it is looked at again.
		if err := st.rows.ChangeSession(ctx, k.row(), was, sealed); err == nil {
			return s, nil
		} else if !errors.Is(err, store.ErrConflict) {
			return nil, fmt.Errorf("couldn't keep the session: %w", err)
		}
	}
}

// End ends a session and returns what it was; ErrEnded if it was over.
func (st *Store) End(ctx context.Context, cookie string) (*Session, error) {
	k, err := parseSecret(cookie)
	if err != nil {
		return nil, err
	}
	for {
		was, err := st.row(ctx, k.row())
		if err != nil {
			return nil, err
		}
		err = st.rows.ChangeSession(ctx, k.row(), was, nil)
		if err == nil {
			return k.open(was)
		} else if !errors.Is(err, store.ErrConflict) {
			return nil, fmt.Errorf("couldn't end the session: %w", err)
		}
	}
}

// Sweep takes away the rows of sessions that are over, until ctx ends.
func (st *Store) Sweep(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		if _, err := st.rows.SweepSessions(ctx, st.now()); err != nil && ctx.Err() == nil {
			failed(fmt.Errorf("couldn't take ended sessions away: %w", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func ignoreConflict(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// Choose shows the list of another of the identity's codes; false if it proves no such code.
func (s *Session) Choose(i int) bool {
	if i < 0 || i >= len(s.Identity.Subjects) {
		return false
	}
	s.Subject, s.Mandate, s.Draft = s.Identity.Subjects[i], nil, nil
	return true
}

// Act shows a citizen's list under a mandate.
func (s *Session) Act(citizen ledger.Subject, m Mandate) {
	s.Subject, s.Mandate, s.Draft = citizen, &m, nil
}

// Person says of whom a page is, in its forms: the code, and the mandate that it is shown under.
func (s *Session) Person() string {
	if s.Mandate == nil {
		return string(s.Subject)
	}
	return string(s.Subject) + " " + s.Mandate.ID
}

// Which is the place of Subject among the identity's codes; -1 under a mandate.
func (s *Session) Which() int { return slices.Index(s.Identity.Subjects, s.Subject) }

type contextKey struct{}

// With puts a session into a request's context.
func With(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, contextKey{}, s)
}

// From returns the session of a request, nil for a visitor.
func From(ctx context.Context) *Session {
	s, _ := ctx.Value(contextKey{}).(*Session)
	return s
}
