// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/passkeytest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
)

// link is one access of the chain that INPS calls Accessibilità in un click, between bodies that are on PDND.
type link struct {
	consumer, provider string
	data               []string
}

var chainLinks = []link{
	{"inps", "asl_bo", []string{"disability-assessment"}},
	{"c_a944", "inps", []string{"disability-status", "https://w3id.org/dpv/pd#Residency"}},
	{"r_emiro", "inps", []string{"disability-status"}},
	{"demnmos8", "c_a944", []string{"parking-badge"}}, // TPER S.p.A.
}

// chain is a citizen's list, and bodies that consult on the word of a record in it.
type chain struct {
	t          *testing.T
	list       *consent.List
	citizen    *consenttest.Citizen
	collector  *consenttest.Collector
	engine     *policies.Engine
	attributes map[string][]string
	events     uint64
}

func newChain(t *testing.T) *chain {
	engine, err := policies.Compile(policies.Default())
	if err != nil {
		t.Fatal(err)
	}
	bodies, err := dev.AllBodies()
	if err != nil {
		t.Fatal(err)
	}
	c := &chain{t: t, engine: engine, list: webauthn.NewList("registro.example", false), attributes: map[string][]string{},
		citizen:   &consenttest.Citizen{Code: "RSSMRA80A01H501U", At: time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC), Salt: [32]byte{1}},
		collector: &consenttest.Collector{Ledger: "registro.example", ID: "c_a944", Key: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32)))},
	}
	for _, b := range bodies {
		c.attributes[b.ID] = b.Attributes
	}
	return c
}

// record adds a statement to the list.
func (c *chain) record(r *consent.Record, e consent.Evidence) {
	c.t.Helper()
	s := c.collector.Submission(c.t, c.citizen, consenttest.Statement(c.t, r, e))
	c.events++
	if p := c.list.Add(c.citizen.Event(c.t, c.events, s)); p != nil {
		c.t.Fatalf("%s: %v", r.Kind, p)
	}
	c.citizen.At = c.citizen.At.Add(time.Hour)
}

// consult decides on one access that names the record, with what the record is worth for it.
func (c *chain) consult(l link, id, basis string) ledger.Decision {
	c.t.Helper()
	a := &ledger.Access{
		Receipt: &ledger.Receipt{
			Consumer: l.consumer, Provider: l.provider, Purpose: "one-click", LegalBasis: basis, DataCategories: l.data, Actor: ledger.ActorOperator,
			OccurredAt: c.citizen.At.Format(time.RFC3339), ConsentID: id, Subjects: ledger.SubjectCommitment{Count: 1},
		},
		Assurance:          &ledger.Assurance{Profile: ledger.ProfileAudit02, LoA: 3},
		ConsumerAttributes: c.attributes[l.consumer], ProviderAttributes: c.attributes[l.provider],
	}
	kind, _ := c.list.Covers(ledger.ConsentUseOf(a.Receipt, a.ConsumerAttributes))
	a.Grant = ledger.Grant{Consent: kind == ledger.KindConsentGiven, Entitlement: kind == ledger.KindEntitlementGiven}
	d, err := c.engine.Decide(a)
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

// follow holds every link, and accesses beside the chain, against what is expected.
func (c *chain) follow(when, id, basis, want string) {
	c.t.Helper()
	for _, l := range chainLinks {
		if d := c.consult(l, id, basis); d.Effect != want {
			c.t.Errorf("%s: %s consults %v at %s: got %s by %v, want %s", when, l.consumer, l.data, l.provider, d.Effect, d.Policies, want)
		}
	}
	for _, l := range []link{
		{"demnmos8", "inps", []string{"disability-assessment"}}, // not what a discount needs
		{"c_a944", "inps", []string{"disability-status", "https://w3id.org/dpv/pd#Income"}},
		{"c_f205", "inps", []string{"disability-status"}}, // not a recipient
		{"age", "inps", []string{"disability-status"}},
	} {
		if d := c.consult(l, id, basis); d.Effect != ledger.EffectDeny {
			c.t.Errorf("%s: %s consults %v: got %s by %v, want a denial", when, l.consumer, l.data, d.Effect, d.Policies)
		}
	}
}

// terms name everybody in the chain and everything they read: the transport company by its attribute in PDND.
func (c *chain) terms(t *consent.Terms) {
	company := ledger.ConsentKind + c.attributes["demnmos8"][0]
	t.Purposes, t.Recipients = []string{"one-click"}, []string{"c_a944", "inps", company, "r_emiro"}
	t.Categories = nil
	for _, l := range chainLinks {
		t.Categories = append(t.Categories, l.data...)
	}
	slices.Sort(t.Categories)
	t.Categories = slices.Compact(t.Categories)
}

// TestOnceInOneClick: one consent, signed with a passkey, opens accesses by four bodies; its withdrawal closes them all.
func TestOnceInOneClick(t *testing.T) {
	c := newChain(t)
	passkey := passkeytest.New(t, "ES256", consenttest.RP, consenttest.Origin)
	enrolment := c.citizen.Record(t, "registro.example", ledger.KindPasskeyEnrolled)
	c.record(enrolment, consenttest.Register(t, passkey, enrolment))

	given := c.citizen.Record(t, "registro.example", ledger.KindConsentGiven)
	given.Terms.LegalBasis = []string{consent.BasisExplicit}
	given.Validity.Until = enrolment.Validity.Until
	c.terms(given.Terms)
	c.follow("before", given.ID, "A9-2-a", ledger.EffectDeny)
	c.record(given, consenttest.Sign(t, passkey, given))
	c.follow("given", given.ID, "A9-2-a", ledger.EffectAllow)

	c.citizen.At = c.citizen.At.AddDate(1, 0, 0)
	c.follow("expired", given.ID, "A9-2-a", ledger.EffectDeny)
	c.citizen.At = c.citizen.At.AddDate(-1, 0, 0)

	withdrawn := c.citizen.Record(t, "registro.example", ledger.KindConsentWithdrawn)
	withdrawn.Ends = given.ID
	c.record(withdrawn, consenttest.Sign(t, passkey, withdrawn))
	c.follow("withdrawn", given.ID, "A9-2-a", ledger.EffectDeny)
}

// The same chain on an entitlement that the municipality attests at its desk, and no consent at all. The entitlement is no
// consent: on that basis it opens nothing.
func TestOnceInOneClickByEntitlement(t *testing.T) {
	c := newChain(t)
	given := c.citizen.Record(t, "registro.example", ledger.KindEntitlementGiven)
	given.Terms.LegalBasis = []string{"eu-gdpr:A9-2-b"}
	c.terms(given.Terms)
	c.follow("before", given.ID, "A9-2-b", ledger.EffectDeny)
	c.record(given, consenttest.Desk)
	c.follow("given", given.ID, "A9-2-b", ledger.EffectAllow)
	c.follow("taken for a consent", given.ID, "A9-2-a", ledger.EffectDeny)

	ended := c.citizen.Record(t, "registro.example", ledger.KindEntitlementEnded)
	ended.Ends = given.ID
	c.record(ended, consenttest.Desk)
	c.follow("ended", given.ID, "A9-2-b", ledger.EffectDeny)
}
