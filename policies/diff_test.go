// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

func diff(t testing.TB, before, after *Engine, exceptions string) *Difference {
	t.Helper()
	except, err := ParseExceptions("except.cedar", []byte(exceptions))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Diff(t.Context(), before, after, except, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDiff(t *testing.T) {
	for _, test := range []struct {
		name   string
		edits  []string
		except string
		want   []string
	}{
		{"nothing", nil, "", nil},
		{"other words", []string{"The municipality checks", "A municipality checks"}, "", nil},
		{"the same in other words", []string{`context.loa >= 2`, `context.loa > 1`}, "", nil},
		{"a purpose more", []string{`["isee-check", "benefit"]`, `["isee-check", "benefit", "statistics"]`}, "", []string{
			"allow category: income.*; purpose: statistics; legal_basis: a6-1-a; actor: operator or service; consent: true; subjects: 1–100; consumer: any other; kinds: comune",
			"allow category: income.*; purpose: statistics; legal_basis: a6-1-a; actor: operator or service; consent: true; subjects: 101–10000; profile: AUDIT_REST_02; consumer: any other; kinds: comune; provider_kinds: ente",
			"allow category: income.*; purpose: statistics; legal_basis: a6-1-e; actor: operator or service; subjects: 1–100; consumer: any other; kinds: comune",
			"allow category: income.*; purpose: statistics; legal_basis: a6-1-e; actor: operator or service; subjects: 101–10000; profile: AUDIT_REST_02; consumer: any other; kinds: comune; provider_kinds: ente",
		}},
		{"a level less, where that may be", []string{`context.loa >= 2`, `context.loa >= 1`}, `permit (principal, action, resource) when { context.loa == 1 && context.subjects <= 50 };`, []string{
			"allow category: disability; legal_basis: a9-2-g; subjects: 51–100; loa: 1; consumer: any other",
			"allow category: disability; legal_basis: a9-2-g; subjects: 101–10000; loa: 1; profile: AUDIT_REST_02; consumer: any other; provider_kinds: ente",
			"excepted category: disability; legal_basis: a9-2-g; subjects: 1–50; loa: 1; consumer: any other",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := compile(t, smallBundle())
			d := diff(t, before, compile(t, smallBundle(test.edits...)), test.except)
			var got []string
			for _, g := range d.Groups {
				got = append(got, string(g.Change)+" "+g.String())
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

// in says whether a combination, values of facts and sets of attributes, lies in a class.
func (c *comparison) in(f facet, one class, chosen []int) bool {
	if one.sets == nil {
		return slices.Contains(one.members, chosen[0])
	}
	return slices.ContainsFunc(one.sets, func(set []int) bool { return c.union(f, set, one.atoms) == c.union(f, chosen, one.atoms) })
}

// becomes follows a combination to its leaf; the test fails where the ways part or end.
func (c *comparison) becomes(t testing.TB, d *diagram, chosen [facets][]int) Change {
	t.Helper()
	for d != nil && d.change == "" {
		var ways []*diagram
		for _, e := range d.edges {
			if c.in(d.facet, e.class, chosen[d.facet]) {
				ways = append(ways, e.to)
			}
		}
		if len(ways) != 1 {
			t.Fatalf("%s leads %d ways", d.facet, len(ways))
		}
		d = ways[0]
	}
	if d == nil {
		return ""
	}
	return d.change
}

// mutant changes some of a bundle's policies.
func mutant(rnd *rand.Rand, b *Bundle) *Bundle {
	out := *b
	out.Files = slices.Clone(b.Files)
	words := func(list []Term) string { return list[rnd.IntN(len(list))].ID }
	for range 1 + rnd.IntN(4) {
		f := &out.Files[rnd.IntN(len(out.Files))]
		purposes, kinds := out.Vocabulary.Purposes, out.Vocabulary.BodyKinds
		for _, edit := range [][2]string{
			{`context.purpose == "` + words(purposes), `context.purpose == "` + words(purposes)},
			{`"` + words(purposes) + `"`, `"` + words(purposes) + `"`},
			{`"` + words(out.Vocabulary.LegalBases) + `"`, `"` + words(out.Vocabulary.LegalBases) + `"`},
			{`"` + words(kinds) + `"`, `"` + words(kinds) + `"`},
			{`context.subjects > 1`, `context.subjects > 2`}, {`context.loa >= 2`, `context.loa >= 3`}, {`"model"`, `"service"`},
			{`context.consent`, `context.entitlement`}, {`<= 100`, `<= 99`}, {`resource.art9`, `!resource.art9`}, {"permit (", "forbid ("},
			{`provider_kinds.contains`, `provider_kinds.contains`}, {`principal.kinds.contains`, `context.provider_kinds.contains`},
		} {
			if rnd.IntN(3) == 0 {
				f.Text = strings.Replace(f.Text, edit[0], edit[1], 1+rnd.IntN(3))
			}
		}
	}
	if rnd.IntN(3) == 0 { // a term less
		out.Vocabulary.Categories = slices.Clone(b.Vocabulary.Categories)
		i := rnd.IntN(len(out.Vocabulary.Categories))
		out.Vocabulary.Categories[i].Art9 = !out.Vocabulary.Categories[i].Art9
	}
	return &out
}

// TestDiffIsComplete compares what Diff says with what the two bundles decide, on combinations taken at random: half of them
// anywhere, half in a group that Diff lists.
func TestDiffIsComplete(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	standard, err := ParseBundle(Default())
	if err != nil {
		t.Fatal(err)
	}
	changed, samples, pairs := 0, 0, 0
	for round := range 30 {
		b := smallBundle()
		if round%3 == 0 {
			b = standard
		}
		before := compile(t, b)
		document, err := mutant(rnd, b).Format()
		if err != nil {
			t.Fatal(err)
		}
		after, err := Compile(document)
		if err != nil {
			continue // not every mutant is a bundle
		}
		pairs++
		c, err := newComparison(before, after, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.ctx, c.progress = t.Context(), func(int, int) {}
		root, err := c.solve(0, c.start)
		if err != nil {
			t.Fatal(err)
		}
		for range 400 {
			var chosen [facets][]int
			for f := range facet(facets) {
				chosen[f] = []int{rnd.IntN(len(c.values[f]))}
				if f == facetKinds || f == facetProviderKinds {
					chosen[f] = rnd.Perm(len(c.values[f]))[:rnd.IntN(4)]
				}
			}
			if rnd.IntN(2) == 0 {
				c.steer(rnd, root, &chosen)
			}
			facts := [2]ledger.Facts{someFacts(), someFacts()}
			for f := range chosen {
				for _, i := range chosen[f] {
					for k := range facts {
						c.values[f][i].set[k](&facts[k])
					}
				}
			}
			if v := c.values[facetSubjects][chosen[facetSubjects][0]]; v.to > v.from {
				n := v.from + rnd.IntN(v.to-v.from+1)
				facts[0].Subjects, facts[1].Subjects = n, n
			}
			was, is := before.decide(&facts[0]).Effect, after.decide(&facts[1]).Effect
			want := Change("")
			if was != is {
				changed++
				want = map[string]Change{ledger.EffectAllow: Allowed, ledger.EffectDeny: Denied}[is]
			}
			if got := c.becomes(t, root, chosen); got != want {
				t.Fatalf("round %d: said %q, decided %q: %s, then %s", round, got, want, facts[0].Key(), facts[1].Key())
			}
			samples++
		}
	}
	t.Logf("%d combinations of %d pairs of bundles, %d of them changed", samples, pairs, changed)
	if changed < samples/20 {
		t.Error("too few of the samples changed")
	}
}

// steer moves a combination into a group.
func (c *comparison) steer(rnd *rand.Rand, d *diagram, chosen *[facets][]int) {
	for d != nil && d.change == "" {
		var ways []edge
		for _, e := range d.edges {
			if e.to != nil {
				ways = append(ways, e)
			}
		}
		if len(ways) == 0 {
			return
		}
		e := ways[rnd.IntN(len(ways))]
		if e.class.sets != nil {
			chosen[d.facet] = e.class.sets[rnd.IntN(len(e.class.sets))]
		} else {
			chosen[d.facet] = []int{e.class.members[rnd.IntN(len(e.class.members))]}
		}
		d = e.to
	}
}

// TestDiffOfDefault: the default bundle against a copy in which much was changed.
func TestDiffOfDefault(t *testing.T) {
	before := defaultEngine(t)
	b, err := ParseBundle(Default())
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Files {
		b.Files[i].Text = strings.NewReplacer(`<= 100`, `<= 50`, `context.loa >= 2`, `context.loa >= 3`).Replace(b.Files[i].Text)
	}
	b.Version = "2"
	began := time.Now()
	d := diff(t, before, compile(t, b), "")
	t.Logf("%v combinations, of which %v are told apart; %d steps, %d groups in %v", d.Size, d.Classes, d.Steps, len(d.Groups), time.Since(began))
	if len(d.Groups) == 0 || slices.ContainsFunc(d.Groups, func(g Group) bool { return g.Change != Denied }) {
		t.Errorf("%d groups", len(d.Groups))
	}
}
