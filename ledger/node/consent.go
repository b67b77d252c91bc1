// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// ConsentRules are what the ledger needs to know of consents; package consent/webauthn has them.
type ConsentRules interface {
	// List begins the fold of a citizen's list in +consent; partial says that events before the first are gone.
	List(name string, partial bool) ConsentList
	// Kind reads what a body's consent member says, and returns the kind of its event, until when what it begins is valid
	// (zero: it begins nothing that ends by an event), and whether the private part, if it is at hand, has what it names.
	// Errors are *ledger.Problem.
	Kind(statement json.RawMessage, private *ledger.Private) (kind string, ends time.Time, err error)
	// Expired makes the statement that a consent's validity is over, with the receipt of the body that says so but for its
	// private_digest.
	Expired(e ConsentExpiry) (json.RawMessage, *ledger.Receipt, error)
}

// ConsentList folds a citizen's list, in the order of the log. Between two Adds it is safe for concurrent use.
type ConsentList interface {
	// Add takes the list's next event; the problem says why it doesn't count.
	Add(e ledger.ConsentEvent) *ledger.Problem
	// Covers says why nothing of the list covers an access; nil: an event of this kind does.
	Covers(u ledger.ConsentUse) (kind string, p *ledger.Problem)
	// Summaries says what became of everything in the list, as of an instant.
	Summaries(at time.Time) []ledger.ConsentSummary
	// Until is the latest end of validity of anything in the list.
	Until() time.Time
	// Last is the commitment of the last event; nil: there is none.
	Last() *ledger.Hash
	// Clone is a list of its own that goes on from where this one stands.
	Clone() ConsentList
}

// ConsentExpiry is what an event consent-expired says.
type ConsentExpiry struct {
	Name     string // of the ledger
	Epoch    uint32
	Body     string // that signs the receipt
	ID       string // the consent's
	Previous *ledger.Hash
	Subject  ledger.Hash // root over the citizen
	At       time.Time
}

// CodeNoConsents: this ledger records no consents.
const CodeNoConsents = "no_consents"

// errNoConsents: this program was made without the rules of consents.
var errNoConsents = &ledger.Problem{Code: CodeNoConsents, Where: "consent", Expected: "a ledger that records consents", Found: "one that doesn't"}

// consentList is a citizen's list as it stood in one snapshot of the store.
type consentList struct {
	ConsentList
	epoch    uint32 // of the year that is recorded in
	count    uint32 // events of that year
	erasures uint64 // node.erasures before it was read
}

// seen is what a check that relied on the list tells the sequencer.
func (l *consentList) seen(subject ledger.Subject) []sequencer.SeenConsents {
	return []sequencer.SeenConsents{{Subject: subject, Count: l.count}}
}

// consentsOf returns a citizen's list as of now. Others read it too: who adds to it makes a Clone.
func (y *year) consentsOf(ctx context.Context, subject ledger.Subject) (*consentList, error) {
	snap, err := y.n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	count, err := y.countConsents(ctx, snap, subject)
	if err != nil {
		return nil, err
	}
	l, ok := y.n.consentLists.Get(subject)
	switch ok = ok && l.epoch == y.epoch && l.count <= count && l.erasures == y.n.erasures.Load(); {
	case ok && l.count == count:
		return l, nil
	case ok:
		l = &consentList{l.Clone(), l.epoch, l.count, l.erasures}
		err = y.addConsents(ctx, snap, l, subject, count)
	default:
		l, err = y.readConsents(ctx, snap, subject)
	}
	if err != nil {
		return nil, err
	}
	y.n.consentLists.Add(subject, l)
	return l, nil
}

func (y *year) countConsents(ctx context.Context, snap store.Reader, subject ledger.Subject) (uint32, error) {
	row, err := snap.Get(ctx, store.TableCounter, rows.SubjectCounterKey(&y.handle, y.epoch, subject, ledger.ScopeConsent))
	if err != nil {
		return 0, fmt.Errorf("couldn't read a counter: %w", err)
	}
	count, err := rows.ParseCounter(row, 4)
	return uint32(count), err
}

// readConsents folds a citizen's events of this year and all before.
func (y *year) readConsents(ctx context.Context, snap store.Reader, subject ledger.Subject) (*consentList, error) {
	n := y.n
	if n.opt.Consents == nil {
		return nil, errNoConsents
	}
	l := &consentList{epoch: y.epoch, erasures: n.erasures.Load()}
	years, partial := n.all(), false
	for len(years) > 0 && years[0].gone {
		years, partial = years[1:], true
	}
	l.ConsentList = n.opt.Consents.List(n.Settings.Name, partial)
	for _, of := range years {
		if of.epoch > y.epoch {
			break
		}
		count, err := of.countConsents(ctx, snap, subject)
		if err != nil {
			return nil, err
		}
		l.count = 0
		if err := of.addConsents(ctx, snap, l, subject, count); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// addConsents takes this year's events from the list's count on.
func (y *year) addConsents(ctx context.Context, snap store.Reader, l *consentList, subject ledger.Subject, count uint32) error {
	for ; l.count < count; l.count++ {
		e, err := y.consentAt(ctx, snap, rows.ConsentKey(&y.handle, y.epoch, subject, l.count), store.TableConsent)
		if err != nil {
			return err
		}
		l.Add(e) // one that doesn't count changes nothing
	}
	return nil
}

// consentAt opens the event that a row of this table leads to.
func (y *year) consentAt(ctx context.Context, snap store.Reader, key []byte, table store.Table) (e ledger.ConsentEvent, err error) {
	row, err := snap.Get(ctx, table, key)
	if err != nil {
		return e, fmt.Errorf("couldn't read where a consent stands: %w", err)
	}
	if e.Epoch, e.Index, err = rows.ParseConsent(&y.handle, key, row); err != nil || e.Epoch != y.epoch {
		return e, fmt.Errorf("couldn't read where a consent stands (ledgerd consents rebuild makes these rows again): %w", rows.ErrMalformed)
	}
	return y.consentEvent(ctx, snap, e.Index)
}

// consentEvent opens an event of this year in +consent. One that was erased has neither body nor receipt.
func (y *year) consentEvent(ctx context.Context, snap store.Reader, index uint64) (ledger.ConsentEvent, error) {
	e := ledger.ConsentEvent{Epoch: y.epoch, Index: index}
	leaves, err := y.leafAt(ctx, e.Index)
	if err != nil || len(leaves) != 1 {
		return e, fmt.Errorf("couldn't read leaf %d: %w", e.Index, err)
	}
	leaf, err := ledger.ParseLeaf(leaves[0])
	if err != nil {
		return e, fmt.Errorf("couldn't read leaf %d: %w", e.Index, err)
	}
	event, ok := leaf.(ledger.Event)
	if !ok {
		return e, fmt.Errorf("couldn't read leaf %d: it is no event", e.Index)
	}
	e.Commitment = event.Commitment
	opener := Opener{Rows: snap, Epoch: y.epoch, Handle: y.handle, Months: y.n.months, Erased: y.n.keys.Erased}
	opened, err := opener.Open(ctx, e.Index, leaves[0])
	if errors.Is(err, ErrErased) {
		return e, nil
	} else if err != nil {
		return e, err
	}
	if e.Body, err = ledger.ParseBody(opened.Body); err != nil {
		return e, fmt.Errorf("couldn't read the body of event %d: %w", e.Index, err)
	}
	e.Receipt, err = ledger.ParseReceipt(e.Body.Receipt)
	return e, err
}

// leafAt reads one leaf that a row tells of. A row is durable an instant before the log is known to reach to its leaf.
func (y *year) leafAt(ctx context.Context, index uint64) ([][]byte, error) {
	for range 1000 {
		if y.shard.Root().Size > index {
			return y.shard.Leaves(ctx, index, 1)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, errors.New("the log ends before it")
}

// grant says what the consent that a receipt names is worth for it, and by which state of the citizen's list. Of a list
// view or an extraction no consent of one citizen covers the others.
func (y *year) grant(ctx context.Context, r *ledger.Receipt, subjects []ledger.SaltedSubject, attributes []string) (intake.Granted, error) {
	if len(subjects) != 1 {
		return intake.Granted{Problem: &ledger.Problem{
			Code: ledger.CodeBadCount, Where: "receipt#consent_id", Expected: "one citizen where a consent is named", Found: fmt.Sprint(len(subjects)),
		}}, nil
	}
	l, err := y.consentsOf(ctx, subjects[0].Subject)
	if err != nil {
		return intake.Granted{}, err
	}
	g := intake.Granted{Seen: l.seen(subjects[0].Subject)}
	g.Kind, g.Problem = l.Covers(ledger.ConsentUseOf(r, attributes))
	return g, nil
}

// RecordConsent checks and records one event about consent, and answers with its proof once it is durable: what the citizen
// gets to keep. Sent again it answers with the same entry, replayed. A refusal is a *ledger.Problem.
func (n *Node) RecordConsent(ctx context.Context, raw []byte) (answer *ledger.Answer, replayed bool, err error) {
	done, err := n.use()
	if err != nil {
		return nil, false, err
	}
	defer done()
	s, err := ledger.ParseConsentSubmission(raw)
	if err != nil {
		return nil, false, err
	}
	if s.Consent == nil {
		return nil, false, &ledger.Problem{Code: ledger.CodeMissing, Where: "/consent", Expected: "a statement", Found: "nothing"}
	}
	return n.recordConsent(ctx, s)
}

func (n *Node) recordConsent(ctx context.Context, s *ledger.ConsentSubmission) (answer *ledger.Answer, replayed bool, err error) {
	p, err := n.pendingConsent(s)
	if err != nil {
		return nil, false, err
	}
	var at *year
	var c *sequencer.Committed
	err = n.current(ctx, func(y *year) (err error) {
		at = y
		if before := y.before(); before != nil && !before.gone {
			row, err := before.lookUp(ctx, p.Receipt.Iss, p.Receipt.JTI)
			if err != nil {
				return err
			}
			if row != nil {
				at, c = before, before.recorded(row)
				if row.PayloadDigest != p.Receipt.PayloadDigest {
					return sequencer.ErrConflict
				}
				return nil
			}
		}
		c, err = y.recordConsent(ctx, p)
		return err
	})
	switch {
	case err != nil:
		return nil, false, err
	case c.Replayed:
		answer, err = at.replay(ctx, c)
		return answer, true, err
	}
	answer, err = at.answer(ctx, p.Receipt, p.Scope, c)
	return answer, false, err
}

// pendingConsent checks what of a submission needs no year.
func (n *Node) pendingConsent(s *ledger.ConsentSubmission) (*sequencer.Pending, error) {
	if n.opt.Consents == nil {
		return nil, errNoConsents
	}
	r, err := ledger.ParseReceipt(s.Receipt)
	if err != nil {
		return nil, err
	}
	private, err := ledger.ParsePrivate(s.Private.Content)
	if err != nil {
		return nil, err
	}
	kind, ends, err := n.opt.Consents.Kind(s.Consent, private)
	if err != nil {
		return nil, err
	}
	tree, err := ledger.NewSubjectTree([]ledger.SaltedSubject{s.Subject})
	if err != nil {
		return nil, err
	}
	latest := n.Now().Add(intake.MaxAhead)
	refuse := func(code, where, expected, found string) (*sequencer.Pending, error) {
		return nil, &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
	}
	switch {
	case r.Aud != n.Settings.Name:
		return refuse("wrong_audience", "receipt#aud", n.Settings.Name, "another ledger's name")
	case r.Role != ledger.RoleRequester:
		return refuse("wrong_role", "receipt#role", ledger.RoleRequester, r.Role)
	case r.Occurred().After(latest) || time.Unix(r.IssuedAt, 0).After(latest):
		return refuse("in_future", "receipt#occurred_at", "not after "+latest.UTC().Format(time.RFC3339), "a later instant")
	case r.Subjects.Count != 1:
		return refuse(ledger.CodeCountMismatch, "receipt#subjects/count", "1", fmt.Sprint(r.Subjects.Count))
	case r.Subjects.Root != ledger.Hex(tree.Root()):
		return refuse(ledger.CodeRootMismatch, "receipt#subjects/root", "the root over the subject and its salt", "another")
	case r.PrivateDigest != ledger.Hex(ledger.PrivateDigest(&s.Private.Salt, s.Private.Content)):
		return refuse(ledger.CodeDigestMismatch, "receipt#private_digest", "the digest of the private part and its salt", "another")
	case s.Private.Salt == s.Subject.Salt:
		return refuse(ledger.CodeSaltRepeated, "/subject/salt", "a salt of its own", "the private part's")
	case r.Names([]ledger.Subject{s.Subject.Subject}):
		return refuse(ledger.CodeNamesSubject, "receipt", "no code of a subject", "one")
	}
	decision, err := ledger.FormatDecision(ledger.Decision{Effect: ledger.EffectRecorded})
	if err != nil {
		return nil, err
	}
	return &sequencer.Pending{
		Receipt: r, Kind: kind, Scope: ledger.ScopeConsent, Agency: r.Iss,
		Subjects:  []sequencer.PendingSubject{{SaltedSubject: s.Subject, Proof: tree.Proof(0)}},
		Private:   sequencer.PendingPrivate{Salt: s.Private.Salt, Content: s.Private.Content},
		Assurance: ledger.Assurance{Profile: ledger.ProfileRequest, Flags: []string{}}, Decision: decision,
		Consent: s.Consent, Ends: ends,
	}, nil
}

// settling is how long the sequencer may take with a statement that a deadline lies behind: it counts at both ends of that.
const settling = 2 * time.Second

// recordConsent gives a statement its place in this year, if it counts there.
func (y *year) recordConsent(ctx context.Context, p *sequencer.Pending) (*sequencer.Committed, error) {
	r, subject := p.Receipt, p.Subjects[0].Subject
	p.AgencyK, p.Subjects[0].K = y.output(ledger.AgencyAlpha(p.Agency, y.epoch)), y.output(ledger.SubjectAlpha(subject, p.Scope, y.epoch))
	for range rechecks {
		if row, err := y.lookUp(ctx, r.Iss, r.JTI); err != nil {
			return nil, err
		} else if row != nil && row.PayloadDigest == r.PayloadDigest {
			return y.recorded(row), nil
		} else if row != nil {
			return nil, sequencer.ErrConflict
		}
		p.Version = y.registry.Version()
		if err := y.checkKey(r); err != nil {
			return nil, err
		}
		if err := y.checkConsent(ctx, p); err != nil {
			return nil, err
		}
		c, err := y.seq.Submit(ctx, p)
		if !errors.Is(err, sequencer.ErrMoved) {
			return c, err
		}
	}
	return nil, sequencer.ErrMoved
}

// checkConsent folds the statement behind the list as it stands.
func (y *year) checkConsent(ctx context.Context, p *sequencer.Pending) error {
	list, err := y.consentsOf(ctx, p.Subjects[0].Subject)
	if err != nil {
		return err
	}
	p.Consents = list.seen(p.Subjects[0].Subject)
	now := y.n.Now()
	for _, at := range []time.Time{now, now.Add(settling)} {
		l := list.Clone()
		body := &ledger.Body{Kind: p.Kind, RecordedAt: at.UnixMilli(), Consent: p.Consent}
		if problem := l.Add(ledger.ConsentEvent{Epoch: y.epoch, Body: body, Receipt: p.Receipt}); problem != nil {
			return problem
		}
		p.KeepUntil = l.Until()
	}
	return nil
}

// keepList makes another event of a citizen's list, their request, open for as long as what the list holds is valid: a later
// reader who couldn't open it would have to take it for the end of that.
func (y *year) keepList(ctx context.Context, p *sequencer.Pending) error {
	if p.Scope != ledger.ScopeConsent || y.n.opt.Consents == nil {
		return nil
	}
	p.Consents = nil
	for _, s := range p.Subjects {
		l, err := y.consentsOf(ctx, s.Subject)
		if err != nil {
			return err
		}
		p.Consents = append(p.Consents, l.seen(s.Subject)...)
		if until := l.Until(); until.After(p.KeepUntil) {
			p.KeepUntil = until
		}
	}
	return nil
}

// output is the key of a tag's alpha.
func (y *year) output(alpha []byte) (k [32]byte) {
	beta := y.vrf.Output(alpha)
	copy(k[:], beta[:32])
	return k
}

// ConsentPlace is where a citizen's next record about consent stands: the year, and the body_commitment of their last event
// in +consent; nil if there is none.
func (n *Node) ConsentPlace(ctx context.Context, subject ledger.Subject) (epoch uint32, previous *ledger.Hash, err error) {
	done, err := n.use()
	if err != nil {
		return 0, nil, err
	}
	defer done()
	y := n.year()
	l, err := y.consentsOf(ctx, subject)
	if err != nil {
		return 0, nil, err
	}
	return y.epoch, l.Last(), nil
}

// Consents says what became of a citizen's consents, passkeys and mandates, as of now. It leaves no event: whoever looks
// must record that first.
func (n *Node) Consents(ctx context.Context, subject ledger.Subject) ([]ledger.ConsentSummary, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := n.year().consentsOf(ctx, subject)
	if err != nil {
		return nil, err
	}
	return l.Summaries(n.Now()), nil
}
