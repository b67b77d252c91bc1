// SPDX-License-Identifier: EUPL-1.2

package words

import (
	"sync"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
)

// terms are those of the default vocabulary, by the words that receipts say them in. They only serve to show them: what a word
// meant to the policies of a ledger is for the decision to say.
type terms struct{ purposes, bases, categories map[string]policies.Term }

var vocabulary = sync.OnceValue(func() *terms {
	b, err := policies.ParseBundle(policies.Default())
	if err != nil {
		panic(err)
	}
	byWord := func(list []policies.Term) map[string]policies.Term {
		m := make(map[string]policies.Term)
		for _, t := range list {
			for _, word := range append([]string{t.ID, t.IRI}, t.Also...) {
				m[word] = t
			}
		}
		return m
	}
	return &terms{byWord(append(ledgersOwn, b.Vocabulary.Purposes...)), byWord(b.Vocabulary.LegalBases), byWord(b.Vocabulary.Categories)}
})

// ledgersOwn are the purposes of a ledger's own look-ups, which policies need no term for.
var ledgersOwn = []policies.Term{
	{ID: "look-up", IRI: ledger.PurposeLookUp, It: ledger.PurposeLookUp, En: "Copy of the history of accesses, asked for by the person themself"},
	{ID: "look-up-delegated", IRI: ledger.PurposeLookUpDelegated, It: ledger.PurposeLookUpDelegated, En: "Copy of the history of accesses, asked for by who acts for the person"},
}

// Term is a word of a receipt as people read it.
type Term struct {
	ID       string // of the vocabulary's term; the word itself where it has none
	Label    string // the word itself where the vocabulary has no term for it
	Sentence string // what it means to a citizen; "" where the vocabulary has no term for it
}

// Purpose says what an access was for.
func (s *Speaker) Purpose(word string) Term { return s.term(vocabulary().purposes, word) }

// Purposes are all words for which Purpose has a term, and what it is called in a language: for pages that speak without a
// Speaker.
func Purposes(lang string) map[string]string {
	s, labels := &Speaker{lang: lang}, map[string]string{}
	for word := range vocabulary().purposes {
		labels[word] = s.Purpose(word).Label
	}
	return labels
}

// Basis says on which legal basis.
func (s *Speaker) Basis(word string) Term { return s.term(vocabulary().bases, word) }

// Category says what kind of data.
func (s *Speaker) Category(word string) Term { return s.term(vocabulary().categories, word) }

func (s *Speaker) term(of map[string]policies.Term, word string) Term {
	t, ok := of[word]
	switch {
	case !ok:
		return Term{ID: word, Label: word}
	case s.lang == "it":
		return Term{t.ID, t.It, t.SentenceIt}
	}
	return Term{t.ID, t.En, t.SentenceEn}
}
