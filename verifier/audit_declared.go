// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// AuditPurposesSchema is the first member of a file of declared purposes.
const AuditPurposesSchema = "traccia/declared-purposes/1"

// AuditPurposes are the purposes that a body declared, as its DPO writes them down: those of PDND's catalogue (finalità),
// each with what was declared of it. One JSON object, strict:
//
//	{"schema":"traccia/declared-purposes/1","body":"c_a944","purposes":[{"purpose_id":"9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e",
//	"name":"Verifica ISEE per prestazioni sociali","eservices":["843ac013-941a-4afe-8243-e668142e73e6"],
//	"legal_bases":["https://w3id.org/dpv/legal/eu/gdpr#A6-1-e"],"data_categories":["https://w3id.org/dpv/pd#Income"],
//	"from":"2026-01-01","until":"2026-12-31"}]}
type AuditPurposes struct {
	Schema   string         `json:"schema"`
	Body     string         `json:"body"`
	Purposes []AuditPurpose `json:"purposes"`
	byID     map[string]*AuditPurpose
}

// AuditPurpose is one of them. A list that isn't there isn't compared; From and Until are days, the last included.
type AuditPurpose struct {
	PurposeID  string   `json:"purpose_id"`
	Name       string   `json:"name"`
	EServices  []string `json:"eservices,omitempty"`
	LegalBases []string `json:"legal_bases,omitempty"`
	Categories []string `json:"data_categories,omitempty"`
	From       string   `json:"from,omitempty"`
	Until      string   `json:"until,omitempty"`
}

// ParseAuditPurposes reads such a file. Errors are *ledger.Problem.
func ParseAuditPurposes(text []byte) (*AuditPurposes, error) {
	p := &AuditPurposes{byID: map[string]*AuditPurpose{}}
	if err := ijson.Unmarshal(text, p); err != nil {
		var e *ijson.Error
		if errors.As(err, &e) {
			return nil, problem(ledger.CodeSyntax, e.Pointer, e.Expected, e.Found)
		}
		return nil, problem(ledger.CodeSyntax, "", "a file of declared purposes", "something else")
	}
	if p.Schema != AuditPurposesSchema {
		return nil, problem(ledger.CodeBadValue, "/schema", AuditPurposesSchema, "another")
	}
	if ledger.CheckID(p.Body) != nil {
		return nil, problem(ledger.CodeBadID, "/body", "the id of a body", fmt.Sprintf("a string of %d bytes", len(p.Body)))
	}
	for i := range p.Purposes {
		one := &p.Purposes[i]
		at := fmt.Sprintf("/purposes/%d", i)
		if !isUUID(one.PurposeID) {
			return nil, problem(ledger.CodeBadUUID, at+"/purpose_id", "a uuid in lower-case hex, 8-4-4-4-12", fmt.Sprintf("a string of %d bytes", len(one.PurposeID)))
		}
		if p.byID[one.PurposeID] != nil {
			return nil, problem(ledger.CodeRepeated, at+"/purpose_id", "each purpose once", "one that occurs before")
		}
		if one.Name == "" {
			return nil, problem(ledger.CodeMissing, at+"/name", "a name", "an empty text")
		}
		for j, id := range one.EServices {
			if !isUUID(id) {
				return nil, problem(ledger.CodeBadUUID, fmt.Sprintf("%s/eservices/%d", at, j), "a uuid in lower-case hex, 8-4-4-4-12", fmt.Sprintf("a string of %d bytes", len(id)))
			}
		}
		for _, day := range []struct{ name, text string }{{"from", one.From}, {"until", one.Until}} {
			if _, err := time.Parse(time.DateOnly, day.text); err != nil && day.text != "" {
				return nil, problem(ledger.CodeBadTime, at+"/"+day.name, "a day as 2026-11-22", fmt.Sprintf("a string of %d bytes", len(day.text)))
			}
		}
		p.byID[one.PurposeID] = one
	}
	return p, nil
}

// declared holds a receipt against what the body declared of its purpose, and a basis of consent against the consent named.
func (a *Audit) declared(e *ListedEvent, at AuditEvidence) error {
	r := &e.Opened.Receipt.Receipt
	tell := func(code, expected, found string) error {
		one := at
		one.Expected, one.Found = expected, found
		return a.find(ClassConformity, code, r.PurposeID, one)
	}
	if e.Kind == ledger.KindAccess && r.ConsentID == "" && onConsent(e) {
		if err := tell(CodeConsentMissing, "a consent_id, since consent is the basis", "none"); err != nil {
			return err
		}
	}
	if a.Declared == nil || e.Kind == ledger.KindDenied {
		return nil
	}
	p := a.Declared.byID[r.PurposeID]
	if p == nil {
		return tell(CodePurposeUnlisted, "a purpose that the body declared", r.PurposeID)
	}
	day := r.Occurred().In(a.Zone).Format(time.DateOnly)
	if p.From != "" && day < p.From || p.Until != "" && day > p.Until {
		if err := tell(CodePurposeOver, strings.TrimSpace(span("from ", p.From)+span("until ", p.Until)), day); err != nil {
			return err
		}
	}
	if len(p.EServices) > 0 && !slices.Contains(p.EServices, r.EService) {
		if err := tell(CodeEServiceUnused, strings.Join(p.EServices, ", "), r.EService); err != nil {
			return err
		}
	}
	if len(p.LegalBases) > 0 && !slices.Contains(p.LegalBases, r.LegalBasis) {
		if err := tell(CodeBasisOther, strings.Join(p.LegalBases, ", "), r.LegalBasis); err != nil {
			return err
		}
	}
	for _, category := range r.DataCategories {
		if len(p.Categories) > 0 && !slices.Contains(p.Categories, category) {
			if err := tell(CodeCategoryAdded, strings.Join(p.Categories, ", "), category); err != nil {
				return err
			}
		}
	}
	return nil
}

func span(word, day string) string {
	if day == "" {
		return ""
	}
	return word + day + " "
}

func onConsent(e *ListedEvent) bool {
	if d := e.Opened.Decision; d != nil && d.Facts != nil {
		return slices.Contains(consentBases, d.Facts.LegalBasis)
	}
	return isConsent(e.Opened.Receipt.LegalBasis)
}

// isConsent says whether a legal basis, as a receipt writes it, is the citizen's consent.
func isConsent(basis string) bool {
	return slices.ContainsFunc(consentBases, func(id string) bool { return basis == id || strings.HasSuffix(basis, "#"+id) })
}
