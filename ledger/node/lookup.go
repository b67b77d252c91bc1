// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// LookUp is a look into the ledger itself, which leaves an event in +ledger: a receipt of role requester, signed by who
// looked with a key that the log registers for them.
type LookUp struct {
	Receipt  *ledger.SignedReceipt
	Salt     [32]byte // of the private part
	Content  []byte   // the private part
	Subjects []ledger.SaltedSubject
}

// RecordLookUp makes one event for each subject of a look-up, unless the requester has one for a subject in this month
// already: then nothing is recorded. A refusal is a *ledger.Problem.
func (n *Node) RecordLookUp(ctx context.Context, l LookUp) (*sequencer.Committed, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	var c *sequencer.Committed
	err = n.current(ctx, func(y *year) (err error) {
		c, err = y.recordOwn(ctx, ledger.KindLookUp, l)
		return err
	})
	return c, err
}

// recordOwn records an event that rests on a receipt of role requester alone.
func (y *year) recordOwn(ctx context.Context, kind string, l LookUp) (*sequencer.Committed, error) {
	r := l.Receipt
	if before := y.before(); before != nil {
		row, err := before.lookUp(ctx, r.Iss, r.JTI)
		if err != nil {
			return nil, err
		}
		if row != nil {
			return before.recorded(row), nil
		}
	}
	tree, err := y.n.belongs(&l)
	if err != nil {
		return nil, err
	}
	decision, err := ledger.FormatDecision(ledger.Decision{Effect: ledger.EffectRecorded})
	if err != nil {
		return nil, err
	}
	rule, _ := ledger.KindOf(kind)
	p := &sequencer.Pending{
		Receipt: r, Kind: kind, Scope: rule.Scope, Agency: r.Iss,
		AgencyK: y.output(ledger.AgencyAlpha(r.Iss, y.epoch)),
		Private: sequencer.PendingPrivate{Salt: l.Salt, Content: l.Content},
		// Of the tokens that other events rest on there are none.
		Assurance: ledger.Assurance{Profile: ledger.ProfileRequest, Flags: []string{}}, Decision: decision,
	}
	for i, s := range l.Subjects {
		p.Subjects = append(p.Subjects, sequencer.PendingSubject{
			SaltedSubject: s, Proof: tree.Proof(i), K: y.output(ledger.SubjectAlpha(s.Subject, p.Scope, y.epoch)),
		})
	}
	for range rechecks {
		p.Version = y.registry.Version()
		if err := y.checkKey(r); err != nil {
			return nil, err
		}
		if err := y.keepList(ctx, p); err != nil {
			return nil, err
		}
		c, err := y.seq.Submit(ctx, p)
		if !errors.Is(err, sequencer.ErrMoved) {
			return c, err
		}
	}
	return nil, sequencer.ErrMoved
}

// belongs checks that a receipt of role requester is this ledger's and that of its parts, and returns the tree of its
// subjects.
func (n *Node) belongs(l *LookUp) (*ledger.SubjectTree, error) {
	r := l.Receipt
	tree, err := ledger.NewSubjectTree(l.Subjects)
	if err != nil {
		return nil, err
	}
	if r.Role != ledger.RoleRequester || r.Aud != n.Settings.Name || r.Subjects.Root != ledger.Hex(tree.Root()) || r.Subjects.Count != tree.Len() ||
		r.PrivateDigest != ledger.Hex(ledger.PrivateDigest(&l.Salt, l.Content)) {
		return nil, &ledger.Problem{Code: ledger.CodeBadValue, Where: "receipt", Expected: "a requester's, for this ledger, these subjects and private part", Found: "another"}
	}
	return tree, nil
}

// checkKey checks that a receipt is signed with a key that is in force behind every record so far.
func (y *year) checkKey(r *ledger.SignedReceipt) error {
	key, err := y.registry.Key(r.Iss, r.JWS.Header.Kid, math.MaxUint64)
	if err != nil || r.JWS.Verify(key) != nil {
		return &ledger.Problem{Code: "bad_signature", Where: "receipt", Expected: "a signature by a key in force of " + r.Iss, Found: "another"}
	}
	return nil
}

// lookedUp says of each subject whether a requester's look-up of this month left its event.
func (y *year) lookedUp(ctx context.Context, snap store.Reader, requester string, subjects []ledger.Subject) ([]bool, error) {
	keys := make([][]byte, len(subjects))
	for i, s := range subjects {
		keys[i] = rows.LookUpKey(&y.handle, y.epoch, requester, s, seal.Month(y.n.Now()))
	}
	found, err := snap.GetMany(ctx, store.TableLookUp, keys)
	seen := make([]bool, len(found))
	for i := range found {
		seen[i] = found[i] != nil
	}
	return seen, err
}

// What the operator's look-ups say of themselves, beside their purpose.
const (
	lookUpBasis     = "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c"
	lookUpReference = "Regolamento (UE) 2016/679, art. 15"
	lookUpCategory  = "https://w3id.org/dpv#ObservedPersonalData"
	lookUpPath      = "/history"
)

// LookUpFor records that the operator looks into a citizen's history because they asked for it.
func (n *Node) LookUpFor(ctx context.Context, subject ledger.Subject) error {
	return n.lookUpFor(ctx, subject, "")
}

// LookUpUnder records that the operator looks into a citizen's history because a delegate asked for it under a mandate,
// which the citizen then sees beside their own look-ups.
func (n *Node) LookUpUnder(ctx context.Context, subject ledger.Subject, mandate string) error {
	return n.lookUpFor(ctx, subject, mandate)
}

func (n *Node) lookUpFor(ctx context.Context, subject ledger.Subject, mandate string) error {
	signer, err := n.keys.Operator(n.Epoch())
	if err != nil {
		return err
	}
	l, err := newLookUp(n.Settings.Name, n.Settings.operator(), mandate, subject, n.Now(), signer)
	if err != nil {
		return fmt.Errorf("couldn't sign the look-up: %w", err)
	}
	_, err = n.RecordLookUp(ctx, *l)
	return err
}

func newLookUp(name, requester, mandate string, subject ledger.Subject, now time.Time, signer crypto.Signer) (*LookUp, error) {
	purpose := ledger.PurposeLookUp
	if mandate != "" {
		purpose = ledger.PurposeLookUpDelegated
	}
	return sealOwn(&ledger.Receipt{
		Aud: name, Iss: requester, JTI: uuid.NewString(), IssuedAt: now.Unix(), Role: ledger.RoleRequester, Mandate: mandate,
		Provider: requester, Consumer: requester, Purpose: purpose, LegalBasis: lookUpBasis, LegalReference: lookUpReference,
		DataCategories: []string{lookUpCategory}, Actor: ledger.ActorOperator,
		Operation:  ledger.Operation{Method: "GET", Path: lookUpPath},
		OccurredAt: now.UTC().Format("2006-01-02T15:04:05Z"),
	}, subject, signer)
}

// sealOwn signs a receipt of role requester about one citizen.
func sealOwn(r *ledger.Receipt, subject ledger.Subject, signer crypto.Signer) (*LookUp, error) {
	l := &LookUp{Subjects: []ledger.SaltedSubject{{Subject: subject}}}
	rand.Read(l.Salt[:])
	rand.Read(l.Subjects[0].Salt[:])
	var err error
	if l.Content, err = ledger.FormatPrivate(&ledger.Private{}); err != nil {
		return nil, err
	}
	tree, err := ledger.NewSubjectTree(l.Subjects)
	if err != nil {
		return nil, err
	}
	key, err := jws.NewKey("", signer.Public())
	if err != nil {
		return nil, err
	}
	r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&l.Salt, l.Content))
	r.Subjects = ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(tree.Root())}
	compact, err := ledger.SignReceipt(r, key.Kid, signer)
	if err != nil {
		return nil, err
	}
	l.Receipt, err = ledger.ParseReceipt(compact)
	return l, err
}
