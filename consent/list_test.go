// SPDX-License-Identifier: EUPL-1.2

package consent_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/passkeytest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
)

const (
	name    = "registro.example"
	citizen = ledger.Subject("RSSMRA80A01H501U")
)

var begin = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// world is a citizen's list as it grows.
type world struct {
	t       *testing.T
	list    *consent.List
	citizen *consenttest.Citizen
	body    *consenttest.Collector
	events  []ledger.ConsentEvent
	enrol   string // id of the passkey's enrolment
}

func newWorld(t *testing.T) *world {
	return &world{
		t: t, list: webauthn.NewList(name, false),
		citizen: &consenttest.Citizen{Code: citizen, At: begin, Salt: [32]byte{1}},
		body:    &consenttest.Collector{Ledger: name, ID: "c_a944", Key: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32)))},
	}
}

func (w *world) record(kind string, change ...func(*consent.Record)) *consent.Record {
	r := w.citizen.Record(w.t, name, kind)
	for _, f := range change {
		f(r)
	}
	return r
}

// add records a statement and folds it.
func (w *world) add(r *consent.Record, e consent.Evidence, change ...func(*ledger.Receipt)) *ledger.Problem {
	w.t.Helper()
	s := w.body.Submission(w.t, w.citizen, consenttest.Statement(w.t, r, e), change...)
	event := w.citizen.Event(w.t, uint64(10+len(w.events)), s)
	w.events = append(w.events, event)
	w.citizen.At = w.citizen.At.Add(time.Hour)
	return w.list.Add(event)
}

func (w *world) must(r *consent.Record, e consent.Evidence) *consent.Record {
	w.t.Helper()
	if p := w.add(r, e); p != nil {
		w.t.Fatalf("%s: %v", r.Kind, p)
	}
	return r
}

// enrolled enrols a passkey.
func (w *world) enrolled(alg string, change ...func(*consent.Record)) *passkeytest.Passkey {
	w.t.Helper()
	p := passkeytest.New(w.t, alg, consenttest.RP, consenttest.Origin)
	r := w.record(ledger.KindPasskeyEnrolled, change...)
	w.enrol = r.ID
	w.must(r, consenttest.Register(w.t, p, r))
	return p
}

func (w *world) signed(p *passkeytest.Passkey, r *consent.Record) *ledger.Problem {
	w.t.Helper()
	return w.add(r, consenttest.Sign(w.t, p, r))
}

// use is an access that the consents of tests cover.
func (w *world) use(id string) ledger.ConsentUse {
	return ledger.ConsentUse{
		ID: id, Consumer: "c_a944", Purpose: "https://w3id.org/dpv/sector/publicservices#SocialWelfareProvision",
		Categories: []string{"https://w3id.org/dpv/pd#Income"}, At: w.citizen.At,
	}
}

func covers(l *consent.List, u ledger.ConsentUse) *ledger.Problem {
	_, p := l.Covers(u)
	return p
}

func code(p *ledger.Problem) string {
	if p == nil {
		return ""
	}
	return p.Code
}

func (w *world) expect(what string, p *ledger.Problem, want string) {
	w.t.Helper()
	if got := code(p); got != want {
		w.t.Errorf("%s: expected %q, found %v", what, want, p)
	}
}

func ends(id string) func(*consent.Record) { return func(r *consent.Record) { r.Ends = id } }

// TestLife follows a consent given with a passkey until it is withdrawn.
func TestLife(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			w := newWorld(t)
			if w.list.Last() != nil {
				t.Error("an empty list has a last event")
			}
			p := w.enrolled(alg)
			given := w.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = begin.AddDate(0, 6, 0) })
			w.expect("covered before it is given", covers(w.list, w.use(given.ID)), consent.CodeUnknown)
			w.expect("given", w.signed(p, given), "")
			w.expect("covered", covers(w.list, w.use(given.ID)), "")
			if got, want := w.list.Until(), begin.AddDate(1, 0, 0); !got.Equal(want) {
				t.Errorf("kept until %s, expected the passkey's end %s", got, want)
			}
			w.expect("withdrawn", w.signed(p, w.record(ledger.KindConsentWithdrawn, ends(given.ID))), "")
			w.expect("covered after", covers(w.list, w.use(given.ID)), consent.CodeNotInForce)
			w.expect("withdrawn again", w.signed(p, w.record(ledger.KindConsentWithdrawn, ends(given.ID))), consent.CodeNotInForce)
			last := w.list.Last()
			if last == nil || *last != w.events[len(w.events)-1].Commitment {
				t.Error("an event that doesn't count isn't the list's last")
			}
			states := w.list.Summaries(w.citizen.At)
			if len(states) != 2 || states[0].State != ledger.ConsentInForce || states[1].State != ledger.ConsentWithdrawn || states[1].Ended.IsZero() {
				t.Errorf("found %+v", states)
			}
		})
	}
}

// TestReplay: a grant that was withdrawn can't be played again, with its own signature or in another place.
func TestReplay(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled("ES256")
	given := w.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = begin.AddDate(0, 6, 0) })
	statement := consenttest.Statement(t, given, consenttest.Sign(t, p, given))
	salt := w.citizen.Salt
	w.expect("given", w.signed(p, given), "")
	w.must(w.record(ledger.KindConsentWithdrawn, ends(given.ID)), consenttest.LoginEvidence)
	w.citizen.Salt = salt
	again := w.citizen.Event(t, 99, w.body.Submission(t, w.citizen, statement))
	w.expect("played again", w.list.Add(again), consent.CodeOtherPlace)
	w.expect("covered", covers(w.list, w.use(given.ID)), consent.CodeNotInForce)
	other := w.record(ledger.KindConsentGiven, func(r *consent.Record) { r.ID, r.Validity.Until = given.ID, begin.AddDate(0, 6, 0) })
	w.expect("an id of the list", w.signed(p, other), ledger.CodeRepeated)
}

func TestDoesNotCount(t *testing.T) {
	ending := func(r *consent.Record) { r.Validity.Until = begin.AddDate(0, 6, 0) }
	tests := []struct {
		name, code string
		add        func(w *world, p *passkeytest.Passkey) *ledger.Problem
	}{
		{"nothing wrong", "", func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.signed(p, w.record(ledger.KindConsentGiven, ending))
		}},
		{"another ledger", consent.CodeOtherPlace, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.signed(p, w.record(ledger.KindConsentGiven, ending, func(r *consent.Record) { r.Ledger = "altro.example" }))
		}},
		{"another year", consent.CodeOtherPlace, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.signed(p, w.record(ledger.KindConsentGiven, ending, func(r *consent.Record) { r.Epoch-- }))
		}},
		{"no place", consent.CodeOtherPlace, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.signed(p, w.record(ledger.KindConsentGiven, ending, func(r *consent.Record) { r.Previous = nil }))
		}},
		{"another place", consent.CodeOtherPlace, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.signed(p, w.record(ledger.KindConsentGiven, ending, func(r *consent.Record) { r.Previous = &ledger.Hash{7} }))
		}},
		{"another citizen", consent.CodeOtherPlace, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			r := w.record(ledger.KindConsentGiven, ending)
			return w.add(r, consenttest.Sign(w.t, p, r), func(x *ledger.Receipt) { x.Subjects.Root[0] ^= 1 })
		}},
		{"two citizens", consent.CodeOtherPlace, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			r := w.record(ledger.KindConsentGiven, ending)
			return w.add(r, consenttest.Sign(w.t, p, r), func(x *ledger.Receipt) { x.Subjects.Count = 2 })
		}},
		{"a receipt for another statement", ledger.CodeDigestMismatch, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			r := w.record(ledger.KindConsentGiven, ending)
			return w.add(r, consenttest.Sign(w.t, p, r), func(x *ledger.Receipt) { x.ConsentDigest[0] ^= 1 })
		}},
		{"a receipt about another consent", ledger.CodeBadValue, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			r := w.record(ledger.KindConsentGiven, ending)
			return w.add(r, consenttest.Sign(w.t, p, r), func(x *ledger.Receipt) { x.ConsentID = uuid.NewString() })
		}},
		{"made later than recorded", ledger.CodeBadTime, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.signed(p, w.record(ledger.KindConsentGiven, ending, func(r *consent.Record) { r.Created = r.Created.Add(time.Hour) }))
		}},
		{"over already", ledger.CodeBadTime, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.signed(p, w.record(ledger.KindConsentGiven, func(r *consent.Record) {
				r.Validity = &consent.Validity{From: begin.AddDate(-1, 0, 0), Until: begin}
			}))
		}},
		{"in a far year", ledger.CodeBadTime, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.add(w.record(ledger.KindConsentGiven, func(r *consent.Record) {
				r.Validity = &consent.Validity{From: begin.AddDate(5, 0, 0), Until: begin.AddDate(6, 0, 0)}
			}), consenttest.Desk)
		}},
		{"longer than the passkey", ledger.CodeBadTime, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.signed(p, w.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = begin.AddDate(2, 0, 0) }))
		}},
		{"with a passkey that isn't enrolled", consent.CodeUnknown, func(w *world, _ *passkeytest.Passkey) *ledger.Problem {
			return w.signed(passkeytest.New(w.t, "ES256", consenttest.RP, consenttest.Origin), w.record(ledger.KindConsentGiven, ending))
		}},
		{"with a revoked passkey", consent.CodeNotInForce, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			w.must(w.record(ledger.KindPasskeyRevoked, ends(w.enrol)), consenttest.LoginEvidence)
			return w.signed(p, w.record(ledger.KindConsentGiven, ending))
		}},
		{"with a passkey that is over", consent.CodeNotInForce, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			w.citizen.At = begin.AddDate(1, 0, 0)
			r := w.record(ledger.KindConsentWithdrawn, ends(w.must(w.record(ledger.KindConsentGiven), consenttest.Desk).ID))
			return w.signed(p, r)
		}},
		{"signed by another passkey", consent.CodeEvidence, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			other := passkeytest.New(w.t, "ES256", consenttest.RP, consenttest.Origin)
			other.ID = p.ID
			return w.signed(other, w.record(ledger.KindConsentGiven, ending))
		}},
		{"signed for other terms", consent.CodeEvidence, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			r := w.record(ledger.KindConsentGiven, ending)
			e := consenttest.Sign(w.t, p, r)
			r.Terms.Recipients = append(r.Terms.Recipients, "c_h501")
			return w.add(r, e)
		}},
		{"on another site", consent.CodeEvidence, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			p.Origin = "https://registro.example.evil"
			return w.signed(p, w.record(ledger.KindConsentGiven, ending))
		}},
		{"without the citizen's verification", consent.CodeEvidence, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			p.Flags = 0x01
			return w.signed(p, w.record(ledger.KindConsentGiven, ending))
		}},
		{"a mandate that isn't there", consent.CodeUnknown, func(w *world, _ *passkeytest.Passkey) *ledger.Problem {
			return w.add(w.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Mandate = uuid.NewString() }), consenttest.Desk)
		}},
		{"the citizen's passkey under a mandate", consent.CodeEvidence, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			m := w.must(w.record(ledger.KindMandateGiven), consenttest.Desk)
			return w.signed(p, w.record(ledger.KindConsentGiven, ending, func(r *consent.Record) { r.Mandate = m.ID }))
		}},
		{"a withdrawal of nothing", consent.CodeUnknown, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.signed(p, w.record(ledger.KindConsentWithdrawn, ends(uuid.NewString())))
		}},
		{"a withdrawal of a passkey", consent.CodeUnknown, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			return w.signed(p, w.record(ledger.KindConsentWithdrawn, ends(w.enrol)))
		}},
		{"expired too early", ledger.CodeBadTime, func(w *world, p *passkeytest.Passkey) *ledger.Problem {
			given := w.record(ledger.KindConsentGiven, ending)
			w.expect("given", w.signed(p, given), "")
			return w.add(w.record(ledger.KindConsentExpired, ends(given.ID)), consent.Evidence{Type: consent.EvidenceClock})
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.enrolled("ES256")
			w.expect("found", test.add(w, p), test.code)
		})
	}
}

func TestDesk(t *testing.T) {
	w := newWorld(t)
	given := w.must(w.record(ledger.KindConsentGiven), consenttest.Desk)
	w.expect("covered", covers(w.list, w.use(given.ID)), "")
	if s := w.list.Summaries(w.citizen.At); s[0].Evidence != consent.EvidenceDesk {
		t.Errorf("found evidence %q", s[0].Evidence)
	}
	refused := w.must(w.record(ledger.KindConsentRefused), consenttest.Desk)
	w.expect("refused", covers(w.list, w.use(refused.ID)), consent.CodeNotInForce)
	w.expect("withdrawn after a refusal", w.add(w.record(ledger.KindConsentWithdrawn, ends(refused.ID)), consenttest.Desk), consent.CodeUnknown)
	w.citizen.At = begin.AddDate(1, 0, 0)
	w.expect("over", covers(w.list, w.use(given.ID)), consent.CodeNotInForce)
	w.must(w.record(ledger.KindConsentExpired, ends(given.ID)), consent.Evidence{Type: consent.EvidenceClock})
	late := w.use(given.ID)
	late.At = begin.AddDate(0, 1, 0)
	w.expect("recorded after it expired", covers(w.list, late), consent.CodeNotInForce)
}

// TestEntitlement: a body's act that stands where a consent could, which the citizen can renounce.
func TestEntitlement(t *testing.T) {
	w := newWorld(t)
	given := w.must(w.record(ledger.KindEntitlementGiven), consenttest.Desk)
	if kind, p := w.list.Covers(w.use(given.ID)); kind != ledger.KindEntitlementGiven || p != nil {
		t.Errorf("found %s, %v", kind, p)
	}
	w.expect("withdrawn as a consent", w.add(w.record(ledger.KindConsentWithdrawn, ends(given.ID)), consenttest.Desk), consent.CodeUnknown)
	w.must(w.record(ledger.KindEntitlementEnded, ends(given.ID)), consenttest.LoginEvidence)
	w.expect("renounced", covers(w.list, w.use(given.ID)), consent.CodeNotInForce)
}

// TestDelegate: a guardian's passkey acts under their mandate, and no longer than that.
func TestDelegate(t *testing.T) {
	w := newWorld(t)
	mandate := w.must(w.record(ledger.KindMandateGiven), consenttest.Desk)
	under := func(r *consent.Record) { r.Mandate = mandate.ID }
	ending := func(r *consent.Record) {
		if r.Validity != nil {
			r.Validity.Until = begin.AddDate(0, 9, 0)
		}
	}
	w.expect("a passkey longer than the mandate", func() *ledger.Problem {
		p := passkeytest.New(t, "ES256", consenttest.RP, consenttest.Origin)
		r := w.record(ledger.KindPasskeyEnrolled, under, func(r *consent.Record) { r.Validity.Until = begin.AddDate(2, 0, 0) })
		return w.add(r, consenttest.Register(t, p, r))
	}(), ledger.CodeBadTime)
	p := w.enrolled("EdDSA", under, ending)
	given := w.record(ledger.KindConsentGiven, under, ending)
	w.expect("given", w.signed(p, given), "")
	w.expect("given as the citizen", w.signed(p, w.record(ledger.KindConsentGiven, ending)), consent.CodeEvidence)
	w.expect("covered", covers(w.list, w.use(given.ID)), "")
	w.must(w.record(ledger.KindMandateEnded, ends(mandate.ID)), consenttest.Desk)
	w.expect("given after the mandate ended", w.signed(p, w.record(ledger.KindConsentGiven, under, ending)), consent.CodeNotInForce)
	w.expect("given before it ended", covers(w.list, w.use(given.ID)), "")
	w.must(w.record(ledger.KindConsentWithdrawn, ends(given.ID)), consenttest.Desk)
}

func TestCovers(t *testing.T) {
	w := newWorld(t)
	given := w.must(w.record(ledger.KindConsentGiven, func(r *consent.Record) {
		r.Terms.Recipients = []string{"c_a944", ledger.ConsentKind + "comune"}
		r.Terms.Purposes = append(r.Terms.Purposes, "9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e")
	}), consenttest.Desk)
	tests := []struct {
		name, code string
		change     func(*ledger.ConsentUse)
	}{
		{"a recipient", "", func(*ledger.ConsentUse) {}},
		{"another body", consent.CodeNotCovered, func(u *ledger.ConsentUse) { u.Consumer = "inps" }},
		{"a body of the kind", "", func(u *ledger.ConsentUse) { u.Consumer, u.Attributes = "c_h501", []string{"ente", "comune"} }},
		{"another kind", consent.CodeNotCovered, func(u *ledger.ConsentUse) { u.Consumer, u.Attributes = "inps", []string{"ente"} }},
		{"another purpose", consent.CodeNotCovered, func(u *ledger.ConsentUse) { u.Purpose = "Altro" }},
		{"PDND's purpose id", "", func(u *ledger.ConsentUse) {
			u.Purpose, u.PurposeID = "Altro", "9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e"
		}},
		{"another category too", consent.CodeNotCovered, func(u *ledger.ConsentUse) { u.Categories = append(u.Categories, "https://w3id.org/dpv/pd#Health") }},
		{"another consent", consent.CodeUnknown, func(u *ledger.ConsentUse) { u.ID = uuid.NewString() }},
		{"before it was recorded", consent.CodeNotInForce, func(u *ledger.ConsentUse) { u.At = begin.Add(-2 * time.Minute) }},
		{"a gateway's clock a little behind", consent.CodeNotInForce, func(u *ledger.ConsentUse) { u.At = begin.Add(-time.Second) }},
		{"at its last second", "", func(u *ledger.ConsentUse) { u.At = given.Validity.Until.Add(-time.Second) }},
		{"at its end", consent.CodeNotInForce, func(u *ledger.ConsentUse) { u.At = given.Validity.Until }},
	}
	for _, test := range tests {
		u := w.use(given.ID)
		test.change(&u)
		w.expect(test.name, covers(w.list, u), test.code)
	}
}

// TestErased: an event that doesn't open takes away what came before it, and is a place in the list all the same.
func TestErased(t *testing.T) {
	w := newWorld(t)
	given := w.must(w.record(ledger.KindConsentGiven), consenttest.Desk)
	gone := ledger.ConsentEvent{Epoch: 2026, Index: 90, Commitment: ledger.Hash{9}}
	w.expect("not opened", w.list.Add(gone), "")
	w.expect("covered", covers(w.list, w.use(given.ID)), ledger.CodeConsentErased)
	w.expect("as if nothing were there", w.add(w.record(ledger.KindConsentGiven), consenttest.Desk), consent.CodeOtherPlace)
	w.citizen.Next(w.events[len(w.events)-1].Commitment)
	again := w.must(w.record(ledger.KindConsentGiven), consenttest.Desk)
	w.expect("covered again", covers(w.list, w.use(again.ID)), "")
	w.must(w.record(ledger.KindConsentWithdrawn, ends(given.ID)), consenttest.Desk)
	w.expect("withdrawn", covers(w.list, w.use(given.ID)), consent.CodeNotInForce)
}

// TestPlaces: what a list says after its first n events doesn't depend on those that follow, nor on who folds.
func TestPlaces(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled("ES256")
	given := w.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = begin.AddDate(0, 6, 0) })
	w.expect("given", w.signed(p, given), "")
	w.must(w.record(ledger.KindConsentWithdrawn, ends(given.ID)), consenttest.Desk)
	w.citizen.At = time.Date(2027, 1, 2, 9, 0, 0, 0, time.UTC)
	other := w.record(ledger.KindConsentGiven, func(r *consent.Record) { r.Validity.Until = begin.AddDate(0, 6, 0) })
	w.expect("given in the next year", w.signed(p, other), "")
	want := []string{consent.CodeUnknown, "", consent.CodeNotInForce, consent.CodeNotInForce}
	reader := consent.NewList(name, false)
	for i, e := range w.events {
		w.expect("folded", reader.Add(e), "")
		u := w.use(given.ID)
		u.At = begin.AddDate(0, 1, 0)
		w.expect("covered", covers(reader, u), want[i])
	}
	partial := consent.NewList(name, true)
	w.expect("the next year alone", partial.Add(w.events[3]), consent.CodeUnknown)
	desk := w.must(w.record(ledger.KindConsentGiven), consenttest.Desk)
	w.expect("and its next event", partial.Add(w.events[4]), "")
	w.expect("covered", covers(partial, w.use(desk.ID)), "")
}
