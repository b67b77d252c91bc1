// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Effects of a decision.
const (
	// EffectRecorded: no bundle of policies was active, the event was recorded.
	EffectRecorded = "recorded"
	EffectAllow    = "allow"
	EffectDeny     = "deny"
)

// Limits of a decision. A longest one fits in MaxDecision.
const (
	MaxDecision = 16384   // bytes
	MaxPolicies = 200     // policies of a bundle
	MaxBundle   = 1 << 20 // bytes of a bundle
	MaxTerm     = 40      // bytes of a term's or policy's id
	MaxKinds    = 40      // kinds of one body, and of body in all
)

// Decision is what was decided on an access, by which bundle of policies, which
// of them determined it, and every fact that was used: it is replayed from
// bundle and facts alone. It is written in exactly one way, without white space
// and in this order:
//
//	{"effect":"allow","bundle":"4c1d…64 hex","policies":["isee-check"],"facts":{"consumer":"c_a944",…}}
//
// With effect recorded that is all of it: {"effect":"recorded"}. A denial names
// the policies that forbid it; where it names none, no policy allows it.
type Decision struct {
	Effect   string   `json:"effect"`             // an Effect constant
	Bundle   Hex      `json:"bundle,omitzero"`    // SHA-256 of the bundle's bytes
	Policies []string `json:"policies,omitempty"` // ids, ascending, none twice
	Facts    *Facts   `json:"facts,omitempty"`
}

// Facts are what a decision was taken on. Terms are ids of the bundle's
// vocabulary, or TermUnknown for a word that it doesn't have.
//
//	{"consumer":"c_a944","kinds":["comune"],"provider":"inps","provider_kinds":[],"categories":["isee"],
//	"purpose":"isee-check","legal_basis":"a6-1-e","actor":"operator","profile":"AUDIT_REST_02","loa":2,
//	"subjects":1,"late":false,"consent":false,"entitlement":false}
type Facts struct {
	Consumer      string   `json:"consumer"`       // the receipt's
	Kinds         []string `json:"kinds"`          // of the consumer: terms, ascending, none twice
	Provider      string   `json:"provider"`       // the receipt's
	ProviderKinds []string `json:"provider_kinds"` // as Kinds
	Categories    []string `json:"categories"`     // of data: terms, ascending, none twice
	Purpose       string   `json:"purpose"`        // a term
	LegalBasis    string   `json:"legal_basis"`    // a term
	Actor         string   `json:"actor"`          // the receipt's
	Profile       string   `json:"profile"`        // of the assurance
	LoA           int      `json:"loa"`            // of the assurance; 0 if not said
	Subjects      int      `json:"subjects"`       // the receipt's count
	Late          bool     `json:"late"`           // of the assurance
	Consent       bool     `json:"consent"`        // the consent that the receipt names covers the access
	Entitlement   bool     `json:"entitlement"`    // the entitlement that the receipt names covers it
}

// TermUnknown stands for every word that a vocabulary doesn't have.
const TermUnknown = "unknown"

// CheckTerm says whether s can be the id of a term or policy: 1 to 40
// characters of A-Z, a-z, 0-9, _, - and the full stop.
func CheckTerm(s string) error {
	if s == "" || len(s) > MaxTerm {
		return fmt.Errorf("expected 1 to %d characters, found %d", MaxTerm, len(s))
	}
	for i := range len(s) {
		if b := s[i]; (b < 'a' || 'z' < b) && (b < 'A' || 'Z' < b) && (b < '0' || '9' < b) && b != '_' && b != '-' && b != '.' {
			return fmt.Errorf("expected A-Z, a-z, 0-9, _, - and the full stop, found another character at byte %d", i)
		}
	}
	return nil
}

func (c *checker) terms(where string, list []string, least, most int) {
	if n := len(list); n < least || n > most {
		c.fail(CodeBadCount, where, fmt.Sprintf("%d to %d ids", least, most), strconv.Itoa(n))
		return
	}
	for i, s := range list {
		c.term(where+"/"+strconv.Itoa(i), s)
		if i > 0 && list[i-1] >= s {
			c.fail(CodeBadValue, where, "ids in ascending order, none twice", "others")
		}
	}
}

func (c *checker) term(where, s string) {
	if CheckTerm(s) != nil {
		c.fail(CodeBadValue, where, fmt.Sprintf("1 to %d characters of A-Z, a-z, 0-9, _, - and .", MaxTerm), textFound(s))
	}
}

func (d *Decision) check() *Problem {
	var c checker
	c.word("effect", d.Effect, EffectRecorded, EffectAllow, EffectDeny)
	if d.Effect == EffectRecorded {
		if d.Bundle != (Hex{}) || d.Policies != nil || d.Facts != nil {
			c.fail(CodeBadValue, "effect", "nothing more with "+EffectRecorded, "more")
		}
		return c.problem
	}
	if d.Bundle == (Hex{}) {
		c.fail(CodeMissing, "bundle", hexDigits, "nothing")
	}
	least := 0
	if d.Effect == EffectAllow {
		least = 1
	}
	c.terms("policies", d.Policies, least, MaxPolicies)
	if d.Facts == nil {
		c.fail(CodeMissing, "facts", "an object", "nothing")
		return c.problem
	}
	d.Facts.check(&c)
	return c.problem
}

func (f *Facts) check(c *checker) {
	c.id("facts/consumer", f.Consumer)
	c.terms("facts/kinds", f.Kinds, 0, MaxKinds)
	c.id("facts/provider", f.Provider)
	c.terms("facts/provider_kinds", f.ProviderKinds, 0, MaxKinds)
	c.terms("facts/categories", f.Categories, 1, MaxDataCategories)
	c.term("facts/purpose", f.Purpose)
	c.term("facts/legal_basis", f.LegalBasis)
	c.word("facts/actor", f.Actor, ActorOperator, ActorService, ActorModel)
	c.word("facts/profile", f.Profile, ProfileAudit02, ProfileAudit01, ProfileVoucher)
	if f.LoA < 0 || f.LoA > 4 {
		c.fail(CodeBadValue, "facts/loa", "0 to 4", strconv.Itoa(f.LoA))
	}
	if n := f.Subjects; n < 1 || n > MaxSubjects {
		c.fail(CodeBadCount, "facts/subjects", fmt.Sprintf("1 to %d", MaxSubjects), strconv.Itoa(n))
	}
}

// CheckFacts refuses, with a *Problem, facts that can stand in no decision.
func CheckFacts(f *Facts) error {
	var c checker
	f.check(&c)
	if c.problem != nil {
		return c.problem
	}
	return nil
}

// FormatDecision encodes a decision. It refuses, with a *Problem, what
// [ParseDecision] would refuse.
func FormatDecision(d Decision) (json.RawMessage, error) {
	if p := d.check(); p != nil {
		return nil, p.under("decision")
	}
	return d.appendTo(nil), nil
}

func (d *Decision) appendTo(b []byte) []byte {
	b = append(b, `{"effect":"`...)
	b = append(b, d.Effect...)
	if d.Effect == EffectRecorded {
		return append(b, `"}`...)
	}
	b = append(b, `","bundle":"`...)
	b = append(b, hex.EncodeToString(d.Bundle[:])...)
	b = append(b, `","policies":`...)
	b = appendTerms(b, d.Policies)
	b = append(b, `,"facts":`...)
	b = d.Facts.appendTo(b)
	return append(b, '}')
}

func (f *Facts) appendTo(b []byte) []byte {
	b = append(b, `{"consumer":"`...)
	b = append(b, f.Consumer...)
	b = append(b, `","kinds":`...)
	b = appendTerms(b, f.Kinds)
	b = append(b, `,"provider":"`...)
	b = append(b, f.Provider...)
	b = append(b, `","provider_kinds":`...)
	b = appendTerms(b, f.ProviderKinds)
	b = append(b, `,"categories":`...)
	b = appendTerms(b, f.Categories)
	b = append(b, `,"purpose":"`...)
	b = append(b, f.Purpose...)
	b = append(b, `","legal_basis":"`...)
	b = append(b, f.LegalBasis...)
	b = append(b, `","actor":"`...)
	b = append(b, f.Actor...)
	b = append(b, `","profile":"`...)
	b = append(b, f.Profile...)
	b = append(b, `","loa":`...)
	b = strconv.AppendInt(b, int64(f.LoA), 10)
	b = append(b, `,"subjects":`...)
	b = strconv.AppendInt(b, int64(f.Subjects), 10)
	b = append(b, `,"late":`...)
	b = strconv.AppendBool(b, f.Late)
	b = append(b, `,"consent":`...)
	b = strconv.AppendBool(b, f.Consent)
	b = append(b, `,"entitlement":`...)
	b = strconv.AppendBool(b, f.Entitlement)
	return append(b, '}')
}

// appendTerms appends ids, which need no escape.
func appendTerms(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, s...)
		b = append(b, '"')
	}
	return append(b, ']')
}

// Key is the one way to write the facts: equal for equal facts.
func (f *Facts) Key() []byte { return f.appendTo(make([]byte, 0, 384)) }

// ParseDecision decodes a decision. What it accepts, [FormatDecision] encodes
// to the same bytes. Errors are *Problem, at "decision" or "decision#<path>".
func ParseDecision(data []byte) (*Decision, error) {
	d, p := parseDecision(data)
	if p != nil {
		return nil, p.under("decision")
	}
	return d, nil
}

func parseDecision(data []byte) (*Decision, *Problem) {
	if n := len(data); n > MaxDecision {
		return nil, &Problem{CodeTooLong, "", fmt.Sprintf("at most %d bytes", MaxDecision), strconv.Itoa(n)}
	}
	d := new(Decision)
	if err := ijson.Unmarshal(data, d); err != nil {
		return nil, jsonProblem(err)
	}
	if len(d.Policies) == 0 {
		d.Policies = nil
	}
	if p := d.check(); p != nil {
		return nil, p
	}
	if !bytes.Equal(d.appendTo(nil), data) {
		return nil, &Problem{CodeSyntax, "", "the one way to write this decision", "another"}
	}
	return d, nil
}

// object checks that raw is one I-JSON object with no white space around it,
// which can stand in a body. Of a decision it is less than ParseDecision asks,
// because a list's events repeat what was formatted once.
func (c *checker) object(where string, raw json.RawMessage, most int) {
	if n := len(raw); n > most {
		c.fail(CodeTooLong, where, fmt.Sprintf("at most %d bytes", most), strconv.Itoa(n))
		return
	}
	if len(raw) < 2 || raw[0] != '{' || raw[len(raw)-1] != '}' {
		c.fail(CodeSyntax, where, "an object without white space around it", "something else")
		return
	}
	// One level down, so that the depth is that of the body.
	inner := append(append([]byte(`{"decision":`), raw...), '}')
	if err := ijson.Check(inner); err != nil {
		p := jsonProblem(err)
		c.fail(p.Code, where, p.Expected, p.Found)
	}
}

// SortedTerms returns ids in ascending order, each once.
func SortedTerms(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}
