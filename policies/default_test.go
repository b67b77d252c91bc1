// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"encoding/csv"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/traccia-ledger/traccia/ledger"
)

var compiled = sync.OnceValues(func() (*Engine, error) { return Compile(Default()) })

func compileDefault(t testing.TB) *Engine {
	t.Helper()
	e, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// lists are those of the default vocabulary.
func lists(v *Vocabulary) map[string][]Term {
	return map[string][]Term{"categories": v.Categories, "purposes": v.Purposes, "legal-bases": v.LegalBases, "body-kinds": v.BodyKinds}
}

// Every policy determines at least one scenario, and has one named after it
// that ends the other way.
func TestDefaultScenarios(t *testing.T) {
	e := compileDefault(t)
	list, err := e.TestScenarios(os.DirFS("."), "default")
	if err != nil {
		t.Fatal(err)
	}
	determined, contrary := map[string]bool{}, map[string]bool{}
	for _, o := range list {
		if !o.OK {
			t.Errorf("%s: %s: got %s %v, want %s", o.File, o.Name, o.Effect, o.Policies, o.Expected)
		}
		for _, id := range o.Policies {
			determined[id] = true
		}
		if id, _, ok := strings.Cut(o.Name, ": "); ok {
			if p, ok := e.Policy(id); ok && p.Forbids == (o.Effect == ledger.EffectAllow) {
				contrary[id] = true
			}
		}
	}
	for _, p := range e.Policies() {
		if !determined[p.ID] {
			t.Errorf("%s determines no scenario", p.ID)
		}
		if !contrary[p.ID] {
			t.Errorf("%s has no scenario that ends the other way", p.ID)
		}
	}
}

func TestDefaultTerms(t *testing.T) {
	v := &compileDefault(t).bundle.Vocabulary
	for name, list := range lists(v) {
		art9 := map[string]bool{}
		for _, term := range list {
			for _, text := range []string{term.It, term.En, term.SentenceIt, term.SentenceEn} {
				if text != strings.Join(strings.Fields(text), " ") {
					t.Errorf("%s: %s: spaces in %q", name, term.ID, text)
				}
			}
			for _, sentence := range []string{term.SentenceIt, term.SentenceEn} {
				if !strings.HasSuffix(sentence, ".") || len(sentence) > 160 || !unicode.IsUpper([]rune(sentence)[0]) {
					t.Errorf("%s: %s: %q is no short sentence", name, term.ID, sentence)
				}
			}
			if term.SentenceIt == term.SentenceEn {
				t.Errorf("%s: %s: one sentence in both languages", name, term.ID)
			}
			if !strings.HasPrefix(term.IRI, "https://w3id.org/") && !strings.HasPrefix(term.IRI, "urn:nir:") {
				t.Errorf("%s: %s: %q", name, term.ID, term.IRI)
			}
			art9[term.ID] = term.Art9
			if name == "categories" && term.Broader != "" && art9[term.Broader] != term.Art9 {
				t.Errorf("%s: %s is marked for Art. 9 otherwise than %s", name, term.ID, term.Broader)
			}
		}
	}
}

func TestSIUSSCodes(t *testing.T) {
	f, err := os.Open("vocabulary/tipo_categoria_siuss.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 100 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	e := compileDefault(t)
	for _, row := range rows[1:] {
		iri, label, code := row[0], strings.Join(strings.Fields(row[1]), " "), row[4]
		i := slices.IndexFunc(e.bundle.Vocabulary.Categories, func(term Term) bool { return term.ID == code })
		if i < 0 {
			t.Errorf("no %s", code)
			continue
		}
		if term := e.bundle.Vocabulary.Categories[i]; term.IRI != iri || term.It != label {
			t.Errorf("%s: got %s %q, want %s %q", code, term.IRI, term.It, iri, label)
		}
		if e.categories[iri] != code {
			t.Errorf("%s isn't found by its IRI", code)
		}
	}
}

// The words that a receipt may say it in.
func TestDefaultWords(t *testing.T) {
	e := compileDefault(t)
	for _, test := range []struct {
		words      map[string]string
		word, want string
	}{
		{e.categories, "https://w3id.org/dpv/pd#Income", "Income"},
		{e.categories, "isee", "isee"},
		{e.categories, "A4.05", "A4.05"},
		{e.categories, "ISEE", ""},
		{e.purposes, "https://w3id.org/dpv/sector/publicservices#SocialWelfareProvision", "SocialWelfareProvision"},
		{e.purposes, "once-only", "once-only"},
		{e.legalBases, "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e", "A6-1-e"},
		{e.legalBases, "LEGAL_OBLIGATION", "LEGAL_OBLIGATION"},
		{e.legalBases, "urn:nir:stato:decreto.legislativo:2003-06-30;196~art2sexies", "2-sexies"},
		{e.kinds, "Comuni e loro Consorzi e Associazioni", "municipality"},
	} {
		if got := test.words[test.word]; got != test.want {
			t.Errorf("%q: got %q, want %q", test.word, got, test.want)
		}
	}
}

// Where the ground is a public task, a consent changes nothing: neither one that
// is there nor one that was refused. The purposes that a citizen opens are apart.
func TestConsentIsNotDemanded(t *testing.T) {
	e := compileDefault(t)
	v := &e.bundle.Vocabulary
	consents := []string{"A6-1-a", "A6-1-a-explicit-consent", "CONSENT", "A9-2-a", "art22-consent"}
	opened := []string{"desk-service", "one-click"}
	for _, kind := range []string{"municipality", "inps", "istat", "company"} {
		for _, c := range v.Categories {
			if c.Broader != "" && c.ID != "A4.05" && c.ID != "isee" {
				continue
			}
			for _, purpose := range v.Purposes {
				if slices.Contains(opened, purpose.ID) {
					continue
				}
				for _, basis := range v.LegalBases {
					if slices.Contains(consents, basis.ID) {
						continue
					}
					f := &ledger.Facts{
						Consumer: "c_a944", Kinds: e.kindsOf([]string{kind}), Provider: "inps", ProviderKinds: []string{}, Categories: []string{c.ID},
						Purpose: purpose.ID, LegalBasis: basis.ID, Actor: ledger.ActorOperator, Profile: ledger.ProfileAudit02, LoA: 3, Subjects: 1,
					}
					without := decide(t, e, f)
					f.Consent = true
					if with := decide(t, e, f); with != without {
						t.Errorf("%s, %s, %s, %s: %s without consent, %s with it", kind, c.ID, purpose.ID, basis.ID, without, with)
					}
				}
			}
		}
	}
}

func decide(t *testing.T, e *Engine, f *ledger.Facts) string {
	t.Helper()
	d, err := e.DecideOn(f)
	if err != nil {
		t.Fatal(err)
	}
	return d.Effect + " by " + strings.Join(d.Policies, ", ")
}
