// SPDX-License-Identifier: EUPL-1.2

// Package words says in plain words, in Italian and English, what package verifier found in a citizen's history: the same words on
// the citizen's pages and in what verifier history writes. It judges nothing.
//
// It says what the bodies that signed said, and of whose word it is. It never learns who the operator was: that isn't in a history.
package words

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// Speaker says things in one language.
type Speaker struct {
	lang string
	when func(time.Time) string // without an article or a preposition
	own  map[string]string
}

// In returns a speaker of a language, it or en, who writes instants as when does.
func In(lang string, when func(time.Time) string) *Speaker {
	return &Speaker{lang, when, phrases[lang]}
}

// Named is a body as people read it.
func Named(id, name string) string {
	if name == "" || name == id {
		return id
	}
	return name + " (" + id + ")"
}

// Place is where an event stands, as people write it.
func Place(p verifier.Place) string { return fmt.Sprintf("%d/%d", p.Epoch, p.Index) }

// Verdict says what a history comes to; good says whether it is all that a reader can wish.
func (s *Speaker) Verdict(r *verifier.HistoryReport) (text string, good bool) {
	switch {
	case r.Excerpt && r.Proven():
		return s.own["excerpt"], true
	case r.Complete:
		return fmt.Sprintf(s.own["complete"], s.when(r.CompleteUntil)), true
	case r.Stale && !r.CompleteUntil.IsZero():
		return fmt.Sprintf(s.own["stale"], s.when(r.CompleteUntil)), false
	}
	return s.own["incomplete"], false
}

// What says who did what.
func (s *Speaker) What(e *verifier.HistoryEvent) string {
	who := Named(e.Agency, e.Name)
	if e.Statement != "" {
		return s.Stated(e)
	}
	if about := s.Consent(e.Kind, who); about != "" {
		return upper(about)
	}
	text := s.own["kind_"+e.Kind]
	if e.Kind == ledger.KindDenied && e.BreakGlass != nil {
		text = s.own["denied_late"]
	}
	if e.Mandate != "" {
		text = s.own["shown_to_delegate"]
	}
	return strings.NewReplacer("{who}", who, "{whose}", Named(e.Provider, e.ProviderName), "{mandate}", e.Mandate).Replace(text)
}

// Stated says what a body states of an access.
func (s *Speaker) Stated(e *verifier.HistoryEvent) string {
	about := e.Receipt
	if e.About != nil {
		about = Place(*e.About)
	}
	text := strings.NewReplacer("{who}", Named(e.Issuer, e.IssuerName), "{about}", about).Replace(s.own["stated_"+e.Statement])
	if e.Text != "" {
		text += ": \u201c" + e.Text + "\u201d"
	}
	return text
}

// Decided says whether an access was released before it was recorded, and by which policies it was allowed or refused, one
// line each, and why.
func (s *Speaker) Decided(e *verifier.HistoryEvent) (lines []string) {
	if e.BreakGlass != nil {
		lines = append(lines, fmt.Sprintf(s.own["break_glass"], e.BreakGlass.Session, e.BreakGlass.Number))
	}
	if e.Effect == ledger.EffectDeny && len(e.Policies) == 0 {
		return append(lines, s.own["decided_none"])
	}
	for _, g := range e.Grounds {
		lines = append(lines, fmt.Sprintf("%s %s (%s, %s)", s.own["decided_"+e.Effect], verifier.Text{It: g.It, En: g.En}.In(s.lang), g.Policy, g.Reference))
	}
	return lines
}

// Erased says on which ground an event isn't opened; "" of one that is, or that isn't on a ground.
func (s *Speaker) Erased(e *verifier.HistoryEvent) string {
	if e.Request != nil {
		return fmt.Sprintf(s.own["ground_"+e.Ground], Place(*e.Request))
	}
	return s.own["ground_"+e.Ground]
}

// PutOff says by which order the notice of an access was put off.
func (s *Speaker) PutOff(d *verifier.Deferred) string {
	until, _ := time.Parse(time.RFC3339, d.Until)
	return Elided(fmt.Sprintf(s.own["put_off"], s.when(until), d.Reference, Named(d.By, d.Name)))
}

// Signed says whose signature an event has.
func (s *Speaker) Signed(e *verifier.HistoryEvent) string {
	switch {
	case e.Partner != nil:
		return s.own["both"]
	case e.Kind != ledger.KindAccess && e.Kind != ledger.KindDenied, e.Issuer == e.Agency && e.Issuer == e.Provider:
		return called(e.Issuer, e.IssuerName)
	case e.Issuer == e.Agency:
		return fmt.Sprintf(s.own["consumer_only"], called(e.Issuer, e.IssuerName))
	}
	return fmt.Sprintf(s.own["provider_only"], called(e.Issuer, e.IssuerName))
}

// List says who answers for a list, and up to when.
func (s *Speaker) List(l verifier.HistoryScope) string {
	switch {
	case l.Withheld:
		return s.own["deferred"]
	case !l.Attested.IsZero():
		return Elided(s.own["attested"] + " " + s.when(l.Attested))
	case !l.Alarm.IsZero():
		return Elided(s.own["alarm"] + " " + s.when(l.Alarm))
	case l.Scope[0] == '+':
		return s.own["own"]
	}
	return s.own["declared"]
}

// Unproven says what an event of a state is, of which nothing can be told.
func (s *Speaker) Unproven(state string) string { return s.own["unproven_"+state] }

// Placed says where in the ledger an event stands.
func (s *Speaker) Placed(e *verifier.HistoryEvent) string {
	text := fmt.Sprintf(s.own["placed"], Place(verifier.Place{Epoch: e.Epoch, Index: e.Index}), e.Scope)
	if e.Number != nil {
		text += fmt.Sprintf(s.own["numbered"], *e.Number)
	}
	return text
}

// State says what a state other than open means, in a word or two.
func (s *Speaker) State(state string) string { return s.own[state] }

// Articles of Italian days that begin with a vowel: l'8 novembre, dall'11 marzo.
var (
	vowelDay = `l (8|11) (gen|feb|mar|apr|mag|giu|lug|ago|set|ott|nov|dic)`
	article  = regexp.MustCompile(`\b([Ii])` + vowelDay)
	joined   = regexp.MustCompile(`\b([AaDdNnSs][aeu]?)` + vowelDay)
)

// Elided writes the articles before days that begin with a vowel as Italian has them; other texts stay as they are.
func Elided(text string) string {
	text = joined.ReplaceAllString(text, "${1}ll'$2 $3")
	return article.ReplaceAllStringFunc(text, func(found string) string {
		return strings.NewReplacer("il ", "l'", "Il ", "L'").Replace(found)
	})
}

var phrases = map[string]map[string]string{
	"it": {
		"complete":   "COMPLETO fino al %s: in nessun elenco manca qualcosa.",
		"stale":      "NON AGGIORNATO: completo fino al %s, ma è passato troppo tempo. Chiedi un documento nuovo.",
		"incomplete": "NON COMPLETO",
		"excerpt":    "ESTRATTO: gli eventi elencati sono avvenuti. Di altri non si dice nulla.",
		"erased":     "cancellato", "withheld": "NON MOSTRATO", "unexplained": "NON SPIEGATO",
		"ground_retention":         "Contenuto cancellato: è finito il periodo di conservazione.",
		"ground_request":           "Contenuto cancellato su una richiesta (evento %s) firmata da chi dice che l'hai fatta tu. Se non l'hai fatta, ti si sta nascondendo qualcosa.",
		"stated_recorded-in-error": "{who} dichiara di aver registrato per errore l'evento {about}",
		"stated_not-asked":         "{who} dichiara di non aver chiesto l'accesso {about}",
		"stated_undelivered":       "{who} dichiara di non aver consegnato alcun dato dell'accesso {about}",
		"put_off":                  "Notizia differita fino al %s, ordine %s, firmato da %s.",
		"kind_access":              "{who} ha consultato dati di {whose}", "kind_denied": "{who} ha chiesto dati di {whose}; l'accesso è stato rifiutato",
		"kind_request": "Hai fatto una richiesta, tramite {who}", "kind_look-up": "{who} ha consultato questo registro",
		"shown_to_delegate": "{who} ha mostrato il tuo elenco a chi agisce per te, con l'incarico {mandate}",
		"both":              "di entrambe le parti", "consumer_only": "solo di chi ha consultato (%s)", "provider_only": "solo di chi detiene i dati (%s)",
		"declared": "dichiarato, non controllato", "attested": "controllato da chi lo tiene, che lo firma, fino al",
		"alarm": "NON CORRISPONDE a quanto annotato da chi lo tiene, che lo firma, fino al", "own": "tenuto dal registro stesso", "deferred": "non ancora mostrato",
		"denied_late": "{who} ha avuto dati di {whose} in emergenza; le regole, interrogate dopo, non lo consentono",
		"break_glass": "Emergenza: il registro non era raggiungibile e i dati sono stati consegnati prima di annotarlo (sessione %s, n. %d).",
		"consulter":   "chi ha consultato", "on": "il",
		"decided_allow": "Consentito:", "decided_deny": "Rifiutato:", "decided_none": "Rifiutato: nessuna regola lo consente.",
		"and":                  "e",
		"unproven_withheld":    "Qui c'è un accesso o un altro evento che ti riguarda, e il registro non ne mostra il contenuto senza che nulla glielo permetta.",
		"unproven_unexplained": "Qui c'è un accesso o un altro evento che ti riguarda, ma ciò che il registro ne mostra viola una regola: non è da credere.",
		"placed":               "evento %s, elenco %s", "numbered": ", numero %d",
		"sentence_access":      "{when} {who} ha consultato questi tuoi dati, tenuti da {whose}: {data}; lo ha fatto per «{why}», sulla base di «{basis}», {asked}.",
		"sentence_denied":      "{when} {who} ha chiesto questi tuoi dati, tenuti da {whose}: {data}; voleva usarli per «{why}», sulla base di «{basis}», ma l'accesso è stato rifiutato.",
		"sentence_denied_late": "{when} {who} ha ottenuto questi tuoi dati, tenuti da {whose}, mentre il registro non era raggiungibile: {data}; voleva usarli per «{why}», sulla base di «{basis}». Le regole, applicate dopo, non lo consentivano.",
		"asked_consent":        "con il consenso che hai dato",
		"asked_claimed":        "dicendo che hai dato il consenso",
		"asked_entitled":       "per una richiesta o un diritto tuo che risulta nel registro",
		"asked_no":             "senza chiederti il consenso: con questa base giuridica non serve",
		"asked_unknown":        "e non risulta che ti abbia chiesto il consenso",
		"actor_operator":       "Una persona che lavora per l'ente. Chi sia lo sa l'ente, che ne risponde: la legge non prevede che tu lo veda qui.",
		"actor_service":        "Un programma dell'ente, senza l'intervento di una persona.",
		"actor_model":          "Un sistema automatico che decide da sé.",
		"word_both":            "Hanno firmato entrambe le parti: chi ha consultato ({who}) e chi tiene i dati ({whose}).",
		"word_provider":        "Ha firmato chi tiene i dati, tramite {issuer}. Chi ha consultato ({who}) non ha firmato: che sia stato lui lo dice chi tiene i dati.",
		"word_consumer":        "Ha firmato solo chi ha consultato ({who}). Chi tiene i dati ({whose}) non l'ha confermato.",
		"word_one":             "Ha firmato {issuer}.",
		"word_operator":        "Che la chiave della firma sia la sua lo dice il gestore del registro.",
		"together_one":         "La stessa consultazione riguardava anche un'altra persona.",
		"together":             "La stessa consultazione riguardava anche altre %d persone.",
	},
	"en": {
		"complete":   "COMPLETE up to %s: nothing is left out of any list.",
		"stale":      "STALE: complete up to %s, but that is too long ago. Ask for a new document.",
		"incomplete": "NOT COMPLETE",
		"excerpt":    "EXCERPT: the events listed took place. Nothing is said of others.",
		"erased":     "erased", "withheld": "NOT SHOWN", "unexplained": "UNEXPLAINED",
		"ground_retention":         "Content erased: its term of retention is over.",
		"ground_request":           "Content erased on a request (event %s) signed by who says that you made it. If you didn't, something is being hidden from you.",
		"stated_recorded-in-error": "{who} says that it recorded event {about} in error",
		"stated_not-asked":         "{who} says that it did not ask for access {about}",
		"stated_undelivered":       "{who} says that it released no data of access {about}",
		"put_off":                  "Notice deferred until %s, order %s, signed by %s.",
		"kind_access":              "{who} consulted data of {whose}", "kind_denied": "{who} asked for data of {whose} and was refused",
		"kind_request": "You made a request, by way of {who}", "kind_look-up": "{who} looked into this ledger",
		"shown_to_delegate": "{who} showed your list to who acts for you, under mandate {mandate}",
		"both":              "of both sides", "consumer_only": "of who consulted (%s) alone", "provider_only": "of the holder's side (%s) alone",
		"declared": "declared, not checked", "attested": "checked by its party, which signed that up to",
		"alarm": "NOT AS ITS PARTY RECORDED IT, as it signed, up to", "own": "kept by the ledger itself", "deferred": "not shown yet",
		"denied_late": "{who} was given data of {whose} in an emergency; the rules, asked afterwards, don't allow it",
		"break_glass": "Emergency: the ledger couldn't be reached, and the data were given before this was recorded (session %s, no. %d).",
		"consulter":   "who consulted", "on": "on",
		"decided_allow": "Allowed:", "decided_deny": "Refused:", "decided_none": "Refused: no policy allows it.",
		"and":                  "and",
		"unproven_withheld":    "There is an access or another event about you here, and the ledger doesn't show its content, though nothing entitles it to that.",
		"unproven_unexplained": "There is an access or another event about you here, but what the ledger shows of it breaks a rule: it isn't to be believed.",
		"placed":               "event %s, list %s", "numbered": ", number %d",
		"sentence_access":      "{when} {who} consulted these data of yours, held by {whose}: {data}; it did so for “{why}”, on the basis of “{basis}”, {asked}.",
		"sentence_denied":      "{when} {who} asked for these data of yours, held by {whose}: {data}; it wanted them for “{why}”, on the basis of “{basis}”, but was refused.",
		"sentence_denied_late": "{when} {who} was given these data of yours, held by {whose}, while the ledger couldn't be reached: {data}; it wanted them for “{why}”, on the basis of “{basis}”. The policies, asked afterwards, didn't allow it.",
		"asked_consent":        "with the consent that you gave",
		"asked_claimed":        "saying that you gave your consent",
		"asked_entitled":       "for a request or an entitlement of yours that is in the ledger",
		"asked_no":             "without asking for your consent: this legal basis doesn't need it",
		"asked_unknown":        "and nothing says that it asked for your consent",
		"actor_operator":       "A person who works for the body. The body knows who, and answers for them: the law doesn't have you see it here.",
		"actor_service":        "A program of the body, without a person taking part.",
		"actor_model":          "An automated system that decides by itself.",
		"word_both":            "Both sides signed: who consulted ({who}) and who holds the data ({whose}).",
		"word_provider":        "Who holds the data signed, by way of {issuer}. Who consulted ({who}) didn't sign: that it was them is the holder's word.",
		"word_consumer":        "Only who consulted ({who}) signed. Who holds the data ({whose}) didn't confirm it.",
		"word_one":             "{issuer} signed.",
		"word_operator":        "That the signing key is theirs is the word of who runs the ledger.",
		"together_one":         "The same consultation was about one other person, too.",
		"together":             "The same consultation was about %d other people, too.",
	},
}
