// SPDX-License-Identifier: EUPL-1.2

package ledger

import "slices"

// Access is what the facts of a decision are made of: a receipt, and what the
// ledger knows of it.
type Access struct {
	Receipt            *Receipt
	Assurance          *Assurance
	ConsumerAttributes []string // of PDND, as the bodies' records before it have them
	ProviderAttributes []string
	Grant              Grant
}

// Grant says what the consent or entitlement that a receipt names is worth for
// it. At most one of the two is true.
type Grant struct {
	Consent     bool // a consent in force covers body, purpose, categories and instant
	Entitlement bool // an entitlement in force does
}

// Bundle is a compiled bundle of policies, as those see it who decide by it or
// follow a decision and know nothing of its language. It is safe for concurrent
// use.
type Bundle interface {
	// Version is what the bundle calls itself.
	Version() string
	// Decide decides on an access.
	Decide(a *Access) (Decision, error)
	// Replay takes the decision again and compares; the error is a *Problem that
	// says what doesn't follow. The Grant that the decision rests on is taken from
	// its facts: what it is worth is checked against the citizen's list.
	Replay(d *Decision, a *Access) error
	// Explain returns, for each policy of a decision that is the bundle's, what it
	// says.
	Explain(d *Decision) []Ground
}

// Ground says why a policy allows or denies.
type Ground struct {
	Policy    string `json:"policy"`
	Reference string `json:"reference"` // the norm that it rests on
	It        string `json:"it"`        // why, in plain words
	En        string `json:"en"`
}

// CheckDecided compares a decision with the access it is on, as far as that takes
// no bundle: kind of event and effect belong together, and the facts are those of
// receipt and assurance. The error is a *Problem.
func CheckDecided(kind string, d *Decision, a *Access) error {
	k, _ := KindOf(kind)
	want := []string{EffectRecorded}
	if k.Accesses() {
		want = []string{EffectAllow, EffectRecorded}
	}
	if kind == KindDenied {
		want = []string{EffectDeny}
	}
	if !slices.Contains(want, d.Effect) {
		return &Problem{CodeDecision, "body#decision/effect", want[0] + " in an event " + kind, d.Effect}
	}
	f, r := d.Facts, a.Receipt
	if f == nil {
		return nil
	}
	for _, fact := range []struct {
		name string
		same bool
	}{
		{"consumer", f.Consumer == r.Consumer}, {"provider", f.Provider == r.Provider}, {"actor", f.Actor == r.Actor},
		{"profile", f.Profile == a.Assurance.Profile}, {"loa", f.LoA == a.Assurance.LoA},
		{"subjects", f.Subjects == r.Subjects.Count}, {"late", f.Late == a.Assurance.Late},
		{"consent", !f.Consent || r.ConsentID != ""}, {"entitlement", !f.Entitlement || r.ConsentID != ""},
	} {
		if !fact.same {
			return &Problem{CodeDecision, "body#decision/facts/" + fact.name, "what receipt and assurance say", "something else"}
		}
	}
	return nil
}
