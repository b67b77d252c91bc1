// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/passkeytest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/policies/policytest"
)

// citizen is one whose consents a test records.
type citizen struct {
	*consenttest.Citizen
	r         *running
	person    int
	collector *consenttest.Collector
}

func (r *running) citizen(person int) *citizen {
	c := &citizen{r: r, person: person, Citizen: &consenttest.Citizen{Code: nodetest.Person(person)}}
	c.collector = &consenttest.Collector{Ledger: nodetest.Name, ID: nodetest.Consumers[0], Key: nodetest.Signer(nodetest.Consumers[0], 0)}
	rand.Read(c.Salt[:])
	c.now()
	return c
}

func (c *citizen) now() { c.At = c.r.Now().UTC().Truncate(time.Second) }

// record is a record of this kind, for accesses of the world.
func (c *citizen) record(kind string, change ...func(*consent.Record)) *consent.Record {
	c.now()
	r := c.Record(c.r.t, nodetest.Name, kind)
	if r.Terms != nil {
		r.Terms.Recipients, r.Terms.Purposes = []string{nodetest.Consumers[0]}, []string{"Verifica dei requisiti"}
		r.Validity.From = c.At.Add(-time.Hour)
	}
	for _, f := range change {
		f(r)
	}
	return r
}

// send has a statement recorded; the citizen's next one follows on it.
func (c *citizen) send(r *consent.Record, e consent.Evidence, change ...func(*ledger.Receipt)) (*ledger.Answer, error) {
	c.r.t.Helper()
	raw, err := ledger.FormatConsentSubmission(c.collector.Submission(c.r.t, c.Citizen, consenttest.Statement(c.r.t, r, e), change...))
	if err != nil {
		c.r.t.Fatal(err)
	}
	a, replayed, err := c.r.RecordConsent(context.Background(), raw)
	if err != nil {
		return nil, err
	}
	if replayed {
		c.r.t.Errorf("%s: recorded before", r.Kind)
	}
	leaf, err := ledger.ParseLeaf(a.Entries[0].Leaf)
	if err != nil {
		c.r.t.Fatal(err)
	}
	c.Next(leaf.(ledger.Event).Commitment)
	again, replayed, err := c.r.RecordConsent(context.Background(), raw)
	if err != nil || !replayed {
		c.r.t.Errorf("%s sent again: replayed is %v, %v", r.Kind, replayed, err)
	} else if err := nodetest.SameEntries(a, again); err != nil {
		c.r.t.Errorf("%s sent again: %v", r.Kind, err)
	}
	return a, nil
}

func (c *citizen) must(r *consent.Record, e consent.Evidence) *ledger.Answer {
	c.r.t.Helper()
	a, err := c.send(r, e)
	if err != nil {
		c.r.t.Fatalf("%s: %v", r.Kind, err)
	}
	return a
}

func ends(id string) func(*consent.Record) { return func(r *consent.Record) { r.Ends = id } }

// access is one of the citizen's data that names a consent.
func (c *citizen) access(n int, id string) []byte {
	return c.r.world.Make(c.r.t, n, nodetest.Access{
		Subjects: 1, First: c.person, Provider: nodetest.Hub, Consumer: nodetest.Consumers[0], Consent: id,
	})
}

func problemCode(err error) string {
	var p *ledger.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

var consents = node.Options{Consents: webauthn.Rules{}}

// TestConsents gives, refuses and withdraws, with a passkey and at a desk.
func TestConsents(t *testing.T) {
	r := newLedger(t, consents)
	c := r.citizen(3)
	submit := func(what string, n int, id, want string) *ledger.Answer {
		t.Helper()
		a, _, err := r.Submit(t.Context(), c.access(n, id))
		if got := problemCode(err); got != want {
			t.Errorf("%s: expected %q, found %v", what, want, err)
		}
		return a
	}
	p := passkeytest.New(t, "ES256", consenttest.RP, consenttest.Origin)
	enrolment := c.record(ledger.KindPasskeyEnrolled)
	c.must(enrolment, consenttest.Register(t, p, enrolment))
	given := c.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = enrolment.Validity.Until })
	submit("before it is given", 1, given.ID, consent.CodeUnknown)
	answer := c.must(given, consenttest.Sign(t, p, given))
	if body, err := ledger.ParseBody(answer.Entries[0].Body); err != nil || body.Consent == nil || body.Kind != ledger.KindConsentGiven {
		t.Errorf("the proof to keep: %+v, %v", body, err)
	}
	covered := submit("given", 2, given.ID, "")
	submit("none named", 3, "", "")
	refused := c.record(ledger.KindConsentRefused)
	c.must(refused, consenttest.LoginEvidence)
	submit("refused", 4, refused.ID, consent.CodeNotInForce)
	many := r.world.Make(t, 5, nodetest.Access{Subjects: 2, First: 3, Provider: nodetest.Hub, Consumer: nodetest.Consumers[0], Consent: given.ID})
	if _, _, err := r.Submit(t.Context(), many); problemCode(err) != ledger.CodeBadCount {
		t.Errorf("a list view: %v", err)
	}
	withdrawn := c.record(ledger.KindConsentWithdrawn, ends(given.ID))
	c.must(withdrawn, consenttest.Desk)
	submit("withdrawn", 6, given.ID, consent.CodeNotInForce)
	again, replayed, err := r.Submit(t.Context(), c.access(2, given.ID))
	if err != nil || !replayed {
		t.Errorf("the access before, sent again: %v, %v", replayed, err)
	} else if err := nodetest.SameEntries(covered, again); err != nil {
		t.Error(err)
	}

	for what, want := range map[string]struct {
		r      *consent.Record
		code   string
		e      consent.Evidence
		change func(*ledger.Receipt)
	}{
		"withdrawn again":  {c.record(ledger.KindConsentWithdrawn, ends(given.ID)), consent.CodeNotInForce, consenttest.Desk, nil},
		"at no place":      {c.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Previous = nil }), consent.CodeOtherPlace, consenttest.Desk, nil},
		"another audience": {c.record(ledger.KindConsentGiven), "wrong_audience", consenttest.Desk, func(r *ledger.Receipt) { r.Aud = "altro.example" }},
		"another body's":   {c.record(ledger.KindConsentGiven), "bad_signature", consenttest.Desk, func(r *ledger.Receipt) { r.Iss, r.Provider, r.Consumer = "hub", "hub", "hub" }},
		"tomorrow's": {c.record(ledger.KindConsentGiven), "in_future", consenttest.Desk, func(r *ledger.Receipt) {
			r.OccurredAt = r.Occurred().AddDate(0, 0, 1).Format(time.RFC3339)
		}},
		"another statement": {c.record(ledger.KindConsentGiven), ledger.CodeDigestMismatch, consenttest.Desk, func(r *ledger.Receipt) { r.ConsentDigest[0] ^= 1 }},
		"another citizen":   {c.record(ledger.KindConsentGiven), ledger.CodeRootMismatch, consenttest.Desk, func(r *ledger.Receipt) { r.Subjects.Root[0] ^= 1 }},
	} {
		var change []func(*ledger.Receipt)
		if want.change != nil {
			change = append(change, want.change)
		}
		if _, err := c.send(want.r, want.e, change...); problemCode(err) != want.code {
			t.Errorf("%s: expected %s, found %v", what, want.code, err)
		}
	}
	list, err := r.Consents(t.Context(), c.Code)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, s := range list {
		states = append(states, s.Kind+" "+s.State)
	}
	if len(states) != 3 || states[0] != "passkey-enrolled in_force" || states[1] != "consent-given withdrawn" || states[2] != "consent-refused refused" {
		t.Errorf("found %v", states)
	}
	if other, err := r.Consents(t.Context(), nodetest.Person(4)); err != nil || len(other) != 0 {
		t.Errorf("another citizen's: %v, %v", other, err)
	}
	r.stop()
}

// TestWithdrawnWins submits accesses beside the withdrawal of the consent that they name, over and over. In log order none
// is recorded as allowed after it; and none that is submitted after the withdrawal was acknowledged. Without policies what
// is too late is refused, with policies it is denied, and recorded so.
func TestWithdrawnWins(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 60
	}
	t.Run("without policies", func(t *testing.T) {
		r := newLedger(t, consents)
		withdrawnWins(t, r, rounds, func(err error) bool { return problemCode(err) == consent.CodeNotInForce })
		r.stop()
	})
	t.Run("with policies", func(t *testing.T) {
		r := newLedger(t, node.Options{Consents: webauthn.Rules{}, Policies: policies.Open})
		if _, err := r.ActivatePolicies(t.Context(), policytest.Bundle(t, "1", "context.consent")); err != nil {
			t.Fatal(err)
		}
		withdrawnWins(t, r, rounds/2, func(err error) bool {
			var d *node.Denied
			return errors.As(err, &d) && d.Decision.Facts != nil && !d.Decision.Facts.Consent
		})
		r.stop()
	})
}

// withdrawnWins does it for as many rounds, each of eight accesses; tooLate says whether one was refused for that.
func withdrawnWins(t *testing.T, r *running, rounds int, tooLate func(error) bool) {
	const each = 8
	rnd := mathrand.New(mathrand.NewPCG(7, 7))
	var citizens []*citizen
	for i := range 20 {
		citizens = append(citizens, r.citizen(i))
	}
	allowed, refused := 0, 0
	for round := range rounds {
		if round%20 == 0 {
			r.world = nodetest.NewWorld(t, time.Now()) // a consent covers what occurs after it
		}
		c := citizens[round%len(citizens)]
		given := c.record(ledger.KindConsentGiven)
		c.must(given, consenttest.Desk)
		var raws [][]byte
		for n := range each {
			raws = append(raws, c.access(round*each+n, given.ID))
		}
		withdrawn := c.record(ledger.KindConsentWithdrawn, ends(given.ID))
		delay := time.Duration(rnd.IntN(4000)) * time.Microsecond
		var g sync.WaitGroup
		var mu sync.Mutex
		var places []uint64
		var after []error // of those submitted after the withdrawal was acknowledged
		acknowledged := make(chan struct{})
		submit := func(raw []byte, late bool) {
			a, _, err := r.Submit(context.Background(), raw)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case late:
				after = append(after, err)
			case err == nil:
				places = append(places, a.FirstIndex)
			case tooLate(err), errors.Is(err, sequencer.ErrMoved):
				refused++
			default:
				t.Errorf("an access: %v", err)
			}
		}
		for n, raw := range raws {
			pause := time.Duration(rnd.IntN(4000)) * time.Microsecond
			g.Go(func() {
				if n == each-1 {
					<-acknowledged
				} else {
					time.Sleep(pause)
				}
				submit(raw, n == each-1)
			})
		}
		time.Sleep(delay)
		a := c.must(withdrawn, consenttest.Desk)
		close(acknowledged)
		g.Wait()
		for _, at := range places {
			if at > a.FirstIndex {
				t.Fatalf("round %d: an access at %d on a consent that was withdrawn at %d", round, at, a.FirstIndex)
			}
		}
		allowed += len(places)
		if len(after) != 1 || !tooLate(after[0]) {
			t.Fatalf("round %d: an access after the withdrawal was acknowledged: %v", round, after)
		}
	}
	if allowed < rounds/4 || refused < rounds/4 {
		t.Errorf("%d accesses before a withdrawal, %d after: this tests nothing", allowed, refused)
	}
	t.Logf("%d accesses recorded before a withdrawal, %d refused after", allowed, refused)
}

// TestConsentDecided: what a consent, or an entitlement, is worth is a fact of the decision.
func TestConsentDecided(t *testing.T) {
	r := newLedger(t, node.Options{Consents: webauthn.Rules{}, Policies: policies.Open})
	if _, err := r.ActivatePolicies(t.Context(), policytest.Bundle(t, "1", "context.consent || context.entitlement")); err != nil {
		t.Fatal(err)
	}
	c := r.citizen(4)
	given, entitled := c.record(ledger.KindConsentGiven), c.record(ledger.KindEntitlementGiven)
	n := 0
	expect := func(what, id string, want *ledger.Facts) {
		t.Helper()
		n++
		a, _, err := r.Submit(t.Context(), c.access(n, id))
		var denied *node.Denied
		if errors.As(err, &denied) {
			a = denied.Answer
		} else if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		body, err := ledger.ParseBody(a.Entries[0].Body)
		if err != nil {
			t.Fatal(err)
		}
		d, err := ledger.ParseDecision(body.Decision)
		if err != nil {
			t.Fatal(err)
		}
		if allowed := want.Consent || want.Entitlement; (denied == nil) != allowed || (body.Kind == ledger.KindAccess) != allowed {
			t.Errorf("%s: recorded as %s", what, body.Kind)
		}
		if d.Facts.Consent != want.Consent || d.Facts.Entitlement != want.Entitlement {
			t.Errorf("%s: decided on %+v", what, d.Facts)
		}
	}
	expect("none named", "", &ledger.Facts{})
	expect("not given", given.ID, &ledger.Facts{})
	c.must(given, consenttest.Desk)
	expect("given", given.ID, &ledger.Facts{Consent: true})
	entitled.Previous, entitled.Subject = c.Previous, c.Root(t)
	c.must(entitled, consenttest.Desk)
	expect("entitled", entitled.ID, &ledger.Facts{Entitlement: true})
	c.must(c.record(ledger.KindConsentWithdrawn, ends(given.ID)), consenttest.LoginEvidence)
	expect("withdrawn", given.ID, &ledger.Facts{})
	expect("entitled still", entitled.ID, &ledger.Facts{Entitlement: true})
	r.stop()
}

// TestConsentsGrow: of two statements that follow on the same event one is recorded, whichever comes first.
func TestConsentsGrow(t *testing.T) {
	r := newLedger(t, consents)
	c := r.citizen(2)
	for round := range 30 {
		one, other := *c, *c
		one.Citizen, other.Citizen = &consenttest.Citizen{}, &consenttest.Citizen{}
		*one.Citizen, *other.Citizen = *c.Citizen, *c.Citizen
		rand.Read(other.Salt[:])
		var errs [2]error
		var g sync.WaitGroup
		for i, x := range []*citizen{&one, &other} {
			record := x.record(ledger.KindConsentGiven)
			raw, err := ledger.FormatConsentSubmission(x.collector.Submission(t, x.Citizen, consenttest.Statement(t, record, consenttest.Desk)))
			if err != nil {
				t.Fatal(err)
			}
			g.Go(func() {
				var a *ledger.Answer
				if a, _, errs[i] = r.RecordConsent(context.Background(), raw); errs[i] == nil {
					leaf, _ := ledger.ParseLeaf(a.Entries[0].Leaf)
					x.Next(leaf.(ledger.Event).Commitment)
					c.Citizen = x.Citizen
				}
			})
		}
		g.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v, %v", round, errs[0], errs[1])
		}
		if p := problemCode(errors.Join(errs[0], errs[1])); p != consent.CodeOtherPlace {
			t.Errorf("the one that lost: %s", p)
		}
	}
	r.stop()
}

// TestNoRules: a ledger without the rules records none, and no access that names one.
func TestNoRules(t *testing.T) {
	r := newLedger(t, node.Options{})
	c := r.citizen(1)
	if _, err := c.send(c.record(ledger.KindConsentGiven), consenttest.Desk); problemCode(err) != "no_consents" {
		t.Errorf("a consent: %v", err)
	}
	if _, _, err := r.Submit(t.Context(), c.access(1, "x")); problemCode(err) != "no_consents" {
		t.Errorf("an access: %v", err)
	}
	if _, _, err := r.RecordConsent(t.Context(), json.RawMessage(`{}`)); problemCode(err) != ledger.CodeMissing {
		t.Errorf("nothing: %v", err)
	}
	r.stop()
}
