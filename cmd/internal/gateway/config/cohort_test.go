// SPDX-License-Identifier: EUPL-1.2

package config

import (
	"strings"
	"testing"
)

func TestCohort(t *testing.T) {
	const place = "        response:\n          - json: /elenco_flussi/*/flusso\n            base64: {xpath: /Flusso/Beneficiario/@CodiceFiscale}\n        may_be_empty: true"
	for _, test := range []struct{ name, with, where string }{
		{"good", "        cohort: {size: /coorte/persone, minimum: 50}", ""},
		{"the least is known", "        cohort: {size: /coorte/0}", ""},
		{"too few", "        cohort: {size: /n, minimum: 9}", "cohort/minimum"},
		{"no place", "        cohort: {minimum: 50}", "cohort/size"},
		{"no pointer", "        cohort: {size: n}", "cohort/size"},
		{"many sizes", "        cohort: {size: /coorti/*/n}", "cohort/size"},
		{"persons too", place + "\n        cohort: {size: /n}", "cohort"},
		{"a consent", "        cohort: {size: /n}\n        consent: true", "cohort"},
		{"an unknown name", "        cohort: {sizes: /n}", "cohort/sizes"},
		{"nobody", "        no_persons: true\n        cohort: {size: /n}", "no_persons"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := strings.Replace(text(t), place, test.with, 1)
			if changed == text(t) {
				t.Fatal("the example doesn't have it")
			}
			c, problems := parse("g.yaml", []byte(changed), (*reader).judge)
			if test.where == "" {
				if len(problems) > 0 {
					t.Fatal(problems)
				}
				c.complete("/")
				if o := c.EServices[1].Operations[0].Cohort; o.Minimum != 50 && o.Minimum != DefaultMinimum {
					t.Errorf("%+v", o)
				}
				return
			}
			for _, p := range problems {
				if strings.HasSuffix(p.Where, test.where) {
					return
				}
			}
			t.Errorf("expected one at %s, found %v", test.where, problems)
		})
	}
}

func TestRestsOnConsent(t *testing.T) {
	for basis, want := range map[string]bool{
		"https://w3id.org/dpv/legal/eu/gdpr#A6-1-a": true, "eu-gdpr:A6-1-a": true, "CONSENT": true, "A9-2-a": true, "art22-consent": true,
		"https://w3id.org/traccia/vocabulary/pdnd-legal-bases#CONSENT": true, "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e": false, "Consenso": false, "A6-1-ab": false,
	} {
		if o := (&Operation{LegalBasis: basis}); o.RestsOnConsent() != want {
			t.Errorf("%s: %v", basis, !want)
		}
	}
	if !(&Operation{LegalBasis: "A6-1-c", Consent: true}).RestsOnConsent() {
		t.Error("an entitlement")
	}
}
