// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// said is what a finding is called, and what it means to a DPO.
type said struct{ title, meaning string }

// auditFinding says a code of a finding.
func auditFinding(lang, code string) (title, meaning string) {
	s, ok := auditFindings[lang][code]
	if !ok { // a rule of the registry's own formats: docs/formats.md has it
		s = auditFindings[lang][""]
		s.title = fmt.Sprintf(s.title, code)
	}
	return s.title, s.meaning
}

var auditFindings = map[string]map[string]said{
	"it": {
		"":                           {"Una regola del registro non è rispettata (%s)", "La voce non conta come spiegata: chiedi conto a chi gestisce il registro, e conserva il file come prova."},
		verifier.CodeNumberGap:       {"Mancano eventi nell'elenco", "Le parti del file non si seguono: scarica di nuovo l'elenco; se manca ancora, conserva il file come prova."},
		verifier.CodeListGoesOn:      {"L'elenco è interrotto", "Il file finisce prima dell'elenco: scarica il resto."},
		verifier.CodeNotOpened:       {"Eventi non mostrati senza motivo", "Il contenuto manca, e nulla che si possa controllare lo giustifica."},
		verifier.CodeTwice:           {"Una ricevuta registrata due volte", "La stessa ricevuta spiega due eventi della stessa persona."},
		verifier.CodeNotListed:       {"Accessi dell'ente fuori dal suo elenco", "Il registro li ha confermati all'ente, ma l'elenco non li ha."},
		verifier.CodeNotItsOwn:       {"Accessi a nome dell'ente che l'ente non ha fatto", "Chiedi a chi li ha firmati che cosa sono."},
		verifier.CodeOtherList:       {"Elenco di un altro ente o di un altro anno", "Il file non è quello richiesto."},
		verifier.CodePeriod:          {"Il periodo non è coperto", "Gli elenchi dati non arrivano fino all'inizio o alla fine del periodo: aggiungi gli altri anni, o accorcia il periodo."},
		verifier.CodePrivate:         {"Parte riservata non autentica", "La parte riservata nel file non è quella a cui la ricevuta si lega."},
		verifier.CodeTooFewWitnesses: {"Troppo pochi testimoni", "Lo stato del registro non è stato visto da abbastanza testimoni tra quelli di cui ti fidi."},
		verifier.CodeNoMonitor:       {"Nessun monitor ha controllato il registro", "Senza, nessuno garantisce che l'indice sia costruito onestamente. Se il file --policy non nomina alcun monitor, aggiungine uno."},
		"key_revoked":                {"Chiave usata dopo la revoca", "La ricevuta è firmata con una chiave che il registro aveva già revocato."},
		"key_unknown":                {"Chiave non registrata", "La ricevuta è firmata con una chiave che il registro non attribuiva a chi firma."},
		"bad_signature":              {"Firma non valida", "La firma della ricevuta non corrisponde alla chiave registrata."},
		"commitment_mismatch":        {"Contenuto diverso da quello registrato", "Il contenuto mostrato non è quello a cui la voce del registro si lega."},
		"subject_mismatch":           {"Evento su un'altra persona", "La ricevuta non riguarda la persona dell'evento."},
		ledger.CodeDecision:          {"Decisione che non segue dalle regole", "Ricalcolata con le politiche in vigore, la decisione è un'altra: per esempio un accesso negato registrato come concesso."},
		verifier.CodePairMismatch:    {"Ricevuta legata ad altri token", "Voucher, evidenza e richiesta nella parte riservata non sono quelli della ricevuta."},
		verifier.CodeTokenPurpose:    {"Token per un'altra finalità", "Il voucher o l'evidenza è per una finalità PDND diversa da quella della ricevuta."},
		verifier.CodeTokenEService:   {"Voucher per un altro e-service", "Il voucher è per un e-service diverso da quello della ricevuta."},
		verifier.CodeTokenTime:       {"Voucher scaduto o non ancora valido", "L'accesso è avvenuto fuori dalla validità del voucher."},
		verifier.CodeEvidenceDigest:  {"Evidenza diversa da quella del voucher", "Il voucher nomina un'altra evidenza di quella usata."},
		verifier.CodeTokenMalformed:  {"Token illeggibile", "Un token nella parte riservata non si può leggere."},
		verifier.CodeConsentMissing:  {"Consenso come base, ma nessun consenso indicato", "La base giuridica è il consenso e la ricevuta non dice quale."},
		verifier.CodeNoConsent:       {"Consenso assente, non più in vigore o che non copre l'accesso", "Il consenso raccolto dall'ente era scaduto o revocato, o non comprende ente, finalità o dati dell'accesso."},
		verifier.CodePurposeUnlisted: {"Finalità non dichiarata", "L'ente ha consultato dati per una finalità PDND che non è tra quelle dichiarate."},
		verifier.CodePurposeOver:     {"Finalità fuori dal suo periodo", "La finalità era dichiarata per un altro periodo."},
		verifier.CodeEServiceUnused:  {"E-service non dichiarato per la finalità", ""},
		verifier.CodeCategoryAdded:   {"Categoria di dati non dichiarata per la finalità", ""},
		verifier.CodeBasisOther:      {"Base giuridica diversa da quella dichiarata", ""},
		verifier.CodeBurst:           {"Raffica di accessi di un operatore", "Più chiamate in un'ora della soglia. Può essere lavoro arretrato, o un'estrazione manuale."},
		verifier.CodeOutOfHours:      {"Accessi di un operatore fuori orario", "Chiamate fuori dall'orario di lavoro, nei fine settimana o nei giorni festivi."},
		verifier.CodeManyLooked:      {"Una persona consultata da molti operatori", "Può essere un caso complesso, o curiosità."},
		verifier.CodeNoCase:          {"Accessi di un operatore senza pratica", "La chiamata non indica alcuna pratica: perché è stata fatta non si può ricostruire."},
		verifier.CodeShift:           {"Cambio improvviso delle finalità", "Le finalità si distribuiscono diversamente da prima. Prima → dopo, le tre che cambiano di più."},
		verifier.CodeWatched:         {"Persona della lista di attenzione", "Accessi a una persona nella lista data dal DPO."},
		verifier.CodeOperatorMissing: {"Operatore non indicato", "Ha agito una persona, e niente dice chi."},
		verifier.CodeOperatorEmpty:   {"Operatore privo di significato", "Il valore non identifica nessuno."},
		verifier.CodeOperatorShared:  {"Un operatore per quasi tutto", "Un solo identificativo copre una parte troppo grande degli accessi: forse è condiviso."},
		verifier.CodeCaseMissing:     {"Pratica non indicata", "Chiamate di persone senza riferimento a una pratica."},
		verifier.CodeCaseEmpty:       {"Pratica priva di significato", "Il riferimento non indica nessuna pratica."},
		verifier.CodeCaseShared:      {"Una pratica per molte persone", "Un solo riferimento copre una parte troppo grande degli accessi: forse è una costante."},
		verifier.CodeStale:           {"Elenco non aggiornato", "Lo stato mostrato è più vecchio dell'ultima cofirma."},
		verifier.CodeOtherAgency:     {"Evento di un altro ente", "Un evento dell'elenco è spiegato con quello di un altro ente."},
		verifier.CodeFork:            {"Il registro mostra due storie", "Due parti del file mostrano due registri diversi: conserva il file come prova."},
		verifier.CodeSealedDay:       {"Chiave del giorno che non si apre", "Nessuna chiave dell'Autorità la apre: o manca una chiave di prima, o il gestore ha cifrato per altri."},
		verifier.CodeSealedWrap:      {"Chiave di un evento che non si apre", "La chiave consegnata all'Autorità non è quella del suo giorno: conserva la cartella come prova."},
		verifier.CodeSealedBody:      {"Evento che non si apre con la sua chiave", "Ciò che il gestore ha consegnato non si apre, o non è ciò a cui la voce del registro si lega: conserva la cartella come prova."},
		verifier.CodeSealedTags:      {"Tag non ricalcolabile", "Manca ciò da cui i tag dell'evento sono fatti."},
		verifier.CodeWrongTag:        {"Tag di un'altra persona o di un altro ente", "L'evento non sta nell'elenco di chi lo riguarda: è nascosto."},
		verifier.CodeNumberAbsent:    {"Numero saltato in un elenco", "Ciò che segue nell'elenco è nascosto all'interessato."},
		verifier.CodeNotSealed:       {"Cartella non fatta per l'Autorità", "Il gestore la fa con ledgerd export --authority."},
		ledger.CodeNamesSubject:      {"Ricevuta che nomina una persona", "Il codice di una persona sta nella ricevuta."},
	},
	"en": {
		"":                           {"A rule of the ledger is broken (%s)", "The entry doesn't count as explained: ask whoever runs the ledger, and keep the file as evidence."},
		verifier.CodeNumberGap:       {"Events are left out of the list", "The parts of the file don't follow on one another: fetch the list again; if it still happens, keep the file as evidence."},
		verifier.CodeListGoesOn:      {"The list is cut off", "The file ends before the list: fetch the rest."},
		verifier.CodeNotOpened:       {"Events not shown without a ground", "Their content is missing, and nothing that can be checked justifies that."},
		verifier.CodeTwice:           {"A receipt recorded twice", "The same receipt explains two events of one person."},
		verifier.CodeNotListed:       {"Accesses of the body's outside its list", "The ledger acknowledged them to the body, and the list hasn't got them."},
		verifier.CodeNotItsOwn:       {"Accesses in the body's name that it didn't make", "Ask those who signed them what they are."},
		verifier.CodeOtherList:       {"The list of another body or year", "The file isn't the one asked for."},
		verifier.CodePeriod:          {"The period isn't covered", "The lists given don't reach the period's begin or end: add the other years, or shorten the period."},
		verifier.CodePrivate:         {"A private part that isn't authentic", "The private part in the file isn't the one that the receipt commits to."},
		verifier.CodeTooFewWitnesses: {"Too few witnesses", "The ledger's state wasn't seen by enough of the witnesses that you trust."},
		verifier.CodeNoMonitor:       {"No monitor checked the ledger", "Without one nobody vouches for an honestly built index. If the file of --policy names no monitor, add one."},
		"key_revoked":                {"A key used after it was revoked", "The receipt is signed with a key that the log had revoked."},
		"key_unknown":                {"A key that isn't registered", "The receipt is signed with a key that the log didn't register for who signs."},
		"bad_signature":              {"A signature that doesn't verify", "The receipt's signature isn't by the registered key."},
		"commitment_mismatch":        {"Content other than recorded", "What is shown isn't what the log's entry commits to."},
		"subject_mismatch":           {"An event about another person", "The receipt isn't about the event's person."},
		ledger.CodeDecision:          {"A decision that doesn't follow from the policies", "Taken again by the policies in force, the decision is another: for example a denied access recorded as allowed."},
		verifier.CodePairMismatch:    {"A receipt tied to other tokens", "Voucher, evidence and request in the private part aren't those of the receipt."},
		verifier.CodeTokenPurpose:    {"A token for another purpose", "Voucher or evidence is for another PDND purpose than the receipt's."},
		verifier.CodeTokenEService:   {"A voucher for another e-service", "The voucher is for another e-service than the receipt's."},
		verifier.CodeTokenTime:       {"A voucher that was over, or not valid yet", "The access took place outside the voucher's validity."},
		verifier.CodeEvidenceDigest:  {"Another evidence than the voucher's", "The voucher names another evidence than the one used."},
		verifier.CodeTokenMalformed:  {"A token that can't be read", "A token in the private part can't be read."},
		verifier.CodeConsentMissing:  {"Consent is the basis, and none is named", "The legal basis is consent, and the receipt doesn't say which."},
		verifier.CodeNoConsent:       {"A consent that isn't there, isn't in force or doesn't cover the access", "The consent that the body collected was over or withdrawn, or doesn't include the body, purpose or data of the access."},
		verifier.CodePurposeUnlisted: {"A purpose that wasn't declared", "The body consulted data for a PDND purpose that isn't among those declared."},
		verifier.CodePurposeOver:     {"A purpose outside its time", "The purpose was declared for another time."},
		verifier.CodeEServiceUnused:  {"An e-service not declared for the purpose", ""},
		verifier.CodeCategoryAdded:   {"A category of data not declared for the purpose", ""},
		verifier.CodeBasisOther:      {"Another legal basis than declared", ""},
		verifier.CodeBurst:           {"A burst of accesses by an operator", "More calls in an hour than the threshold. It may be a backlog, or an extraction by hand."},
		verifier.CodeOutOfHours:      {"Accesses by an operator out of hours", "Calls outside working hours, at weekends or on public holidays."},
		verifier.CodeManyLooked:      {"One person looked up by many operators", "It may be a complex case, or curiosity."},
		verifier.CodeNoCase:          {"Accesses by an operator without a case", "The calls name no case: why they were made can't be told later."},
		verifier.CodeShift:           {"A sudden change of purposes", "Purposes are spread differently than before. Before → after, the three that changed most."},
		verifier.CodeWatched:         {"A person of the watch list", "Accesses to a person of the list that the DPO gave."},
		verifier.CodeOperatorMissing: {"No operator", "A person acted, and nothing says who."},
		verifier.CodeOperatorEmpty:   {"An operator that says nothing", "The value identifies nobody."},
		verifier.CodeOperatorShared:  {"One operator for nearly everything", "One id covers too large a part of the accesses: perhaps it is shared."},
		verifier.CodeCaseMissing:     {"No case", "Calls by persons without a reference to a case."},
		verifier.CodeCaseEmpty:       {"A case that says nothing", "The reference names no case."},
		verifier.CodeCaseShared:      {"One case for many people", "One reference covers too large a part of the accesses: perhaps it is a constant."},
		verifier.CodeStale:           {"A list that is out of date", "The state shown is older than the latest cosignature."},
		verifier.CodeOtherAgency:     {"An event of another body", "An event of the list is explained with that of another body."},
		verifier.CodeFork:            {"The ledger shows two histories", "Two parts of the file show two logs: keep the file as evidence."},
		verifier.CodeSealedDay:       {"A day key that doesn't open", "No key of the authority opens it: an earlier key is missing, or the operator wrapped it for somebody else."},
		verifier.CodeSealedWrap:      {"An event's key that doesn't open", "The key handed over to the authority isn't its day's: keep the folder as evidence."},
		verifier.CodeSealedBody:      {"An event that its key doesn't open", "What the operator handed over doesn't open, or isn't what the entry commits to: keep the folder as evidence."},
		verifier.CodeSealedTags:      {"Tags that can't be recomputed", "What the event's tags are made from isn't there."},
		verifier.CodeWrongTag:        {"A tag of another citizen or body", "The event isn't in the list of whom it is about: it is hidden."},
		verifier.CodeNumberAbsent:    {"A number left out of a list", "What follows in the list is hidden from its citizen."},
		verifier.CodeNotSealed:       {"A folder that isn't for the authority", "The operator makes it with ledgerd export --authority."},
		ledger.CodeNamesSubject:      {"A receipt that names a person", "A person's code stands in the receipt."},
	},
}

// aboutFinding says what a finding is about, in words.
func aboutFinding(lang string, f *verifier.AuditFinding) string {
	w := auditWords[lang]
	switch f.Code {
	case verifier.CodeWatched:
		return fmt.Sprintf(w["about_line"], f.About)
	case verifier.CodeOperatorEmpty, verifier.CodeCaseEmpty:
		return w["means_"+f.About]
	case verifier.CodeOutOfHours, verifier.CodeNoCase:
		if f.About == "" {
			return w["about_nobody"]
		}
	case verifier.CodePurposeUnlisted, verifier.CodePurposeOver, verifier.CodeEServiceUnused, verifier.CodeCategoryAdded, verifier.CodeBasisOther, verifier.CodeConsentMissing:
		return fmt.Sprintf(w["about_purpose"], f.About)
	}
	return f.About
}

// limitsOf says what an audit couldn't look at.
func (a *auditAnswer) limitsOf(lang string) (list []string) {
	w := auditWords[lang]
	add := func(key string, args ...any) { list = append(list, fmt.Sprintf(w[key], args...)) }
	for _, n := range []struct {
		count uint64
		key   string
	}{
		{a.WithoutPrivate, "limit_private"}, {a.Unopened, "limit_unopened"}, {a.Unreplayed, "limit_unreplayed"}, {a.Undecided, "limit_undecided"},
		{a.ConsentsUnseen, "limit_consents"}, {a.Outside, "limit_outside"}, {a.MoreUses, "limit_uses"},
	} {
		if n.count > 0 {
			add(n.key, n.count)
		}
	}
	for _, m := range a.More {
		title, _ := auditFinding(lang, m.Name)
		add("limit_more", title, verifier.MaxListed, m.Count)
	}
	for _, n := range []struct {
		missing bool
		key     string
	}{{a.Compared.Declared == 0, "limit_declared"}, {a.Compared.Watched == 0, "limit_watch"}, {!a.Compared.Answers && a.Authority == nil, "limit_answers"}} {
		if n.missing {
			list = append(list, w[n.key])
		}
	}
	if a.Provided != nil {
		list = append(list, w["limit_records"])
	}
	if a.Authority != nil && a.Unopened > 0 {
		list = append(list, w["limit_authority"])
	}
	for _, key := range []string{"limit_tokens", "limit_keys", "limit_truth", "limit_unusual"} {
		list = append(list, w[key])
	}
	return list
}

// methodsOf says how each finding is come to, with the thresholds of this audit.
func (a *auditAnswer) methodsOf(lang string) []string {
	w, l := auditWords[lang], a.Limits
	saturday := w["weekdays"]
	if l.Saturday {
		saturday = w["weekdays_saturday"]
	}
	if len(l.Closed) > 0 {
		saturday += fmt.Sprintf(w["closed"], strings.Join(l.Closed, ", "))
	}
	var methods []string
	if a.Authority != nil {
		methods = append(methods, w["method_authority"])
	}
	return append(methods,
		w["method_integrity"], w["method_tokens"], w["method_declared"], w["method_access"],
		fmt.Sprintf(w["method_burst"], l.Burst), fmt.Sprintf(w["method_hours"], l.Hours, saturday, a.Period.Zone, l.OutOfHours),
		fmt.Sprintf(w["method_many"], l.Many, l.ManyDays), fmt.Sprintf(w["method_case"], l.NoCase),
		fmt.Sprintf(w["method_shift"], l.LeastInShift, l.ShiftV), w["method_watch"],
		fmt.Sprintf(w["method_quality"], int(100*l.OneOperator), int(100*l.OneCase), l.LeastShared), w["method_pseudonym"],
	)
}
