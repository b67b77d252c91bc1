// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"regexp"
	"strings"
)

// phrase is a text on a page, in the page's language where Lang is "".
type phrase struct{ Text, Lang string }

// phraseOf says in a page's language what a comparison found, or noted. What isn't known stays as it is.
func phraseOf(lang, text string) phrase {
	if lang == "en" {
		return phrase{text, ""}
	}
	if what, receipt, ok := strings.Cut(text, " as ledger/"); ok {
		return phrase{phraseOf(lang, what).Text + ", come ledger/" + receipt, ""}
	}
	for _, p := range reconcileItalian {
		if p.english.MatchString(text) {
			return phrase{p.english.ReplaceAllString(text, p.italian), ""}
		}
	}
	if strings.Contains(text, " ") {
		return phrase{text, "en"}
	}
	return phrase{text, ""} // an id, a number
}

type translation struct {
	english *regexp.Regexp
	italian string
}

var reconcileItalian = translations([][2]string{
	{`none`, "niente"},
	{`neither`, "né le une né le altre"},
	{`another`, "altro"},
	{`a complete list`, "un elenco completo"},
	{`the voucher`, "il voucher"},
	{`a receipt`, "una ricevuta"},
	{`an aggregate`, "un dato aggregato"},
	{`a refusal`, "un rifiuto"},
	{`a body`, "il contenuto di un evento"},
	{`a submission`, "un invio al registro"},
	{`a receipt of its own`, "una ricevuta sua"},
	{`that of (\S+)`, "quella di $1"},
	{`its entry in the records`, "la sua riga tra gli eventi confermati"},
	{`a receipt for this call`, "una ricevuta per questa chiamata"},
	{`the receipt (\S+)`, "la ricevuta $1"},
	{`the aggregate (\S+)`, "il dato aggregato $1"},
	{`a call for the receipt (\S+)`, "una chiamata per la ricevuta $1"},
	{`a call for the aggregate (\S+)`, "una chiamata per il dato aggregato $1"},
	{`(\d+) requests on (\S+) for purpose (\S+)`, "$1 richieste del $2 per la finalità $3"},
	{`receipts in the traces, or tokens in them and --submissions beside the records`, "ricevute nelle tracce, oppure token nelle tracce e --submissions accanto a --records"},
	{`traces, or --submissions beside the records`, "le tracce, oppure --submissions accanto a --records"},
	{`a line of docs/reconcile\.md, or of GovWay's own request and response topics`, "una riga come in docs/reconcile.md, o dei topic request e response di GovWay"},
	{`a line of the party's own records`, "una riga degli eventi confermati all'ente"},

	{`Nothing in the files is in the period\.`, "Niente di ciò che è nei file è nel periodo."},
	{`(\d+) calls bear neither a voucher nor a receipt.*`, "$1 chiamate non hanno voucher né ricevuta, come quelle di altre API: non sono state confrontate."},
	{`(\d+) calls without a receipt were answered with another status than 2xx.*`, "A $1 chiamate senza ricevuta è stato risposto con uno stato diverso da 2xx: nessun dato è stato consegnato."},
	{`(\d+) calls were about nobody, says the gateway.*`, "$1 chiamate non riguardavano nessuno, dice il gateway, e non hanno ricevuta: non sono state confrontate con il registro."},
	{`(\d+) receipts have no call, and a statement.*`, "$1 ricevute non hanno una chiamata, ma una dichiarazione che nessun dato è stato consegnato."},
	{`(\d+) calls and receipts at the ends of the period.*`, "$1 chiamate e ricevute ai limiti del periodo non hanno un corrispondente al suo interno: non sono state giudicate."},
	{`(\d+) events aren't opened in the list.*`, "$1 eventi dell'elenco non sono aperti: non sono stati confrontati."},
	{`(\d+) events are no accesses.*`, "$1 eventi non sono accessi: consultazioni del registro, consensi, richieste, dichiarazioni."},
	{`A body's list holds no vouchers.*`, "L'elenco di un ente non contiene voucher: il tracciamento è stato confrontato per giorno e finalità."},
	{`The ledger holds what was released.*`, "Il registro contiene ciò che è stato consegnato: del tracciamento sono stati confrontati gli stati 2xx."},
	{`(\d+) calls were matched with a receipt by their voucher alone.*`, "$1 chiamate sono state abbinate a una ricevuta per il solo voucher, che più chiamate possono avere."},
	{`A call that passed the gateway by.*`, "Una chiamata che non è passata dal gateway non è nelle sue tracce. Che tracce e tracciamento siano completi lo dice chi li tiene."},
	{`The list is taken as it is.*`, "L'elenco è preso com'è (--policy): se ne manca qualcosa lo dice verifier agency."},
	{`The records are taken as they are.*`, "Gli eventi confermati sono presi come sono: se il registro concorda lo dice verifier provider."},
	{`Without --submissions.*`, "Senza --submissions le ricevute sono note solo per identificativo, e per l'ora della risposta."},
	{`The aggregates are taken as they are.*`, "I dati aggregati sono presi come sono: se le loro registrazioni sono giuste lo dice verifier statistics."},
	{`Without --cohorts.*`, "Senza --cohorts i dati aggregati sono noti solo per identificativo, e per l'ora della risposta."},
})

// translations of whole texts.
func translations(list [][2]string) (all []translation) {
	for _, one := range list {
		all = append(all, translation{regexp.MustCompile("^(?:" + one[0] + ")$"), one[1]})
	}
	return all
}
