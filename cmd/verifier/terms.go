// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"sync"

	"github.com/traccia-ledger/traccia/policies"
)

// vocabulary is the default one, by the words that receipts say its terms in. It only serves to show them: what a word meant
// to the policies of a ledger is for the decision to say.
type vocabulary struct{ purposes, bases, categories map[string]policies.Term }

var defaultVocabulary = sync.OnceValue(func() *vocabulary {
	b, err := policies.ParseBundle(policies.Default())
	if err != nil {
		panic(err)
	}
	words := func(terms []policies.Term) map[string]policies.Term {
		m := make(map[string]policies.Term)
		for _, t := range terms {
			for _, word := range append([]string{t.ID, t.IRI}, t.Also...) {
				m[word] = t
			}
		}
		return m
	}
	return &vocabulary{words(b.Vocabulary.Purposes), words(b.Vocabulary.LegalBases), words(b.Vocabulary.Categories)}
})

// inWords gives the label of a term in a language, and the sentence that explains it; the word itself, and no sentence, for
// one that isn't known.
func inWords(terms map[string]policies.Term, word, lang string) (label, sentence string) {
	t, ok := terms[word]
	switch {
	case !ok:
		return word, ""
	case lang == "it":
		return t.It, t.SentenceIt
	}
	return t.En, t.SentenceEn
}
