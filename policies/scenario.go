// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// Scenario says what is to be decided on an access: the test of a bundle that
// its authors and a DPO can read. Files of them stand in the directory scenarios
// of a bundle's source:
//
//	{"scenarios":[{"name":"A municipality checks an ISEE","facts":{"kinds":["municipality"],"categories":["isee"],
//	"purpose":"isee-check","legal_basis":"A6-1-e"},"expect":"allow","policies":["isee-check"]},
//	{"name":"Once, in one click","chain":[{"name":"…","facts":{…},"expect":"allow"},…]}]}
//
// A fact that isn't given is: consumer c_a944, provider inps, no kinds, purpose
// and legal basis unknown, an operator with AUDIT_REST_02 and level 2, one
// subject, not late, neither consent nor entitlement.
type Scenario struct {
	Name     string         `json:"name"`
	Facts    *ScenarioFacts `json:"facts,omitempty"`
	Expect   string         `json:"expect,omitempty"`   // ledger.EffectAllow or EffectDeny
	Policies []string       `json:"policies,omitempty"` // exactly those that are to determine it
	Ground   string         `json:"ground,omitempty"`   // "none": denied because no policy allows it
	Chain    []Scenario     `json:"chain,omitempty"`    // instead of the rest: steps that follow each other
}

// ScenarioFacts are ledger.Facts of which any may be left out.
type ScenarioFacts struct {
	Consumer      string   `json:"consumer,omitempty"`
	Kinds         []string `json:"kinds,omitempty"`
	Provider      string   `json:"provider,omitempty"`
	ProviderKinds []string `json:"provider_kinds,omitempty"`
	Categories    []string `json:"categories,omitempty"`
	Purpose       string   `json:"purpose,omitempty"`
	LegalBasis    string   `json:"legal_basis,omitempty"`
	Actor         string   `json:"actor,omitempty"`
	Profile       string   `json:"profile,omitempty"`
	LoA           *int     `json:"loa,omitempty"`
	Subjects      int      `json:"subjects,omitempty"`
	Late          bool     `json:"late,omitempty"`
	Consent       bool     `json:"consent,omitempty"`
	Entitlement   bool     `json:"entitlement,omitempty"`
}

// facts fills in what isn't given. Kinds stand with those broader than them, as
// the facts of an access do.
func (e *Engine) scenarioFacts(s *ScenarioFacts) *ledger.Facts {
	f := someFacts()
	f.LoA = 2
	for _, text := range []struct {
		from string
		into *string
	}{
		{s.Consumer, &f.Consumer}, {s.Provider, &f.Provider}, {s.Purpose, &f.Purpose}, {s.LegalBasis, &f.LegalBasis},
		{s.Actor, &f.Actor}, {s.Profile, &f.Profile},
	} {
		if text.from != "" {
			*text.into = text.from
		}
	}
	if s.LoA != nil {
		f.LoA = *s.LoA
	}
	if s.Subjects != 0 {
		f.Subjects = s.Subjects
	}
	if len(s.Categories) > 0 {
		f.Categories = ledger.SortedTerms(slices.Clone(s.Categories))
	}
	f.Kinds, f.ProviderKinds = e.kindsOf(s.Kinds), e.kindsOf(s.ProviderKinds)
	f.Late, f.Consent, f.Entitlement = s.Late, s.Consent, s.Entitlement
	return &f
}

// Outcome is what came of one scenario, or of one step of a chain.
type Outcome struct {
	File     string   `json:"file"`
	Name     string   `json:"name"` // "<chain>: <step>" in a chain
	OK       bool     `json:"ok"`
	Expected string   `json:"expected"` // the effect, and the policies where they are given
	Effect   string   `json:"effect"`
	Policies []string `json:"policies"` // that determined it
}

// TestScenarios decides every scenario of the directory scenarios within dir.
// The error is about files that can't be read or speak of no access that could
// be; a scenario that doesn't hold is an Outcome.
func (e *Engine) TestScenarios(fsys fs.FS, dir string) ([]Outcome, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "scenarios", "*.json"))
	if err != nil {
		return nil, err
	}
	var list []Outcome
	for _, name := range names {
		var file struct {
			Scenarios []Scenario `json:"scenarios"`
		}
		if err := readJSON(fsys, name, &file); err != nil {
			return nil, err
		}
		for _, s := range file.Scenarios {
			steps := []Scenario{s}
			if len(s.Chain) > 0 {
				if s.Facts != nil || s.Expect != "" {
					return nil, fmt.Errorf("%s: %q is a chain with facts of its own", path.Base(name), s.Name)
				}
				if steps = slices.Clone(s.Chain); s.Name != "" {
					for i := range steps {
						steps[i].Name = s.Name + ": " + steps[i].Name
					}
				}
			}
			for _, step := range steps {
				o, err := e.scenario(&step)
				if err != nil {
					return nil, fmt.Errorf("%s: %q: %w", path.Base(name), step.Name, err)
				}
				o.File = path.Base(name)
				list = append(list, *o)
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no scenario in %s", path.Join(path.Base(dir), "scenarios"))
	}
	return list, nil
}

func (e *Engine) scenario(s *Scenario) (*Outcome, error) {
	if s.Facts == nil || s.Expect != ledger.EffectAllow && s.Expect != ledger.EffectDeny || s.Ground != "" && s.Ground != "none" || len(s.Chain) > 0 {
		return nil, fmt.Errorf("expected facts, and allow or deny")
	}
	for _, kind := range slices.Concat(s.Facts.Kinds, s.Facts.ProviderKinds) {
		if e.kinds[kind] == "" {
			return nil, fmt.Errorf("%q is no kind of body", kind)
		}
	}
	for _, id := range s.Policies {
		if _, ok := e.Policy(id); !ok {
			return nil, fmt.Errorf("%q is no policy of the bundle", id)
		}
	}
	d, err := e.DecideOn(e.scenarioFacts(s.Facts))
	if err != nil {
		return nil, err
	}
	o := &Outcome{Name: s.Name, Expected: s.Expect, Effect: d.Effect, Policies: d.Policies, OK: d.Effect == s.Expect}
	if o.Policies == nil {
		o.Policies = []string{}
	}
	if len(s.Policies) > 0 {
		want := ledger.SortedTerms(slices.Clone(s.Policies))
		o.Expected += " by " + strings.Join(want, ", ")
		o.OK = o.OK && slices.Equal(want, d.Policies)
	}
	if s.Ground == "none" {
		o.Expected += ", because no policy allows it"
		o.OK = o.OK && len(d.Policies) == 0
	}
	return o, nil
}
