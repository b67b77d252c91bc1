// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// cohortRecord is INPS's of an aggregate for a region, signed by its n-th key.
func cohortRecord(t *testing.T, n byte, decision string, change func(*ledger.Cohort)) registry.Cohort {
	t.Helper()
	return signedCohort(t, verifiertest.InpsKey(n).Kid, ed25519.NewKeyFromSeed(append(make([]byte, 31), n)), decision, change)
}

func signedCohort(t testing.TB, kid string, signer ed25519.PrivateKey, decision string, change func(*ledger.Cohort)) registry.Cohort {
	t.Helper()
	c := &ledger.Cohort{
		Aud: "registro.example", Iss: "inps", JTI: "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", IssuedAt: 1795339800, Provider: "inps", Consumer: "r_emiro",
		EService: "843ac013-941a-4afe-8243-e668142e73e6", PurposeID: "9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e", Purpose: "cohort-analytics", LegalBasis: "A6-1-e",
		DataCategories: []string{"isee"}, Actor: ledger.ActorService, Operation: ledger.Operation{Method: "POST", Path: "/coorti"},
		OccurredAt: "2026-11-22T09:30:00Z", Pair: ledger.Hex{1}, Size: 1200, Minimum: 50, Selection: ledger.Hex{2},
	}
	if change != nil {
		change(c)
	}
	statement, err := ledger.SignCohort(c, kid, signer)
	if err != nil {
		t.Fatal(err)
	}
	return registry.Cohort{Statement: statement, Decision: json.RawMessage(decision)}
}

// undecided is the decision of a record of before any policies.
const undecided = `{"effect":"recorded"}`

func TestStatisticsCohorts(t *testing.T) {
	s := verifiertest.UsualShard(origin, 300*day)
	s.Record(registry.Body{ID: "r_emiro", Name: "Regione Emilia-Romagna", Attributes: []string{"Regioni, Province Autonome e loro Consorzi e Associazioni"}})
	s.Record(cohortRecord(t, 1, undecided, nil))
	refused := func(code string, r registry.Cohort) {
		t.Helper()
		s.Record(r)
		report := totals(t, verifier.StatisticsConfig{Origin: origin, Logs: []note.Verifier{s.Verifier()}, Year: logsOf(s)})
		if n := len(report.Problems); n == 0 || report.Problems[n-1].Code != verifier.CodeRecordRefused || !strings.Contains(report.Problems[n-1].Found, code) || len(report.Cohorts) != 1 {
			t.Errorf("%s: %+v", code, report)
		}
	}
	report := totals(t, verifier.StatisticsConfig{Origin: origin, Logs: []note.Verifier{s.Verifier()}, Year: logsOf(s)})
	if len(report.Problems) != 0 || len(report.Cohorts) != 1 || report.Cohorts[0].Size != 1200 || report.Cohorts[0].Replayed || report.Cohorts[0].Index != uint64(len(s.Leaves)-1) {
		t.Fatalf("%+v", report)
	}
	for month, want := range map[string]int{"2026-11": 1, "2026-10": 0} {
		c := verifier.StatisticsConfig{Origin: origin, Logs: []note.Verifier{s.Verifier()}, Year: logsOf(s), Month: month}
		if r := totals(t, c); len(r.Cohorts) != want {
			t.Errorf("%s: %d", month, len(r.Cohorts))
		}
	}
	other := func(c *ledger.Cohort) { c.JTI = "6a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11" }
	refused("repeated", cohortRecord(t, 1, undecided, nil))
	refused("bad_signature", cohortRecord(t, 2, undecided, other))
	refused("no_scope", cohortRecord(t, 1, undecided, func(c *ledger.Cohort) { other(c); c.Provider = "r_emiro" }))
}

// TestStatisticsCohortReplayed: a decision that doesn't follow from its policies is a problem of its record's.
func TestStatisticsCohortReplayed(t *testing.T) {
	bundle, err := policies.Open(policies.Default())
	if err != nil {
		t.Fatal(err)
	}
	digest := policies.Digest(policies.Default())
	attributes := []string{"Regioni, Province Autonome e loro Consorzi e Associazioni"}
	c, _, err := ledger.ParseCohort(cohortRecord(t, 1, `{}`, nil).Statement)
	if err != nil {
		t.Fatal(err)
	}
	d, err := bundle.Decide(&ledger.Access{Receipt: c.Access(), Assurance: &ledger.Assurance{Profile: ledger.ProfileAudit02, LoA: 2}, ConsumerAttributes: attributes})
	if err != nil || d.Effect != ledger.EffectAllow {
		t.Fatalf("%+v, %v", d, err)
	}
	for _, test := range []struct {
		name     string
		change   func(*ledger.Decision)
		problems int
	}{
		{"as decided", func(*ledger.Decision) {}, 0},
		{"by another policy", func(d *ledger.Decision) { d.Policies = []string{"official-statistics"} }, 1},
		{"for another purpose", func(d *ledger.Decision) { f := *d.Facts; f.Purpose = "unknown"; d.Facts = &f }, 1},
		{"for another kind of body", func(d *ledger.Decision) { f := *d.Facts; f.Kinds = []string{"istat"}; d.Facts = &f }, 1},
	} {
		changed := d
		test.change(&changed)
		decision, err := ledger.FormatDecision(changed)
		if err != nil {
			t.Fatal(err)
		}
		s := verifiertest.UsualShard(origin, 300*day)
		s.Record(registry.Body{ID: "r_emiro", Name: "Regione Emilia-Romagna", Attributes: attributes})
		s.Record(registry.Policy{Version: "1.0.0", SHA256: ledger.Hex(digest)})
		s.Record(cohortRecord(t, 1, string(decision), nil))
		report := totals(t, verifier.StatisticsConfig{Origin: origin, Logs: []note.Verifier{s.Verifier()}, Year: logsOf(s), Policies: func(of ledger.Hash) ledger.Bundle {
			if of != digest {
				return nil
			}
			return bundle
		}})
		if len(report.Problems) != test.problems || len(report.Cohorts) != 1 || report.Cohorts[0].Replayed != (test.problems == 0) {
			t.Errorf("%s: %+v", test.name, report)
		}
	}
}
