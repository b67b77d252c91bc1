// SPDX-License-Identifier: EUPL-1.2

package words

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

// consentBases are the legal bases, by their ids in the default vocabulary, that say that the citizen was asked.
var consentBases = []string{"A6-1-a", "A6-1-a-explicit-consent", "A9-2-a", "art22-consent", "CONSENT"}

// IsConsent says whether a legal basis, by its id in the default vocabulary, is the citizen's consent.
func IsConsent(basis string) bool { return slices.Contains(consentBases, basis) }

// Sentence says an access in one sentence: who, when, what data, why, on what legal basis, and whether the citizen was asked.
// Other kinds of event it says as What does, with the instant.
func (s *Speaker) Sentence(e *verifier.HistoryEvent) string {
	kind, _ := ledger.KindOf(e.Kind)
	at := ""
	if t, err := time.Parse(time.RFC3339, e.OccurredAt); err == nil {
		at = s.at(t)
	}
	if !kind.Accesses() {
		what := s.What(e)
		if last, _ := utf8.DecodeLastRuneInString(what); last != '\u201d' {
			what += "."
		}
		if at == "" {
			return what
		}
		return upper(at) + ": " + what
	}
	data := make([]string, len(e.DataCategories))
	for i, c := range e.DataCategories {
		data[i] = s.midway(s.Category(c).Label)
	}
	basis, form := s.Basis(e.LegalBasis), s.own["sentence_"+e.Kind]
	if e.Kind == ledger.KindDenied && e.BreakGlass != nil {
		form = s.own["sentence_denied_late"]
	}
	return upper(strings.NewReplacer(
		"{when}", at, "{who}", called(e.Agency, e.Name), "{whose}", called(e.Provider, e.ProviderName), "{data}", join(data, s.own["and"]),
		"{why}", s.midway(s.Purpose(e.Purpose).Label), "{basis}", s.midway(withoutArticle(basis.Label)), "{asked}", s.own["asked_"+asked(e, basis)],
	).Replace(form))
}

// asked says what an access claims about having asked the citizen: a key of the phrases.
func asked(e *verifier.HistoryEvent, basis Term) string {
	switch consents := IsConsent(basis.ID); {
	case consents && e.ConsentID != "":
		return "consent"
	case consents:
		return "claimed"
	case e.ConsentID != "":
		return "entitled"
	case basis.Sentence == "":
		return "unknown"
	}
	return "no"
}

// Begin is how a sentence about an event of an instant begins.
func (s *Speaker) Begin(t time.Time) string { return upper(s.at(t)) }

// at writes an instant in the middle of a sentence: il 22 novembre 2026 alle 09:30.
func (s *Speaker) at(t time.Time) string { return Elided(s.own["on"] + " " + s.when(t)) }

// Actor says whether a person or a system acted.
func (s *Speaker) Actor(actor string) string { return s.own["actor_"+actor] }

// Word says whose word an event is, and whose word it is that the key is theirs.
func (s *Speaker) Word(e *verifier.HistoryEvent) string {
	text := s.own["word_provider"]
	switch {
	case e.Partner != nil:
		text = s.own["word_both"]
	case e.Kind != ledger.KindAccess && e.Kind != ledger.KindDenied, e.Issuer == e.Agency && e.Issuer == e.Provider:
		text = s.own["word_one"]
	case e.Issuer == e.Agency: // also where it speaks for the holder: nobody else signed
		text = s.own["word_consumer"]
	}
	text = strings.NewReplacer("{issuer}", called(e.Issuer, e.IssuerName), "{who}", called(e.Agency, e.Name), "{whose}", called(e.Provider, e.ProviderName)).Replace(text)
	if e.Key == registry.BasisOperator {
		text += " " + s.own["word_operator"]
	}
	return text
}

// Together says that the same receipt is about others too; "" if it isn't.
func (s *Speaker) Together(e *verifier.HistoryEvent) string {
	switch {
	case e.People < 2:
		return ""
	case e.People == 2:
		return s.own["together_one"]
	}
	return fmt.Sprintf(s.own["together"], e.People-1)
}

// called is a body's name alone, or its id where it has none.
func called(id, name string) string {
	if name == "" {
		return id
	}
	return name
}

// midway writes a label in the middle of a sentence: with a small letter, unless it begins with an abbreviation.
func (s *Speaker) midway(label string) string {
	first, n := utf8.DecodeRuneInString(label)
	second, _ := utf8.DecodeRuneInString(label[n:])
	if unicode.IsUpper(second) || unicode.IsDigit(second) || second == '.' {
		return label
	}
	return string(unicode.ToLower(first)) + label[n:]
}

func upper(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[n:]
}

// withoutArticle leaves out what a label says at its end in brackets, which is said beside.
func withoutArticle(label string) string {
	if i := strings.LastIndex(label, " ("); i > 0 && strings.HasSuffix(label, ")") {
		return label[:i]
	}
	return label
}

func join(words []string, and string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], "; ") + " " + and + " " + words[n-1]
	}
	return strings.Join(words, "")
}
