// SPDX-License-Identifier: EUPL-1.2

// Package consents is how a ledger's operator collects on its own pages what citizens say of their consents: the records, in
// the form of package consent, each at its place in the citizen's list; and what a body's request for a consent has to be.
//
// What ends something of a citizen's, or refuses it, rests on their login. What gives something rests on their passkey: its
// record is drafted, shown and signed in the browser, and recorded as it was signed.
package consents

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
)

// Ledger is where they are recorded; *node.Node is one.
type Ledger interface {
	// ConsentPlace is where a citizen's next record stands.
	ConsentPlace(ctx context.Context, subject ledger.Subject) (epoch uint32, previous *ledger.Hash, err error)
	// CollectConsent records a statement that the operator collected. A refusal is a *ledger.Problem.
	CollectConsent(ctx context.Context, s *ledger.ConsentSubmission, r *ledger.Receipt) (*ledger.Answer, error)
	OperatorID() string
	Registry() *registry.Registry
	// Blob is a document that the log names by its digest.
	Blob(ctx context.Context, digest ledger.Hash) ([]byte, error)
	Now() time.Time
}

// Desk collects statements. It is safe for concurrent use.
type Desk struct {
	Ledger Ledger
	Name   string // of the ledger

	mu    sync.Mutex
	of    ledger.Hash          // digest of the bundle that known is of; guarded by mu
	known *policies.Vocabulary // nil: not read yet; guarded by mu
}

// Person is whose list it is, and who speaks.
type Person struct {
	Subject ledger.Subject
	Mandate string // id of the mandate under which they are spoken for; "": they speak themself
	Token   string // signed login token of who speaks
	Lang    string // in which they read
}

// ErrNoToken: the login left no signed token for a statement to rest on.
var ErrNoToken = errors.New("the login left no signed token")

// tries is how often a statement that nobody signs is written anew because the list has grown meanwhile.
const tries = 5

// Say records a statement that rests on the login alone, at whatever place is the next. Of the record its caller gives what
// it says. A refusal is a *ledger.Problem.
func (d *Desk) Say(ctx context.Context, who Person, r *consent.Record) error {
	if who.Token == "" {
		return ErrNoToken
	}
	for try := 1; ; try++ {
		draft, err := d.draft(ctx, who, r)
		if err != nil {
			return err
		}
		err = d.record(ctx, who, draft, consent.Evidence{Type: consent.EvidenceLogin, Login: sha256.Sum256([]byte(who.Token))})
		if !OtherPlace(err) || try == tries {
			return err
		}
	}
}

// OtherPlace says whether a record was refused for the place it names alone: the list has grown since.
func OtherPlace(err error) bool {
	var p *ledger.Problem
	return errors.As(err, &p) && p.Code == consent.CodeOtherPlace
}

// Draft is a record for a place in a citizen's list.
type Draft struct {
	Kind   string   `json:"kind"`
	ID     string   `json:"id"`
	Record []byte   `json:"record"` // what a passkey signs
	Salt   [32]byte `json:"salt"`   // of the citizen in the receipt
	// At is when it was made: the record's own time.
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"` // end of what it begins
}

// draft completes a record, but for its evidence.
func (d *Desk) draft(ctx context.Context, who Person, said *consent.Record) (*Draft, error) {
	r := *said
	var err error
	if r.Epoch, r.Previous, err = d.Ledger.ConsentPlace(ctx, who.Subject); err != nil {
		return nil, err
	}
	draft := &Draft{Kind: r.Kind, ID: consent.NewID(), At: d.Ledger.Now().UTC().Truncate(time.Second)}
	rand.Read(draft.Salt[:])
	tree, err := ledger.NewSubjectTree([]ledger.SaltedSubject{{Subject: who.Subject, Salt: draft.Salt}})
	if err != nil {
		return nil, err
	}
	if r.Validity != nil {
		draft.Until = r.Validity.Until
	}
	r.ID, r.Created, r.Language, r.Ledger, r.Subject, r.Mandate = draft.ID, draft.At, who.Lang, d.Name, tree.Root(), who.Mandate
	draft.Record, err = consent.FormatRecord(&r)
	return draft, err
}

// record has a draft recorded with what it stands on.
func (d *Desk) record(ctx context.Context, who Person, draft *Draft, e consent.Evidence) error {
	raw, err := consent.FormatStatement(draft.Record, e)
	if err != nil {
		return err
	}
	statement, err := consent.ParseStatement(raw)
	if err != nil {
		return err
	}
	s := &ledger.ConsentSubmission{Subject: ledger.SaltedSubject{Subject: who.Subject, Salt: draft.Salt}, Consent: raw}
	rand.Read(s.Private.Salt[:])
	private := &ledger.Private{}
	if e.Login != (ledger.Hex{}) {
		private.Login = who.Token
	}
	if s.Private.Content, err = ledger.FormatPrivate(private); err != nil {
		return err
	}
	receipt := consent.Receipt(statement, raw, d.Ledger.OperatorID(), d.Ledger.Now())
	receipt.Actor = ledger.ActorService // no operator takes part
	_, err = d.Ledger.CollectConsent(ctx, s, receipt)
	return err
}

// Enrol drafts the enrolment of a passkey, valid for as long as may be, or until its end.
func (d *Desk) Enrol(ctx context.Context, who Person, p *consent.Passkey, end time.Time) (*Draft, error) {
	v := &consent.Validity{From: d.Ledger.Now().UTC().Truncate(time.Second)}
	v.Until = until(v.From.AddDate(consent.MaxYears, 0, 0), end)
	return d.draft(ctx, who, &consent.Record{Kind: ledger.KindPasskeyEnrolled, Passkey: p, Validity: v})
}

// Give drafts a consent.
func (d *Desk) Give(ctx context.Context, who Person, t *consent.Terms, v *consent.Validity) (*Draft, error) {
	return d.draft(ctx, who, &consent.Record{Kind: ledger.KindConsentGiven, Terms: t, Validity: v})
}

// until is the earlier of two ends; zero is none.
func until(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// Signed has a draft recorded as the passkey's answer signs it; a new passkey rests on the login too. The evidence's type is
// for Signed to fill in. A refusal is a *ledger.Problem.
func (d *Desk) Signed(ctx context.Context, who Person, draft *Draft, e consent.Evidence) error {
	e.Type = consent.EvidencePasskey
	if draft.Kind == ledger.KindPasskeyEnrolled {
		if who.Token == "" {
			return ErrNoToken
		}
		e.Type, e.Login = consent.EvidenceRegistration, sha256.Sum256([]byte(who.Token))
	}
	return d.record(ctx, who, draft, e)
}

// Challenge is what a passkey signs of a draft.
func (d *Desk) Challenge(draft *Draft) (ledger.Hash, error) {
	r, err := consent.ParseRecord(draft.Record)
	if err != nil {
		return ledger.Hash{}, err
	}
	return consent.Challenge(d.Name, r.Epoch, draft.Record), nil
}
