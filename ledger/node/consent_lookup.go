// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

// ConsentsSeen is what a body is told of a citizen's consents.
type ConsentsSeen struct {
	Epoch    uint32                  `json:"epoch"`             // of the next record
	Previous ledger.Hex              `json:"previous,omitzero"` // that the next record names; none: it is the list's first
	Covered  *bool                   `json:"covered,omitempty"` // where the receipt names a consent: it covers what the receipt says
	Why      *ledger.Problem         `json:"why,omitempty"`     // it doesn't
	Consents []ledger.ConsentSummary `json:"consents"`          // those that the body collected, asked for or receives by; for a consumer, those that it receives by
}

// LookUpConsents tells a body whether a citizen's consent covers it, which consents concern it, and where the citizen's next
// record stands. It is a look into the ledger: raw is a ledger.ConsentSubmission without a statement, with a voucher that
// is good now in its private part; and it leaves its event in +ledger before anything is told. The voucher is the body's own
// or, where the body runs a provider's gateway, that of the consumer that calls the provider: then what is told is whether
// that one is covered. A refusal is a *ledger.Problem.
func (n *Node) LookUpConsents(ctx context.Context, body string, raw []byte) (*ConsentsSeen, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if n.opt.Consents == nil {
		return nil, errNoConsents
	}
	l, reader, err := n.openLookUp(ctx, body, raw)
	if err != nil {
		return nil, err
	}
	if _, err := n.RecordLookUp(ctx, *l); err != nil {
		return nil, err
	}
	y, r, subject := n.year(), l.Receipt, l.Subjects[0].Subject
	list, err := y.consentsOf(ctx, subject)
	if err != nil {
		return nil, err
	}
	attributes := y.registry.Attributes(reader, y.shard.Root().Size)
	seen := &ConsentsSeen{Epoch: y.epoch, Consents: []ledger.ConsentSummary{}}
	if last := list.Last(); last != nil {
		seen.Previous = ledger.Hex(*last)
	}
	if r.ConsentID != "" {
		access := r.Receipt
		access.Consumer = reader
		_, p := list.Covers(ledger.ConsentUseOf(&access, attributes))
		covered := p == nil
		seen.Covered, seen.Why = &covered, p
	}
	for _, s := range list.Summaries(n.Now()) {
		receives := slices.ContainsFunc(s.Recipients, func(to string) bool { return ledger.ConsentReaches(to, reader, attributes) })
		if receives || reader == body && (s.Collector == body || s.Controller == body) {
			seen.Consents = append(seen.Consents, s)
		}
	}
	return seen, nil
}

// openLookUp checks what a body sends to look at one citizen's consents, and returns whom the answer is to be about.
func (n *Node) openLookUp(ctx context.Context, body string, raw []byte) (*LookUp, string, error) {
	s, err := ledger.ParseConsentSubmission(raw)
	if err != nil {
		return nil, "", err
	}
	l := &LookUp{Salt: s.Private.Salt, Content: s.Private.Content, Subjects: []ledger.SaltedSubject{s.Subject}}
	if l.Receipt, err = ledger.ParseReceipt(s.Receipt); err != nil {
		return nil, "", err
	}
	private, err := ledger.ParsePrivate(l.Content)
	if err != nil {
		return nil, "", err
	}
	refuse := func(code, where, expected, found string) (*LookUp, string, error) {
		return nil, "", &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
	}
	r := l.Receipt
	switch latest := n.Now().Add(intake.MaxAhead); {
	case r.Role != ledger.RoleRequester:
		return refuse("wrong_role", "receipt#role", ledger.RoleRequester, r.Role)
	case r.Iss != body:
		return refuse("wrong_issuer", "receipt#iss", body, "another body")
	case s.Consent != nil:
		return refuse(ledger.CodeBadValue, "/consent", "none in a look-up", "one")
	case r.Names([]ledger.Subject{s.Subject.Subject}):
		return refuse(ledger.CodeNamesSubject, "receipt", "no code of a subject", "one")
	case private.Voucher == "":
		return refuse(ledger.CodeMissing, "private#voucher", "a voucher of PDND that is good now", "nothing")
	case r.Occurred().After(latest):
		return refuse("in_future", "receipt#occurred_at", "not after "+latest.UTC().Format("2006-01-02T15:04:05Z"), "a later instant")
	}
	_, claims, err := n.tokens.Check(ctx, pdnd.Call{Voucher: private.Voucher, OccurredAt: n.Now()})
	if err != nil {
		var p *ledger.Problem
		if !errors.As(err, &p) && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", intake.ErrKeys, err)
		}
		return nil, "", err
	}
	reader, p := n.readerOf(body, claims)
	if p != nil {
		return nil, "", p
	}
	return l, reader, nil
}

// readerOf is whose voucher a body shows: its own, or that of a consumer of a provider that the body's scope speaks for.
func (n *Node) readerOf(body string, claims *pdnd.Claims) (string, *ledger.Problem) {
	reg := n.Registry()
	own, _ := reg.Body(body)
	if claims.ConsumerID == "" || own.Tenant == "" || claims.ConsumerID == own.Tenant {
		return body, nil
	}
	consumer, known := reg.Tenant(claims.ConsumerID)
	provider, offers := reg.Tenant(claims.ProducerID)
	providers, _ := reg.Providers(body)
	if !known || !offers || !slices.Contains(providers, provider.ID) {
		return "", &ledger.Problem{
			Code: pdnd.CodeMismatch, Where: "voucher#consumerId",
			Expected: "the body's own tenant, " + own.Tenant + ", or that of a consumer of a provider that it speaks for", Found: claims.ConsumerID,
		}
	}
	return consumer.ID, nil
}
