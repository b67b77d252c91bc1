// SPDX-License-Identifier: EUPL-1.2

package dev

import (
	"math/rand/v2"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// Words of the default vocabulary (policies/vocabulary): IRIs of W3C DPV, ids of its other terms.
const (
	dpv        = "https://w3id.org/dpv"
	sector     = dpv + "/sector/publicservices#"
	pd         = dpv + "/pd#"
	gdpr       = dpv + "/legal/eu/gdpr#"
	public     = gdpr + "A6-1-e" // a task in the public interest
	duty       = gdpr + "A6-1-c" // a legal obligation
	welfare    = gdpr + "A9-2-b" // social protection
	weighty    = "2-sexies"      // substantial public interest, by the Privacy Code
	research   = gdpr + "A9-2-j" // statistics
	automated  = "art22-law"     // a law lets a system decide
	declared   = "PUBLIC_INTEREST"
	entitled   = sector + "SocialWelfareEligibilityAssessment"
	delivery   = sector + "SocialWelfareProvision"
	assistance = sector + "SocialAssistanceManagement"
	fraud      = sector + "PublicServiceFraudPreventionDetection"
)

// service is an e-service of PDND's catalogue with what a receipt says of an access to it.
type service struct {
	id, name      string
	slug          string // in the path of its API
	organisations bool   // its subjects are organisations, with codes of 11 digits
	terms
}

// terms say why an access is made, and to what; reference is the norm.
type terms struct {
	purpose, basis, reference string
	data                      []string
}

// sensitive says whether the terms are about special categories of data, GDPR Art. 9.
func (t *terms) sensitive() bool {
	return t.basis == welfare || t.basis == weighty || t.basis == research
}

// described gives terms to e-services by words in their names; the first that fits counts.
var described = []struct {
	words         string
	organisations bool
	terms
}{
	{"durc", true, terms{fraud, duty, "D.L. 34/2014, art. 4", []string{"durc"}}},
	{"aziende|tassi|debito|cdc|imprese|giuridic", true, terms{"once-only", public, "D.P.R. 445/2000, art. 43", []string{"organisation"}}},
	{"indicatore", false, terms{entitled, public, "D.P.C.M. 159/2013, art. 11", []string{"isee-indicator", pd + "FamilyStructure"}}},
	{"isee", false, terms{entitled, public, "D.P.C.M. 159/2013, art. 11", []string{"isee", pd + "Income", pd + "Household"}}},
	{"accompagnamento", false, terms{delivery, weighty, "L. 18/1980, art. 1", []string{"A4.05"}}},
	{"non vedenti", false, terms{delivery, weighty, "L. 66/1962", []string{"A4.02"}}},
	{"non udenti", false, terms{delivery, weighty, "L. 381/1970", []string{"A4.03"}}},
	{"indennita frequenza", false, terms{delivery, welfare, "L. 289/1990, art. 1", []string{"A4.07"}}},
	{"centri diurni", false, terms{assistance, welfare, "L. 328/2000, art. 22", []string{"A1.12"}}},
	{"asili nido", false, terms{assistance, public, "D.Lgs. 147/2017, art. 24", []string{"A1.07"}}},
	{"buono vacanze", false, terms{assistance, public, "D.Lgs. 147/2017, art. 24", []string{"A1.20"}}},
	{"percettori fis", false, terms{sector + "SocialInsuranceManagement", public, "D.Lgs. 148/2015, art. 29", []string{"wage-support"}}},
	{"pension", false, terms{delivery, public, "D.Lgs. 147/2017, art. 24", []string{"pension", pd + "OfficialID"}}},
	{"comunicazioni obbligatorie|comobb|lavor", false, terms{assistance, duty, "D.L. 510/1996, art. 9-bis", []string{"work-communication"}}},
	{"microcredito|politicheattive", false, terms{assistance, public, "D.L. 48/2023, art. 5", []string{pd + "ProfessionalTraining"}}},
	{"verificadich|elabmassiva", false, terms{"self-certification-control", public, "D.P.R. 445/2000, art. 71", []string{pd + "Residency", pd + "OfficialID"}}},
	{"titoli", false, terms{entitled, public, "D.P.R. 445/2000, art. 43", []string{pd + "EducationQualification"}}},
	{"frequenze", false, terms{entitled, public, "D.P.R. 445/2000, art. 43", []string{pd + "School"}}},
	{"famiglia|nucleo|parental", false, terms{entitled, public, "D.Lgs. 82/2005, art. 62", []string{"anpr-household", pd + "FamilyStructure"}}},
	{"matrimonio", false, terms{"once-only", public, "D.P.R. 445/2000, art. 43", []string{pd + "MaritalStatus"}}},
	{"esistenzavita|decesso", false, terms{sector + "SocialSecurityManagement", public, "D.Lgs. 82/2005, art. 62", []string{"life-status"}}},
	{"cittadinanza|generalita", false, terms{"once-only", public, "D.Lgs. 82/2005, art. 62", []string{pd + "Citizenship", pd + "Name"}}},
	{"accertamento|residenz|anagrafic|anpr", false, terms{entitled, public, "D.Lgs. 82/2005, art. 50", []string{pd + "Residency", pd + "OfficialID"}}},
}

const (
	statistics = "istat" // the consumer that only makes statistics
	municipal  = "3"     // PDND's category of municipalities
	massive    = 50      // subjects of a list; more are a mass extraction
)

// extraction is what a mass extraction is for.
var extraction = terms{"self-certification-control", public, "D.P.R. 445/2000, art. 71", []string{pd + "OfficialID"}}

// describe finds terms for an e-service. One that nothing is known of has a purpose as PDND has it: in the body's own words.
func describe(id, name string) service {
	lower := strings.ToLower(name)
	s := service{id: id, name: name, slug: slug(lower)}
	for _, d := range described {
		for word := range strings.SplitSeq(d.words, "|") {
			if strings.Contains(lower, word) {
				s.organisations, s.terms = d.organisations, d.terms
				return s
			}
		}
	}
	s.terms = terms{"Compiti istituzionali: " + strings.Join(strings.Fields(name), " "), declared, "D.Lgs. 82/2005, art. 50", []string{"WITH_IDENTIFYING_DATA"}}
	return s
}

// explain gives the session the service's terms, or its own where its consumer or actor asks for them.
func (s *session) explain(varied bool, r *rand.Rand) {
	s.terms = s.service.terms
	switch {
	case s.consumer.ID == statistics:
		s.terms.purpose, s.terms.reference = dpv+"#ProvideOfficialStatistics", "D.Lgs. 322/1989, art. 6-bis"
		if s.sensitive() {
			s.terms.basis = research
		}
	case s.actor == ledger.ActorModel:
		s.terms.basis, s.terms.reference = automated, "Regolamento (UE) 2016/679, art. 22"
	case varied && s.category == municipal && s.purpose == entitled && r.IntN(10) == 0:
		s.terms.purpose, s.terms.reference = "social-work-assessment", "L. 328/2000, art. 22"
	}
}

// slug is a kebab-case path segment.
func slug(name string) string {
	words := strings.FieldsFunc(name, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
	return strings.Join(words, "-")
}
