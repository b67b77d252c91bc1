// SPDX-License-Identifier: EUPL-1.2

package verifier

import "github.com/traccia-ledger/traccia/ledger"

// Text is what is said to citizens, in each of their languages.
type Text struct{ It, En string }

// In is the text in a language: it, or else English.
func (t Text) In(lang string) string {
	if lang == "it" {
		return t.It
	}
	return t.En
}

// Plain says a problem of a history in plain words.
func Plain(p ledger.Problem) Text {
	words, ok := plainWords[p.Code]
	if !ok {
		return Text{"Una regola del registro è violata (" + p.Code + ").", "A rule of the ledger is broken (" + p.Code + ")."}
	}
	return words
}

// exactly says where a problem is and what it is, for whoever looks into it.
func exactly(p ledger.Problem) string {
	return " [" + p.Where + ": expected " + p.Expected + ", found " + p.Found + "]"
}

// What isn't proven of a history, though nothing is wrong; with the arguments of both languages in one order.
var (
	noteYearsBefore = Text{
		"Il registro ha anni prima del %d, che qui non ci sono: il periodo di conservazione di ciò che vi era annotato è finito.",
		"The ledger has years before %d, which aren't in this file: the retention of what they recorded is over.",
	}
	noteExcerpt = Text{
		"Un estratto prova che i suoi eventi sono avvenuti. Di altri non dice nulla.",
		"An excerpt proves that its events took place. It says nothing of others.",
	}
	noteDeclared = Text{
		"%d degli elenchi sono dichiarati, non controllati: chi tiene i loro numeri non ha mai attestato di aver confrontato le proprie annotazioni con il registro.",
		"%d of the lists are declared, not checked: the party that keeps their numbers never attested that it compared its own records with the ledger.",
	}
	noteAlarm = Text{
		"%s ha confrontato con il registro le proprie annotazioni del %d, fino al %s, e dichiara che non coincidono.",
		"%s compared its own records of %d with the ledger up to %s, and says that they don't agree.",
	}
	noteRevoked = Text{
		"Che nessun'altra chiave fosse stata revocata lo vede solo chi legge l'intero registro, come i monitor.",
		"That no key had been revoked, beside those shown, only who reads the whole log sees: monitors do.",
	}
	notePurpose = Text{
		"Che la finalità dichiarata sia vera, e che nessuno abbia letto i dati senza passare dal registro, non si può provare.",
		"That a stated purpose is true, and that nobody read data without passing by the ledger, can't be proven.",
	}
	noteRecorded = Text{
		"Su %d degli accessi nessuna regola ha deciso: non c'erano regole attive, e sono stati soltanto annotati.",
		"On %d of the accesses nobody decided: no policies were active, and they were only recorded.",
	}
	noteUnreplayed = Text{
		"%d decisioni non sono state ricalcolate: che le regole lo permettessero o lo vietassero lo dice il registro, che mostra quelle regole come blob/%s.",
		"%d decisions weren't replayed: that the policies allowed or denied it is the ledger's word. The log serves those policies as blob/%s.",
	}
	noteDeferred = Text{
		"Possono esistere accessi del %d la cui notizia è differita da un giudice o dalla legge: la chiave di %s non è data prima che l'ultimo ordine sia finito.",
		"Accesses of %d whose notice a judge or a law defers may exist: the key of %s isn't given before the last order ends.",
	}
	noteErasedOnRequest = Text{
		"Eventi cancellati su una richiesta firmata da %s, che dice che l'hai fatta tu (evento %d/%d): %d. Se non l'hai fatta, ti si sta nascondendo qualcosa.",
		"Events erased on a request that %s signed, saying that you made it (event %d/%d): %d. If you didn't ask, something is being hidden from you.",
	}
	noteStatedUnseen = Text{
		"L'evento %d/%d è una dichiarazione sulla ricevuta %s, il cui evento non è mostrato: è stato cancellato, o non è in questo documento.",
		"Event %d/%d is a statement on receipt %s, whose event isn't shown: it was erased, or isn't in this file.",
	}
	noteConsentNotShown = Text{
		"L'evento %d/%d nomina un consenso, che un estratto non mostra.",
		"Event %d/%d names a consent, which an excerpt doesn't show.",
	}
	noteConsentBefore = Text{
		"L'evento %d/%d si fonda su ciò che cominciò in un anno prima di questo documento, o non vale.",
		"Event %d/%d rests on what a year before this file began, or doesn't count.",
	}
	noteConsentErased = Text{
		"L'evento %d/%d si fonda su un consenso che nessuno può più controllare: un evento dei tuoi consensi è stato cancellato.",
		"Event %d/%d rests on a consent that nobody can check any more: an event of your consents was erased.",
	}
)

// plainWords says what a code of a history means to a citizen.
var plainWords = map[string]Text{
	CodeBadCheckpoint: {
		"Il documento non viene da un registro di cui ti fidi, o è stato alterato.",
		"The file doesn't come from a ledger that you trust, or was changed.",
	},
	CodeTooFewWitnesses: {
		"Troppo pochi dei testimoni di cui ti fidi hanno visto questo stato del registro: a un'altra persona potrebbe esserne mostrato un altro.",
		"Too few of the witnesses that you trust have seen this state of the ledger: another person may be shown another one.",
	},
	CodeNoMonitor: {
		"Nessun monitor di cui ti fidi ha controllato questo stato del registro. Se fra coloro di cui ti fidi (policy.txt) non c'è alcun monitor, aggiungine uno.",
		"No monitor that you trust has checked this state of the ledger. If those whom you trust (policy.txt) name none, add one.",
	},
	CodeBadProof: {
		"Non è provato che ciò che il documento mostra sia nel registro.",
		"What the file shows isn't proven to be in the ledger.",
	},
	CodeHeadAhead: {
		"Il registro dichiara un'ora più avanti di quella dei suoi testimoni.",
		"The ledger states a time that lies ahead of its witnesses' clocks.",
	},
	CodeHeadClock: {
		"L'orologio del registro è tornato indietro.",
		"The ledger's clock went back.",
	},
	CodeAfterFinal: {
		"Il registro è andato avanti dopo aver chiuso l'anno.",
		"The ledger went on after it had closed the year.",
	},
	CodeNotFinal: {
		"Un anno passato non è mostrato fino alla fine.",
		"A past year isn't shown up to its end.",
	},
	CodeYearMissing: {
		"Manca un anno.",
		"A year is left out.",
	},
	CodePreviousLog: {
		"Un anno non è la continuazione di quello prima.",
		"A year doesn't follow on the one before.",
	},
	CodeWrongScopes: {
		"Gli elenchi del documento non sono tutti quelli che il registro dichiara.",
		"The lists in the file aren't all that the ledger says there are.",
	},
	CodeNoVRFProof: {
		"Manca un elenco.",
		"A list is left out.",
	},
	CodeBadVRFProof: {
		"Un elenco è fatto con una chiave sbagliata: non è provato che sia tuo.",
		"A list was made with a wrong key: it isn't proven to be yours.",
	},
	CodeDeferredOverdue: {
		"Gli accessi la cui notizia era differita dovrebbero ormai essere mostrati, e non lo sono.",
		"Accesses whose notice was deferred should be shown by now, and aren't.",
	},
	CodeBadIndexProof: {
		"La prova che non manca nulla è sbagliata.",
		"The proof that nothing is left out is wrong.",
	},
	CodeNumberAbsent: {
		"Manca un evento il cui numero sta fra altri due.",
		"An event with a number between others is left out.",
	},
	CodeMoreEvents: {
		"Un elenco ha più eventi di quelli mostrati.",
		"A list has more events than the file shows.",
	},
	ledger.CodeCountMismatch: {
		"Sono mostrati più eventi, o meno, di quanti gli elenchi ne contano.",
		"The file shows more or fewer events than its lists count.",
	},
	CodeStrayEvent: {
		"È mostrato un evento che non sta nei tuoi elenchi.",
		"The file shows an event that isn't in your lists.",
	},
	CodeNotCovered: {
		"Un evento è mostrato come compreso in uno stato del registro che viene prima.",
		"An event is shown as covered by a state of the ledger before it.",
	},
	CodeNotAscending: {
		"Gli eventi sono numerati in un ordine diverso da quello del registro.",
		"Events are numbered in another order than the ledger's.",
	},
	CodeLeafMissing: {
		"Un evento è numerato ma non mostrato.",
		"An event is numbered but not shown.",
	},
	CodeWrongTag: {
		"Al posto di uno dei tuoi eventi sta una voce che non lo è.",
		"An entry stands in place of one of your events and isn't one.",
	},
	CodeOtherSubject: {
		"Un evento è spiegato con quello di un'altra persona.",
		"An event is explained with that of another person.",
	},
	CodeOtherScope: {
		"Un evento è spiegato con quello di un altro elenco.",
		"An event is explained with that of another list.",
	},
	CodeWrongRole: {
		"Una ricevuta non è firmata dalla parte che deve.",
		"A receipt isn't signed by the side that has to.",
	},
	CodeTwice: {
		"Una sola ricevuta spiega due eventi.",
		"One receipt explains two events.",
	},
	CodeNoHeads: {
		"Non è mostrato fra quali stati del registro si trova un evento.",
		"It isn't shown between which states of the ledger an event lies.",
	},
	CodeHeadsApart: {
		"Mancano stati del registro intorno a un evento: la sua ora non è provata.",
		"States of the ledger around an event were left out: its time isn't proven.",
	},
	CodeNoConsent: {
		"Un accesso si fonda su un consenso che non avevi dato, o che avevi revocato.",
		"An access rests on a consent that you hadn't given, or had withdrawn.",
	},
	CodeNoReceipt: {
		"Un ente dichiara qualcosa su un accesso che non sta nei tuoi elenchi.",
		"A body states something of an access that isn't in your lists.",
	},
	ledger.CodeNotParty: {
		"Un ente dichiara qualcosa su un accesso che non è suo.",
		"A body states something of an access that isn't its own.",
	},
	"no_order": {
		"La notizia di un accesso è stata differita senza un ordine, o un ordine sta dove non deve.",
		"The notice of an access was put off without an order, or an order isn't where it belongs.",
	},
	"bad_deferral": {
		"La notizia di un accesso è stata differita più a lungo di quanto le regole permettono.",
		"The notice of an access was put off for longer than the rules allow.",
	},
	ledger.CodeDecision: {
		"Una decisione non segue dalle regole in vigore, o non dai fatti.",
		"A decision doesn't follow from the policies in force, or not from the facts.",
	},
	CodeNotOpened: {
		"Un evento non è mostrato, e nulla lo permette al registro.",
		"An event isn't shown, and nothing entitles the ledger to that.",
	},
	CodeStale: {
		"NON AGGIORNATO: è mostrato uno stato vecchio del registro. Chiedine uno nuovo.",
		"STALE: the file shows an old state of the ledger. Ask for a new one.",
	},
	ledger.CodeNamesSubject: {
		"In una ricevuta c'è il tuo codice fiscale.",
		"A receipt has your code in it.",
	},
	"commitment_mismatch": {
		"Un evento è spiegato con un contenuto diverso da quello che il registro ha annotato.",
		"An event is explained with other content than the ledger recorded.",
	},
	"subject_mismatch": {
		"Una ricevuta non riguarda te.",
		"A receipt isn't about you.",
	},
	"bad_signature": {
		"Una firma non è valida.",
		"A signature isn't good.",
	},
	"key_unknown": {
		"Una ricevuta è firmata con una chiave che il registro non aveva annotato per il suo ente.",
		"A receipt is signed with a key that the ledger hadn't registered for its body.",
	},
	"key_revoked": {
		"Una ricevuta è firmata con una chiave che era stata revocata.",
		"A receipt is signed with a key that had been revoked.",
	},
	"before_head": {
		"Un evento ha una data precedente a quando il registro l'ha annotato.",
		"An event is dated before the ledger recorded it.",
	},
}
