// SPDX-License-Identifier: EUPL-1.2

package dev

import "strings"

const (
	dpv     = "https://w3id.org/dpv/"
	sector  = dpv + "sector/publicservices#"
	pd      = dpv + "pd#"
	gdpr    = dpv + "legal/eu/gdpr#"
	public  = gdpr + "A6-1-e" // a task in the public interest
	duty    = gdpr + "A6-1-c" // a legal obligation
	welfare = gdpr + "A9-2-b" // social protection
	weighty = gdpr + "A9-2-g" // substantial public interest
)

// service is an e-service of PDND's catalogue with what a receipt says of an access to it.
type service struct {
	id, name      string
	slug          string // in the path of its API
	organisations bool   // its subjects are organisations, with codes of 11 digits
	terms
}

// terms are in the words of W3C DPV; reference is the norm.
type terms struct {
	purpose, basis, reference string
	data                      []string
}

// described gives terms to e-services by words in their names; the first that fits counts.
var described = []struct {
	words         string
	organisations bool
	terms
}{
	{"durc|aziende|tassi|debito|cdc|imprese|giuridic", true, terms{sector + "PublicServiceFraudPreventionDetection", duty, "D.L. 34/2014, art. 4", []string{pd + "OfficialID"}}},
	{"isee", false, terms{sector + "SocialWelfareEligibilityAssessment", public, "D.P.C.M. 159/2013, art. 11", []string{pd + "Income", pd + "Household", pd + "FamilyStructure"}}},
	{"accompagnamento|non vedenti|non udenti|frequenza|disab", false, terms{sector + "SocialWelfareProvision", weighty, "D.Lgs. 196/2003, art. 2-sexies", []string{pd + "Disability", pd + "Income"}}},
	{"pension", false, terms{sector + "SocialWelfareProvision", welfare, "L. 328/2000, art. 22", []string{pd + "Income", pd + "OfficialID"}}},
	{"centri diurni|asili nido|buono vacanze|waas|fis", false, terms{sector + "SocialAssistanceManagement", public, "D.Lgs. 147/2017, art. 24", []string{pd + "Income", pd + "Household"}}},
	{"comunicazioni obbligatorie|comobb|siisl|lavor", false, terms{sector + "SocialAssistanceManagement", duty, "D.L. 48/2023, art. 5", []string{pd + "OfficialID"}}},
	{"famiglia|nucleo|parental", false, terms{sector + "SocialWelfareEligibilityAssessment", public, "D.Lgs. 82/2005, art. 62", []string{pd + "FamilyStructure", pd + "Household"}}},
	{"accertamento|residenz|anagrafic|anpr", false, terms{sector + "SocialWelfareEligibilityAssessment", public, "D.Lgs. 82/2005, art. 50", []string{pd + "Residency", pd + "OfficialID"}}},
	{"", false, terms{sector + "PublicServiceFraudPreventionDetection", public, "D.Lgs. 82/2005, art. 50", []string{pd + "OfficialID"}}},
}

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
	return s
}

// slug is a kebab-case path segment.
func slug(name string) string {
	words := strings.FieldsFunc(name, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
	return strings.Join(words, "-")
}
