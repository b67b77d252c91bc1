// SPDX-License-Identifier: EUPL-1.2

package intake_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// What is refused of the bytes is tested over HTTP, in cmd/internal/api; here
// is what depends on clock, registry and what was recorded before.

func TestCheck(t *testing.T) {
	w := newWorld(t)
	for _, people := range []int{1, 2, 16, 17, 40} {
		a := newAccess(people)
		p, err := w.Check(t.Context(), a.bytes(t))
		if err != nil {
			t.Fatal(err)
		}
		if p.Kind != ledger.KindAccess || p.Scope != hub || p.Agency != agency || p.Version != w.registry.Version() || string(p.Decision) != `{"effect":"recorded"}` {
			t.Errorf("%d people: %+v", people, p)
		}
		if string(p.Private.Content) == "" || p.Receipt.JTI != a.receipt.JTI || len(p.Subjects) != people {
			t.Fatalf("%d people: a part is missing", people)
		}
		beta := w.vrf.Output(ledger.AgencyAlpha(agency, epoch))
		if p.AgencyK != [32]byte(beta[:32]) {
			t.Errorf("%d people: another k_a", people)
		}
		for i, s := range p.Subjects {
			if s.SaltedSubject != a.subjects[i] {
				t.Errorf("subject %d of %d is another", i, people)
			}
			beta := w.vrf.Output(ledger.SubjectAlpha(s.Subject, hub, epoch))
			if s.K != [32]byte(beta[:32]) {
				t.Errorf("subject %d of %d: another k_s", i, people)
			}
			if err := ledger.CheckSubject(ledger.Hash(p.Receipt.Subjects.Root), people, i, s.SaltedSubject, s.Proof); err != nil {
				t.Errorf("subject %d of %d: %v", i, people, err)
			}
		}
	}
}

func TestScopes(t *testing.T) {
	w := newWorld(t)
	a := newAccess(1)
	a.signer, a.receipt.Iss, a.receipt.Role = agency, agency, ledger.RoleConsumer
	p, err := w.Check(t.Context(), a.bytes(t))
	if err != nil {
		t.Fatal(err)
	}
	if p.Scope != ledger.ScopeReported {
		t.Errorf("the consumer's own receipt is in %s", p.Scope)
	}
	beta := w.vrf.Output(ledger.SubjectAlpha(a.subjects[0].Subject, ledger.ScopeReported, epoch))
	if p.Subjects[0].K != [32]byte(beta[:32]) {
		t.Error("k_s of another scope")
	}
	// The hub comes to speak for the agency as well, and no more for itself.
	w.record(t, registry.Scope{ID: hub, Providers: []string{agency}})
	_, err = w.Check(t.Context(), newAccess(1).bytes(t))
	refused(t, err, "no_scope", "receipt#iss")
}

func TestTimes(t *testing.T) {
	for _, test := range []struct {
		name        string
		occurred    time.Duration // from the ledger's clock
		issued      time.Duration
		late        bool
		code, where string
	}{
		{name: "now"},
		{name: "a minute ahead", occurred: intake.MaxAhead, issued: intake.MaxAhead},
		{name: "more than that", occurred: intake.MaxAhead + time.Second, code: "in_future", where: "receipt#occurred_at"},
		{name: "issued more than that", issued: intake.MaxAhead + time.Second, code: "in_future", where: "receipt#iat"},
		{name: "ten minutes ago", occurred: -intake.LateAfter},
		{name: "longer ago", occurred: -intake.LateAfter - time.Second, late: true},
		{name: "years ago", occurred: -3 * 365 * 24 * time.Hour, late: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, a := newWorld(t), newAccess(1)
			a.receipt.OccurredAt = noon.Add(test.occurred).Format(time.RFC3339)
			a.receipt.IssuedAt = noon.Add(test.issued).Unix()
			p, err := w.Check(t.Context(), a.bytes(t))
			if test.code != "" {
				refused(t, err, test.code, test.where)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Assurance.Late != test.late {
				t.Errorf("late %v, want %v", p.Assurance.Late, test.late)
			}
		})
	}
}

func TestCaseIsFlagged(t *testing.T) {
	w := newWorld(t)
	for _, has := range []bool{true, false} {
		a := newAccess(1)
		if !has {
			a.private.Case = ""
		}
		p, err := w.Check(t.Context(), a.bytes(t))
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(p.Assurance.Flags, ledger.FlagCaseMissing) == has {
			t.Errorf("with a case %v: flags %v", has, p.Assurance.Flags)
		}
	}
}

// TestKeysOverTime follows one body's keys: a receipt is checked as of where
// it stands or would stand in the log.
func TestKeysOverTime(t *testing.T) {
	w := newWorld(t)
	a := newAccess(1)
	raw := a.bytes(t)
	if _, err := w.Check(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	recorded := w.size
	w.size++
	old := w.registry.Keys(hub)
	next := w.addKey(t, hub, "next")
	w.record(t, registry.KeyRevoked{Body: hub, Kid: old[0].Kid})

	_, err := w.Check(t.Context(), raw)
	refused(t, err, "key_revoked", "receipt#kid")
	// Recorded before the revocation, it is found again.
	w.recorded[hub+"/"+a.receipt.JTI] = recorded
	if _, err := w.Check(t.Context(), raw); err != nil {
		t.Errorf("a retry: %v", err)
	}
	// Whatever its signature: also by the key that came after it.
	a.signer = "next"
	if p, err := w.Check(t.Context(), a.bytes(t)); err != nil || p.Receipt.JWS.Header.Kid != next.Kid {
		t.Errorf("a retry signed with the next key: %v", err)
	}
	// But not by another body's.
	a.signer = other
	_, err = w.Check(t.Context(), a.bytes(t))
	refused(t, err, "key_unknown", "receipt#kid")
	// A revoked key signs nothing new.
	a.signer, a.receipt.JTI = hub, "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a12"
	_, err = w.Check(t.Context(), a.bytes(t))
	refused(t, err, "key_revoked", "receipt#kid")
}

// correction is what the hub says of an access of people 0 and 1.
func correction(t *testing.T, w *world) *access {
	t.Helper()
	first := newAccess(2)
	sub, err := ledger.ParseSubmission(first.bytes(t))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := sub.Open()
	if err != nil {
		t.Fatal(err)
	}
	w.first = &intake.First{Receipt: opened.Receipt, Scope: hub, Subjects: map[ledger.Subject]bool{person(0): true, person(1): true}}
	a := newAccess(1)
	a.receipt.JTI, a.receipt.EService, a.receipt.PurposeID = "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a12", "", ""
	a.receipt.Statement = &ledger.Statement{Kind: ledger.StatementError, Receipt: opened.Receipt.ReceiptID()}
	return a
}

func TestStatement(t *testing.T) {
	w := newWorld(t)
	a := correction(t, w)
	p, err := w.Check(t.Context(), a.bytes(t))
	if err != nil {
		t.Fatal(err)
	}
	if p.Kind != ledger.KindCorrection || p.Scope != hub || p.Agency != agency || p.Assurance.Profile != ledger.ProfileRequest || len(p.Assurance.Flags) > 0 {
		t.Errorf("%+v", p)
	}
	if !p.DeferredUntil.IsZero() {
		t.Error("it is put off")
	}
	w.first.Scope, w.first.Withheld = ledger.ScopeDeferred, noon.AddDate(0, 6, 0)
	if p, err := w.Check(t.Context(), a.bytes(t)); err != nil || p.Scope != ledger.ScopeDeferred || !p.DeferredUntil.Equal(w.first.Withheld) {
		t.Errorf("of what is put off: %+v, %v", p, err)
	}
	w.first.Withheld = time.Time{}
	if p, err := w.Check(t.Context(), a.bytes(t)); err != nil || p.Scope != hub || !p.DeferredUntil.IsZero() {
		t.Errorf("of what was put off: %+v, %v", p, err)
	}
	// In whose scope it stood then, that one corrects it.
	w.first.Scope = "gone"
	_, err = w.Check(t.Context(), a.bytes(t))
	refused(t, err, "no_scope", "receipt#iss")
	w.first = nil
	_, err = w.Check(t.Context(), a.bytes(t))
	refused(t, err, "unknown_receipt", "receipt#statement/receipt")
	w.failure = errors.New("broken")
	_, err = w.Check(t.Context(), a.bytes(t))
	notRefused(t, err, w.failure)
}

func TestOrder(t *testing.T) {
	w, a := newWorld(t), newAccess(1)
	a.until = noon.AddDate(0, 6, 0)
	raw := a.bytes(t)
	p, err := w.Check(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if p.Scope != ledger.ScopeDeferred || !p.DeferredUntil.Equal(a.until) || p.Deferral == "" {
		t.Errorf("%+v", p)
	}
	beta := w.vrf.Output(ledger.SubjectAlpha(a.subjects[0].Subject, ledger.ScopeDeferred, epoch))
	if p.Subjects[0].K != [32]byte(beta[:32]) {
		t.Error("k_s of another scope")
	}
	// Over, it puts off nothing new; what it put off is found again.
	w.now = a.until
	_, err = w.Check(t.Context(), raw)
	refused(t, err, "bad_deferral", "deferral#until")
	w.recorded[a.receipt.ReceiptID()] = 3
	if _, err := w.Check(t.Context(), raw); err != nil {
		t.Errorf("a retry: %v", err)
	}
	w.failure = errors.New("broken")
	_, err = w.Check(t.Context(), raw)
	notRefused(t, err, w.failure)
}

func TestNotChecked(t *testing.T) {
	w := newWorld(t)
	raw := newAccess(1).bytes(t)
	broken := errors.New("broken")

	stranger := newAccess(1) // who may have been registered when it was recorded
	stranger.signer = other
	w.failure = broken
	_, err := w.Check(t.Context(), stranger.bytes(t))
	notRefused(t, err, broken)
	w.failure = nil

	w.keys.failure = broken
	_, err = w.Check(t.Context(), raw)
	notRefused(t, err, intake.ErrKeys)
	notRefused(t, err, broken)
	w.keys.failure = nil

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	w.keys.failure = ended.Err()
	_, err = w.Check(ended, raw)
	notRefused(t, err, context.Canceled)
	if errors.Is(err, intake.ErrKeys) {
		t.Errorf("a client that left is no failure of the keys: %v", err)
	}
}

func TestUnknownNamesAreShownWithCare(t *testing.T) {
	w := newWorld(t)
	code := strings.ToLower(string(person(900)))
	for _, test := range []struct{ consumer, found string }{
		{"c_zzzz", "c_zzzz"},
		{agencyTenant, agencyTenant},
		{code, "another of 16 characters"},
		{"x-" + code + "-y", "another of 20 characters"},
		{"80078750587", "another of 11 characters"},
	} {
		a := newAccess(1)
		a.receipt.Consumer = test.consumer
		_, err := w.Check(t.Context(), a.bytes(t))
		if p := refused(t, err, "unknown_body", "receipt#consumer"); p.Found != test.found {
			t.Errorf("%s: found %q, want %q", test.consumer, p.Found, test.found)
		}
	}
}

func refused(t *testing.T, err error, code, where string) *ledger.Problem {
	t.Helper()
	var p *ledger.Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want %s at %s", err, code, where)
	}
	if p.Code != code || p.Where != where || p.Expected == "" || p.Found == "" {
		t.Errorf("got %+v, want %s at %s", *p, code, where)
	}
	return p
}

func notRefused(t *testing.T, err, want error) {
	t.Helper()
	var p *ledger.Problem
	if errors.As(err, &p) || !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
