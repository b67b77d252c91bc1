// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/traccia-ledger/traccia/ledger"
)

func TestMeaningless(t *testing.T) {
	for value, want := range map[string]string{
		"admin": meansFiller, "Utente 1": meansFiller, "TEST": meansFiller, "n.d.": meansFiller, "N/A": meansFiller, "operatore07": meansFiller,
		"aaaaaa": meansRepeated, "0000": meansRepeated, "--": meansRepeated, "?": meansRepeated,
		"qwerty": meansKeyboard, "ASDFGH": meansKeyboard, "lkjh": meansKeyboard, "12345": meansKeyboard, "54321": meansKeyboard, "abcdef": meansKeyboard,
		"x1": meansShort, "7": meansShort,
		"m.rossi": "", "2026/00123": "", "1234": "", "RSSMRA80A01H501U": "", "test2026/114": "", "0001": "", "PG-2026-55": "", "rtq": "",
	} {
		if got := meaningless(value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

// TestChiCritical compares the approximation with the tables at p = 0.001.
func TestChiCritical(t *testing.T) {
	for df, want := range map[int]float64{1: 10.828, 10: 29.588, 11: 31.264, 12: 32.909, 30: 59.703} {
		if got := chiCritical(df); math.Abs(got-want)/want > 0.006 {
			t.Errorf("%d df: %.3f, want %.3f", df, got, want)
		}
	}
}

// TestChiSquared: purposes with few accesses count together, and what is left of them alone doesn't.
func TestChiSquared(t *testing.T) {
	for name, test := range map[string]struct {
		x, y map[uint32]uint64
		chi2 float64
		df   int
		v    float64
	}{
		"the same":              {map[uint32]uint64{0: 50, 1: 50}, map[uint32]uint64{0: 50, 1: 50}, 0, 1, 0},
		"two by two":            {map[uint32]uint64{0: 30, 1: 20}, map[uint32]uint64{0: 20, 1: 30}, 4, 1, 0.2},
		"all another":           {map[uint32]uint64{0: 50}, map[uint32]uint64{1: 50}, 100, 1, 1},
		"many rare ones":        {map[uint32]uint64{0: 40, 1: 4, 2: 4, 3: 2}, map[uint32]uint64{0: 40, 1: 4, 2: 2, 3: 4}, 0, 1, 0},
		"a rare one":            {map[uint32]uint64{0: 50, 1: 1}, map[uint32]uint64{0: 50, 1: 2}, 0, 0, 0},
		"one purpose":           {map[uint32]uint64{0: 50}, map[uint32]uint64{0: 80}, 0, 0, 0},
		"one for the other two": {map[uint32]uint64{0: 20, 1: 20, 2: 60}, map[uint32]uint64{0: 40, 1: 40, 2: 20}, 33.333, 2, 0.408},
	} {
		chi2, df, v := mixOf(test.x, test.y).chiSquared()
		if math.Abs(chi2-test.chi2) > 0.001 || df != test.df || math.Abs(v-test.v) > 0.001 {
			t.Errorf("%s: χ² %.3f, %d df, V %.3f", name, chi2, df, v)
		}
	}
}

const declaredSample = `{"schema":"traccia/declared-purposes/1","body":"c_a944","purposes":[{"purpose_id":"9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e",
"name":"Verifica ISEE","eservices":["843ac013-941a-4afe-8243-e668142e73e6"],"legal_bases":["A6-1-e"],"data_categories":["isee"],"from":"2026-01-01","until":"2026-12-31"}]}`

func TestDeclaredPurposesRefused(t *testing.T) {
	if _, err := ParseAuditPurposes([]byte(declaredSample)); err != nil {
		t.Fatal(err)
	}
	purpose := declaredSample[strings.Index(declaredSample, `{"purpose_id"`) : len(declaredSample)-2]
	for name, test := range map[string]struct{ old, new, where string }{
		"another schema":           {"purposes/1", "purposes/2", "/schema"},
		"no body":                  {"c_a944", "C_A944", "/body"},
		"a member more":            {`"name":`, `"note":"x","name":`, "/purposes/0"},
		"no name":                  {`"name":"Verifica ISEE",`, ``, "/purposes/0"},
		"an empty name":            {"Verifica ISEE", "", "/purposes/0/name"},
		"no uuid":                  {"9d1f2a34", "9D1F2A34", "/purposes/0/purpose_id"},
		"an e-service that's none": {"843ac013", "843ac01", "/purposes/0/eservices/0"},
		"a day that's none":        {"2026-12-31", "31/12/2026", "/purposes/0/until"},
		"a purpose twice":          {"}]}", "}," + purpose + "]}", "/purposes/1/purpose_id"},
		"something behind":         {"}]}", "}]} x", ""},
	} {
		_, err := ParseAuditPurposes([]byte(strings.Replace(declaredSample, test.old, test.new, 1)))
		var p *ledger.Problem
		if !errors.As(err, &p) || !strings.HasPrefix(p.Where, test.where) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDeclaredPurposes: what parses, written again, parses to the same.
func FuzzDeclaredPurposes(f *testing.F) {
	f.Add([]byte(declaredSample))
	f.Add([]byte(`{"schema":"traccia/declared-purposes/1","body":"c_a944","purposes":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseAuditPurposes(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParseAuditPurposes(again)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p, q, cmpopts.IgnoreUnexported(AuditPurposes{}), cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	})
}
