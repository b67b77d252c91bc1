// SPDX-License-Identifier: EUPL-1.2

package words

import (
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/verifier"
)

// What a complaint's file proves of an event, what it doesn't, and who can tell. {who} consulted, {whose} has the data,
// {issuer} signed, {kid} is its key, {record} where that is registered, {consent} the consent's id, {bundle} the policies' digest.
var complaintWords = map[string]map[string]string{
	"it": {
		verifier.ProofRecorded:  "È nel registro che i testimoni hanno visto, alla voce {place}: nessuno può averlo aggiunto, tolto o cambiato dopo.",
		verifier.ProofContent:   "Ciò che è mostrato è ciò che il registro ha annotato allora, e riguarda chi presenta il reclamo.",
		verifier.ProofSigned:    "È firmato con la chiave {kid}, che il registro ha annotato per {issuer} (voce {record}) e che era in vigore in quel punto.",
		verifier.ProofBothSides: "Ha firmato anche l'altra parte dell'accesso, da sola.",
		verifier.ProofDecided:   "La decisione nomina le regole che il registro dichiarava attive in quel punto.",
		verifier.ProofReplayed:  "La decisione segue da quelle regole sui fatti annotati: è stata presa di nuovo, con lo stesso esito.",
		verifier.ProofConsent:   "Il consenso che nomina era in vigore e comprendeva ente, finalità e dati.",
		verifier.ProofGround:    "Il contenuto è stato cancellato, per un motivo che il documento mostra.",
		verifier.ProofStatement: "Il documento mostra anche ciò che un ente ne ha dichiarato in seguito.",

		verifier.LackExplained:   "Viola una regola del registro: ciò che mostra non è da credere. Chiederne conto a chi gestisce il registro.",
		verifier.LackShown:       "Il contenuto non è mostrato, e nulla lo permette. Chiederne conto a chi gestisce il registro.",
		verifier.LackErased:      "Del contenuto non si può più sapere nulla dal registro; {who} può averne annotazioni proprie.",
		verifier.LackAsker:       "Che sia stato {who} a consultare lo dice chi tiene i dati ({whose}): {who} non ha firmato. Chiedere a {who} le sue annotazioni, a {whose} le prove PDND ricevute.",
		verifier.LackHolder:      "Ha firmato solo chi ha consultato ({who}). Chiedere conferma a {whose}.",
		verifier.LackKey:         "Che la chiave sia di {issuer} lo dice il gestore del registro. Chiedere a {issuer} se è sua.",
		verifier.LackReplay:      "La decisione non è stata presa di nuovo: le regole ({bundle}) non sono a portata di mano. Si leggono nel registro, e si danno con --bundle.",
		verifier.LackDecision:    "Nessuna regola era attiva: nessuno ha deciso, l'accesso è stato solo annotato.",
		verifier.LackRefused:     "I dati erano già stati consegnati, in emergenza, e le regole non lo consentono. Chiederne ragione a {whose}, che ha aperto l'emergenza.",
		verifier.LackConsent:     "Nomina il consenso {consent}, che il documento non mostra. Chiedere lo storico intero a chi presenta il reclamo, o il consenso a {who}.",
		verifier.LackNoConsent:   "La base giuridica è il consenso, e non ne nomina alcuno. Chiedere a {who} di mostrarlo (GDPR, art. 7, par. 1).",
		verifier.LackEvidence:    "Di chi ha consultato c'era solo il voucher PDND, senza TrackingEvidence firmata: su operatore, pratica e persona non c'è parola di {who}.",
		verifier.LackCase:        "I token di chi ha consultato non nominavano una pratica. Chiedere a {who} per quale pratica.",
		verifier.LackOperatorID:  "I token di chi ha consultato non dicevano chi fosse allo sportello. Chiedere a {who} chi fosse (GDPR, art. 32).",
		verifier.LackLate:        "È stato annotato più di dieci minuti dopo che era avvenuto: l'ora dell'accesso ({when}) è la parola di {issuer}.",
		verifier.LackOperator:    "Chi fosse la persona allo sportello non è qui. Lo sa {who}; l'Autorità, se il registro ha la sua chiave, può leggerlo nella parte riservata.",
		verifier.LackPurpose:     "Che la finalità dichiarata sia vera non si può provare dal registro. Chiederne ragione a {who}.",
		verifier.LackRequestOnly: "Che la richiesta l'abbia fatta l'interessato lo dice {issuer}, che l'ha firmata.",
	},
	"en": {
		verifier.ProofRecorded:  "It is in the log that the witnesses saw, at entry {place}: nobody can have added, removed or changed it since.",
		verifier.ProofContent:   "What is shown is what the log committed to then, and it is about the complainant.",
		verifier.ProofSigned:    "It is signed with key {kid}, which the log registers for {issuer} (entry {record}) and which was in force at that place.",
		verifier.ProofBothSides: "The other side of the access signed too, by itself.",
		verifier.ProofDecided:   "The decision names the policies that the log said were active at that place.",
		verifier.ProofReplayed:  "The decision follows from those policies on the facts recorded: it was taken again, and came out the same.",
		verifier.ProofConsent:   "The consent that it names was in force, and covered body, purpose and data.",
		verifier.ProofGround:    "Its content was erased, on a ground that the file shows.",
		verifier.ProofStatement: "The file also shows what a body stated of it later.",

		verifier.LackExplained:   "It breaks a rule of the ledger: what it shows isn't to be believed. Ask who runs the ledger.",
		verifier.LackShown:       "Its content isn't shown, and nothing entitles the ledger to that. Ask who runs the ledger.",
		verifier.LackErased:      "Nothing of its content can be told from the ledger any more; {who} may have records of its own.",
		verifier.LackAsker:       "That {who} consulted is the word of who holds the data ({whose}): {who} didn't sign. Ask {who} for its records, and {whose} for the PDND tokens it was given.",
		verifier.LackHolder:      "Only who consulted ({who}) signed. Ask {whose} to confirm it.",
		verifier.LackKey:         "That this key belongs to {issuer} is the ledger operator's word. Ask {issuer} whether it is.",
		verifier.LackReplay:      "The decision wasn't taken again: the policies ({bundle}) aren't at hand. The log serves them; give them with --bundle.",
		verifier.LackDecision:    "No policies were active: nobody decided, the access was only recorded.",
		verifier.LackRefused:     "The data had been given in an emergency, and the policies refuse it. Ask {whose}, which opened the emergency, why.",
		verifier.LackConsent:     "It names consent {consent}, which the file doesn't show. Ask the complainant for the whole history, or {who} for the consent.",
		verifier.LackNoConsent:   "Its legal basis is consent, and it names none. Ask {who} to show it (GDPR Art. 7(1)).",
		verifier.LackEvidence:    "Of who consulted there was a PDND voucher alone, without a signed TrackingEvidence: on operator, case and person there is no word of {who}.",
		verifier.LackCase:        "The tokens of who consulted named no case. Ask {who} for which case it was.",
		verifier.LackOperatorID:  "The tokens of who consulted didn't say who was at the desk. Ask {who} who it was (GDPR Art. 32).",
		verifier.LackLate:        "It was recorded more than ten minutes after it occurred: the time of the access ({when}) is the word of {issuer}.",
		verifier.LackOperator:    "Who the person at the desk was isn't here. {who} knows; the authority, if the ledger has its key, can read it in the private part.",
		verifier.LackPurpose:     "That the stated purpose is true can't be proven from the ledger. Ask {who} to account for it.",
		verifier.LackRequestOnly: "That the complainant made the request is the word of {issuer}, which signed it.",
	},
}

// What a complaint's file as a whole doesn't show.
var complaintFileWords = map[string]map[string]string{
	"it": {
		verifier.LackOthers: "Altri accessi. Il documento è un estratto: prova i suoi eventi, e non dice se ce ne sono altri. Lo dice lo storico intero, che l'interessato può chiedere.",
		verifier.LackLater:  "Ciò che un ente può aver dichiarato in seguito di questi accessi (annotato per errore, non consegnato, contestato).",
		verifier.LackSince:  "Ciò che è stato annotato dopo il {until}.",
	},
	"en": {
		verifier.LackOthers: "Other accesses. The file is an excerpt: it proves its events and doesn't say whether there are others. The whole history does, which the citizen can ask for.",
		verifier.LackLater:  "What a body may have stated of these accesses later (recorded in error, not delivered, disputed).",
		verifier.LackSince:  "What was recorded after {until}.",
	},
}

// Complaint says a code of what is proven of an event, or isn't, to whoever handles a complaint.
func (s *Speaker) Complaint(code string, e *verifier.HistoryEvent) string {
	record := ""
	if e.KeyAt != nil {
		record = strconv.FormatUint(*e.KeyAt, 10)
	}
	who := called(e.Agency, e.Name)
	if who == "" {
		who = s.own["consulter"]
	}
	return upper(strings.NewReplacer(
		"{place}", Place(verifier.Place{Epoch: e.Epoch, Index: e.Index}), "{who}", who, "{whose}", called(e.Provider, e.ProviderName),
		"{issuer}", called(e.Issuer, e.IssuerName), "{kid}", e.Kid, "{record}", record, "{consent}", e.ConsentID, "{bundle}", e.Bundle, "{when}", e.OccurredAt,
	).Replace(complaintWords[s.lang][code]))
}

// ComplaintFile says a code of what the file of a complaint as a whole doesn't show.
func (s *Speaker) ComplaintFile(code string, r *verifier.ComplaintReport) string {
	until := "?"
	if n := len(r.Shards); n > 0 && !r.Shards[n-1].Head.IsZero() {
		until = s.when(r.Shards[n-1].Head)
	}
	return strings.ReplaceAll(complaintFileWords[s.lang][code], "{until}", until)
}
