// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/traccia-ledger/traccia/ledger"
)

// Vocabulary is the set of terms that a bundle's policies speak of. Receipts
// say what they say in words; those are looked up here.
type Vocabulary struct {
	Categories []Term `json:"categories"`  // of data
	Purposes   []Term `json:"purposes"`    // of an access
	LegalBases []Term `json:"legal_bases"` // of an access
	BodyKinds  []Term `json:"body_kinds"`  // of the bodies that consult or are consulted
}

// Term is one entry of a vocabulary.
//
//	{"id":"isee","iri":"https://w3id.org/dpv/pd#Income","also":["ISEE"],"it":"ISEE","en":"Equivalent economic situation (ISEE)",
//	"sentence_it":"L'indicatore della situazione economica del tuo nucleo.","sentence_en":"…","broader":"income"}
type Term struct {
	ID         string   `json:"id"`             // ledger.CheckTerm, never ledger.TermUnknown
	IRI        string   `json:"iri"`            // where it is defined
	Also       []string `json:"also,omitempty"` // other IRIs and words that mean it: for kinds of body, names of PDND attributes
	It         string   `json:"it"`             // label
	En         string   `json:"en"`
	SentenceIt string   `json:"sentence_it"` // in plain words, for citizens
	SentenceEn string   `json:"sentence_en"`
	Art9       bool     `json:"art9,omitempty"`    // of a category: special category of GDPR Art. 9; of a legal basis: one of Art. 9(2)
	Broader    string   `json:"broader,omitempty"` // id of an earlier term of the same list
}

// maxTerms is how many terms a list has at most; maxTermText how many
// characters a text of one has.
const (
	maxTerms    = 500
	maxTermText = 400
)

// check refuses a vocabulary whose words don't lead to exactly one term.
func (v *Vocabulary) check() *ledger.Problem {
	for _, list := range []struct {
		name  string
		terms []Term
	}{{"categories", v.Categories}, {"purposes", v.Purposes}, {"legal_bases", v.LegalBases}, {"body_kinds", v.BodyKinds}} {
		if n := len(list.terms); n < 1 || n > maxTerms {
			return refuse(ledger.CodeBadCount, list.name, fmt.Sprintf("1 to %d terms", maxTerms), fmt.Sprint(n))
		}
		if n := len(list.terms); list.name == "body_kinds" && n > ledger.MaxKinds {
			return refuse(ledger.CodeBadCount, list.name, fmt.Sprintf("at most %d terms", ledger.MaxKinds), fmt.Sprint(n))
		}
		words := map[string]bool{ledger.TermUnknown: true}
		ids := map[string]bool{}
		for i, t := range list.terms {
			where := fmt.Sprintf("%s/%d", list.name, i)
			if ledger.CheckTerm(t.ID) != nil {
				return refuse(ledger.CodeBadValue, where+"/id", fmt.Sprintf("1 to %d characters of A-Z, a-z, 0-9, _, - and .", ledger.MaxTerm), fmt.Sprintf("%q", t.ID))
			}
			for _, text := range append([]string{t.IRI, t.It, t.En, t.SentenceIt, t.SentenceEn}, t.Also...) {
				if !plainText(text, maxTermText) {
					return refuse(ledger.CodeBadText, where, fmt.Sprintf("texts of 1 to %d characters without control characters", maxTermText), fmt.Sprintf("%q", text))
				}
			}
			if t.Broader != "" && !ids[t.Broader] {
				return refuse(ledger.CodeBadValue, where+"/broader", "an earlier term of the list", fmt.Sprintf("%q", t.Broader))
			}
			ids[t.ID] = true
			own := []string{t.ID}
			for _, word := range append([]string{t.IRI}, t.Also...) {
				if !slices.Contains(own, word) {
					own = append(own, word)
				}
			}
			for _, word := range own {
				if words[word] {
					return refuse(ledger.CodeRepeated, where, "words that mean one term of the list", fmt.Sprintf("%q twice", word))
				}
				words[word] = true
			}
		}
	}
	return nil
}

// plainText says whether s is 1 to most characters without control characters.
func plainText(s string, most int) bool {
	if s == "" || utf8.RuneCountInString(s) > most || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == 0x2028 || r == 0x2029 {
			return false
		}
	}
	return true
}

// within leads from each term to itself and every term broader than it.
func within(list []Term) map[string][]string {
	m := map[string][]string{}
	for _, t := range list { // the broader one comes before
		m[t.ID] = append([]string{t.ID}, m[t.Broader]...)
	}
	return m
}

// words leads from each word that a list knows to the id of its term.
func words(list []Term) map[string]string {
	m := make(map[string]string, 3*len(list))
	for _, t := range list {
		m[t.ID], m[t.IRI] = t.ID, t.ID
		for _, word := range t.Also {
			m[word] = t.ID
		}
	}
	return m
}
