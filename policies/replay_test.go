// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// randomAccess is one in the words of a vocabulary, and sometimes in others.
func randomAccess(rnd *rand.Rand, v *Vocabulary) *ledger.Access {
	word := func(list []Term) string {
		if rnd.IntN(20) == 0 {
			return "something else"
		}
		return list[rnd.IntN(len(list))].IRI
	}
	attributes := func() (list []string) {
		for range rnd.IntN(3) {
			if t := v.BodyKinds[rnd.IntN(len(v.BodyKinds))]; len(t.Also) > 0 {
				list = append(list, t.Also[0])
			}
		}
		return list
	}
	bodies := []string{"inps", "c_a944", "c_h501", "agenzia_entrate"}
	r := &ledger.Receipt{
		Consumer: bodies[rnd.IntN(4)], Provider: bodies[rnd.IntN(4)], Purpose: word(v.Purposes), LegalBasis: word(v.LegalBases),
		Actor: actors[rnd.IntN(3)], Subjects: ledger.SubjectCommitment{Count: 1},
	}
	if rnd.IntN(4) == 0 {
		r.Subjects.Count = 1 + rnd.IntN(ledger.MaxSubjects)
	}
	for range 1 + rnd.IntN(3) {
		if c := word(v.Categories); !slices.Contains(r.DataCategories, c) {
			r.DataCategories = append(r.DataCategories, c)
		}
	}
	a := &ledger.Access{
		Receipt: r, Assurance: &ledger.Assurance{Profile: profiles[rnd.IntN(3)], LoA: rnd.IntN(5), Late: rnd.IntN(8) == 0},
		ConsumerAttributes: attributes(), ProviderAttributes: attributes(),
	}
	if rnd.IntN(4) == 0 {
		r.ConsentID = "6f1c"
		a.Grant = ledger.Grant{Consent: rnd.IntN(2) == 0}
		a.Grant.Entitlement = !a.Grant.Consent && rnd.IntN(2) == 0
	}
	return a
}

func defaultEngine(t testing.TB) *Engine {
	t.Helper()
	e, err := Compile(Default())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// tamperings are ways to change a decision that was taken.
var tamperings = []struct {
	name string
	do   func(rnd *rand.Rand, d *ledger.Decision, e *Engine)
}{
	{"effect", func(_ *rand.Rand, d *ledger.Decision, e *Engine) {
		if d.Effect == ledger.EffectDeny {
			d.Effect, d.Policies = ledger.EffectAllow, []string{e.policies[0].ID}
		} else {
			d.Effect, d.Policies = ledger.EffectDeny, nil
		}
	}},
	{"policies", func(rnd *rand.Rand, d *ledger.Decision, e *Engine) {
		id := e.policies[rnd.IntN(len(e.policies))].ID
		if i := slices.Index(d.Policies, id); i >= 0 && (len(d.Policies) > 1 || d.Effect == ledger.EffectDeny) {
			d.Policies = slices.Delete(slices.Clone(d.Policies), i, i+1)
		} else if i < 0 {
			d.Policies = ledger.SortedTerms(append(slices.Clone(d.Policies), id))
		} else {
			d.Effect, d.Policies = ledger.EffectDeny, nil
		}
	}},
	{"bundle", func(_ *rand.Rand, d *ledger.Decision, _ *Engine) { d.Bundle[7] ^= 1 }},
	{"purpose", func(_ *rand.Rand, d *ledger.Decision, e *Engine) {
		d.Facts.Purpose = another(d.Facts.Purpose, e.bundle.Vocabulary.Purposes)
	}},
	{"legal basis", func(_ *rand.Rand, d *ledger.Decision, e *Engine) {
		d.Facts.LegalBasis = another(d.Facts.LegalBasis, e.bundle.Vocabulary.LegalBases)
	}},
	{"categories", func(_ *rand.Rand, d *ledger.Decision, e *Engine) {
		d.Facts.Categories = []string{another(d.Facts.Categories[0], e.bundle.Vocabulary.Categories)}
	}},
	{"kinds", func(_ *rand.Rand, d *ledger.Decision, e *Engine) {
		if len(d.Facts.Kinds) > 0 {
			d.Facts.Kinds = d.Facts.Kinds[1:]
		} else {
			d.Facts.Kinds = []string{e.bundle.Vocabulary.BodyKinds[0].ID}
		}
	}},
	{"actor", func(_ *rand.Rand, d *ledger.Decision, _ *Engine) {
		d.Facts.Actor = map[string]string{"model": "operator", "operator": "service", "service": "operator"}[d.Facts.Actor]
	}},
	{"subjects", func(_ *rand.Rand, d *ledger.Decision, _ *Engine) {
		d.Facts.Subjects = 1 + d.Facts.Subjects%ledger.MaxSubjects
	}},
	{"level", func(_ *rand.Rand, d *ledger.Decision, _ *Engine) { d.Facts.LoA = (d.Facts.LoA + 1) % 5 }},
	{"a term that isn't", func(_ *rand.Rand, d *ledger.Decision, _ *Engine) { d.Facts.Purpose = "nothing" }},
}

func another(id string, terms []Term) string {
	if terms[0].ID == id {
		return terms[1].ID
	}
	return terms[0].ID
}

// TestReplay replays decisions, 100,000 of them, of which some were tampered
// with: exactly those don't follow from their bundle.
func TestReplay(t *testing.T) {
	e := defaultEngine(t)
	count := 100_000
	if testing.Short() {
		count = 10_000
	}
	rnd := rand.New(rand.NewPCG(4, 1))
	began := time.Now()
	allowed, wrong := 0, map[int]string{}
	found := map[int]bool{}
	for i := range count {
		a := randomAccess(rnd, &e.bundle.Vocabulary)
		d, err := e.Decide(a)
		if err != nil {
			t.Fatal(err)
		}
		if d.Effect == ledger.EffectAllow {
			allowed++
		}
		raw, err := ledger.FormatDecision(d)
		if err != nil {
			t.Fatal(err)
		}
		read, err := ledger.ParseDecision(raw)
		if err != nil {
			t.Fatal(err)
		}
		if i%97 == 0 {
			how := tamperings[i/97%len(tamperings)]
			how.do(rnd, read, e)
			wrong[i] = how.name
			if _, err := ledger.FormatDecision(*read); err != nil {
				t.Fatalf("%s makes no decision: %v", how.name, err)
			}
		}
		if err := e.Replay(read, a); err != nil {
			var p *ledger.Problem
			if !errors.As(err, &p) || p.Code != ledger.CodeDecision {
				t.Fatalf("%d: %v", i, err)
			}
			found[i] = true
		}
	}
	for i, how := range wrong {
		if !found[i] {
			t.Errorf("decision %d follows with another %s", i, how)
		}
	}
	if len(found) != len(wrong) {
		t.Errorf("%d don't follow, %d were tampered with", len(found), len(wrong))
	}
	t.Logf("%d decisions taken and replayed in %v, %d allowed, %d that don't follow", count, time.Since(began).Round(time.Millisecond), allowed, len(found))
	if allowed == 0 || allowed == count {
		t.Error("the sample never went both ways")
	}
}

// TestForeseen: neither leaving out the policies that can't apply nor the table changes what Cedar's authorizer decides.
func TestForeseen(t *testing.T) {
	for _, e := range []*Engine{defaultEngine(t), compile(t, smallBundle())} {
		whole := *e
		whole.likely = map[facet]map[string]set256{}
		for f, words := range e.likely {
			whole.likely[f] = map[string]set256{}
			for word := range words {
				whole.likely[f][word] = set256{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
			}
		}
		rnd := rand.New(rand.NewPCG(4, 2))
		for range 5000 {
			f := e.Facts(randomAccess(rnd, &e.bundle.Vocabulary))
			got, want := e.decide(f), whole.askCedar(f)
			if got.Effect != want.Effect || !slices.Equal(got.Policies, want.Policies) {
				t.Fatalf("%s by %v, want %s by %v: %s", got.Effect, got.Policies, want.Effect, want.Policies, f.Key())
			}
		}
	}
}

// many is the default bundle with copies of its policies, up to ledger.MaxPolicies.
func many(t testing.TB) *Bundle {
	t.Helper()
	b, err := ParseBundle(Default())
	if err != nil {
		t.Fatal(err)
	}
	e := defaultEngine(t)
	var copies strings.Builder
	for i := range ledger.MaxPolicies - len(e.policies) {
		p := e.policies[i%len(e.policies)]
		text := string(p.cedar.MarshalCedar())
		fmt.Fprintln(&copies, strings.Replace(text, `@id("`+p.ID+`")`, fmt.Sprintf(`@id("copy-%d")`, i), 1))
	}
	b.Files = append(b.Files, File{"copies.cedar", copies.String()})
	return b
}

// BenchmarkDecide takes decisions by 200 policies, facts included.
func BenchmarkDecide(b *testing.B) {
	e := compile(b, many(b))
	rnd := rand.New(rand.NewPCG(4, 3))
	accesses := make([]*ledger.Access, 1000)
	for i := range accesses {
		accesses[i] = randomAccess(rnd, &e.bundle.Vocabulary)
		accesses[i].Receipt.DataCategories = accesses[i].Receipt.DataCategories[:1]
	}
	b.ReportMetric(float64(len(e.policies)), "policies")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d, err := e.Decide(accesses[i%1000])
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ledger.FormatDecision(d); err != nil {
			b.Fatal(err)
		}
	}
}
