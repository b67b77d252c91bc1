// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

func TestRoundCohort(t *testing.T) {
	for size, want := range map[int]int{0: 0, 9: 0, 10: 10, 49: 40, 99: 90, 100: 100, 129: 120, 999: 990, 1000: 1000, 1999: 1900, 12345: 12000, 1_000_000_000: 1_000_000_000} {
		if got := ledger.RoundCohort(size); got != want {
			t.Errorf("%d: %d, want %d", size, got, want)
		}
	}
}

func cohort() *ledger.Cohort {
	return &ledger.Cohort{
		Aud: "registro.example", Iss: "inps", JTI: "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", IssuedAt: 1795339800, Provider: "inps", Consumer: "r_emiro",
		EService: "843ac013-941a-4afe-8243-e668142e73e6", PurposeID: "9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e", Purpose: "cohort-analytics", LegalBasis: "A6-1-e",
		DataCategories: []string{"isee"}, Actor: ledger.ActorService, Operation: ledger.Operation{Method: "POST", Path: "/coorti"},
		OccurredAt: "2026-11-22T09:30:00Z", Pair: ledger.Hex{1}, Size: 1200, Minimum: 50, Selection: ledger.Hex{2},
	}
}

func TestCohortRefused(t *testing.T) {
	signer, _ := integrityKey(t)
	compact, err := ledger.SignCohort(cohort(), "k", signer)
	if err != nil {
		t.Fatal(err)
	}
	if c, token, err := ledger.ParseCohort(compact); err != nil || !reflect.DeepEqual(c, cohort()) || token.Header.Typ != ledger.CohortType {
		t.Fatalf("%+v, %v", c, err)
	}
	for where, change := range map[string]func(*ledger.Cohort){
		"cohort#minimum":    func(c *ledger.Cohort) { c.Minimum = 9 },
		"cohort#size":       func(c *ledger.Cohort) { c.Size = 1234 },
		"cohort#selection":  func(c *ledger.Cohort) { c.Selection = ledger.Hex{} },
		"cohort#pair":       func(c *ledger.Cohort) { c.Pair = ledger.Hex{} },
		"cohort#jti":        func(c *ledger.Cohort) { c.JTI = "x" },
		"cohort#consumer":   func(c *ledger.Cohort) { c.Consumer = "+x" },
		"cohort#purpose":    func(c *ledger.Cohort) { c.Purpose = "" },
		"cohort#purpose_id": func(c *ledger.Cohort) { c.PurposeID = "" },
		"cohort":            func(c *ledger.Cohort) { c.Purpose = "di RSSMRA80A01H501U" },
	} {
		c := cohort()
		change(c)
		var p *ledger.Problem
		if _, err := ledger.SignCohort(c, "k", signer); !errors.As(err, &p) || p.Where != where {
			t.Errorf("%s: %v", where, err)
		}
	}
	small := cohort()
	small.Size, small.Minimum = 40, 50
	if _, err := ledger.SignCohort(small, "k", signer); err == nil {
		t.Error("a group below the minimum was taken")
	}
	small.Size, small.Minimum = 50, 55 // 55 to 59, rounded
	if _, err := ledger.SignCohort(small, "k", signer); err != nil {
		t.Error(err)
	}
}

func FuzzParseCohort(f *testing.F) {
	good, err := json.Marshal(cohort())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Fuzz(func(t *testing.T, payload string) {
		encode := base64.RawURLEncoding.EncodeToString
		compact := encode([]byte(`{"alg":"ES256","kid":"k1","typ":"`+ledger.CohortType+`"}`)) + "." + encode([]byte(payload)) + "." + encode(make([]byte, 64))
		c, token, err := ledger.ParseCohort(compact)
		if err != nil {
			refusedWell(t, err, payload)
			return
		}
		if string(token.Payload) != payload || c.Size != ledger.RoundCohort(c.Size) || c.Minimum < ledger.LeastCohort {
			t.Errorf("%s is %+v", payload, c)
		}
	})
}

func FuzzParseCohortSubmission(f *testing.F) {
	f.Add([]byte(`{"statement":"a.b.c","voucher":"d.e.f","evidence":"g.h.i"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ledger.ParseCohortSubmission(data)
		if err != nil {
			refusedWell(t, err, string(data))
			return
		}
		again, err := ledger.FormatCohortSubmission(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ledger.ParseCohortSubmission(again); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%+v comes back as %+v, %v", s, back, err)
		}
	})
}
