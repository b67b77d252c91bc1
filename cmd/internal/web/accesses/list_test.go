// SPDX-License-Identifier: EUPL-1.2

package accesses_test

import (
	"encoding/csv"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// report has one event of each sort.
func report() *verifier.HistoryReport {
	at := func(index uint64) *verifier.Place { return &verifier.Place{Epoch: 2026, Index: index} }
	access := func(index uint64, when string) verifier.HistoryEvent {
		return verifier.HistoryEvent{
			Epoch: 2026, Index: index, Scope: "inps", State: verifier.StateOpen, Kind: ledger.KindAccess, Agency: "c_a944", Name: "Comune di Bologna", Issuer: "inps",
			Provider: "inps", ProviderName: "INPS", OccurredAt: when, RecordedAt: when, Purpose: "Verifica", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e",
			DataCategories: []string{"isee"}, Actor: ledger.ActorService, People: 1, Effect: ledger.EffectAllow, Policies: []string{"p"},
			Grounds: []ledger.Ground{{Policy: "p", Reference: "art. 1", It: "Perché sì", En: "Because"}},
		}
	}
	both := access(10, "2026-03-01T09:00:00Z")
	mate := uint64(11)
	both.Partner, both.Statements = &mate, []verifier.Place{*at(20)}
	other := access(11, "2026-03-01T09:00:00Z")
	main := uint64(10)
	other.Scope, other.Partner = ledger.ScopeReported, &main
	denied := access(12, "2026-04-01T09:00:00Z")
	denied.Kind, denied.Effect, denied.Grounds, denied.Policies, denied.Agency, denied.Name = ledger.KindDenied, ledger.EffectDeny, nil, nil, "r_lazio", "Regione Lazio"
	hurried := access(13, "2026-05-01T09:00:00Z")
	hurried.BreakGlass, hurried.Late, hurried.People = &verifier.SessionPlace{Session: "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11", Number: 3}, true, 50
	deferred := access(14, "2026-06-01T09:00:00Z")
	deferred.Scope, deferred.Deferred = ledger.ScopeDeferred, &verifier.Deferred{Until: "2026-09-01T00:00:00Z", By: "procura_bo", Name: "Procura", Reference: "decreto 17/2026"}
	consented := access(15, "2026-07-01T09:00:00Z")
	consented.LegalBasis, consented.ConsentID, consented.Purpose = "A6-1-a", "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a12", `=HYPERLINK("https://evil.example")`
	stated := access(20, "2026-03-02T09:00:00Z")
	stated.Kind, stated.Statement, stated.About, stated.IssuerName, stated.Text = ledger.KindCorrection, ledger.StatementError, at(10), "INPS", "Errore"
	own := access(21, "2026-08-01T09:00:00Z")
	own.Kind, own.Scope = ledger.KindConsentGiven, ledger.ScopeConsent
	between := &verifier.Span{From: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 2, 1, 0, 1, 0, 0, time.UTC)}
	return &verifier.HistoryReport{
		Subject: "RSSMRA80A01H501U", Shards: []verifier.HistoryShard{{Origin: "registro.example/2026"}},
		Events: []verifier.HistoryEvent{
			{Epoch: 2026, Index: 5, Scope: "inps", State: verifier.StateErased, Ground: "retention", Between: between},
			{Epoch: 2026, Index: 6, Scope: "inps", State: verifier.StateWithheld, Between: between},
			both, other, denied, hurried, deferred, consented, stated, own,
		},
	}
}

func TestList(t *testing.T) {
	l := accesses.NewList(report(), speaker("it"), time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC))
	if len(l.Accesses) != 5 || len(l.Own) != 1 || len(l.Wrong) != 1 || len(l.Erased) != 1 {
		t.Fatalf("%d accesses, %d own, %d wrong, %d erased", len(l.Accesses), len(l.Own), len(l.Wrong), len(l.Erased))
	}
	if l.New() != 1 || !l.Accesses[0].New || l.Accesses[1].New {
		t.Errorf("%d are new", l.New())
	}
	for i, wants := range [][]string{
		{"con il consenso che hai dato"},
		{"Notizia differita fino al 2026-09-01"},
		{"altre 49 persone", "Emergenza"},
		{"ma l'accesso è stato rifiutato", "Rifiutato: nessuna regola lo consente."},
		{"ha consultato questi tuoi dati, tenuti da INPS: ISEE: attestazione", "Hanno firmato entrambe le parti", "Errore", "Consentito: Perché sì (p, art. 1)"},
	} {
		a := l.Accesses[i]
		said := strings.Join(append([]string{a.Sentence, a.Word, a.Deferred, a.Together}, append(a.Reasons, a.Stated...)...), "\n")
		for _, want := range wants {
			if !strings.Contains(said, want) {
				t.Errorf("access %d doesn't say %q: %s", i, want, said)
			}
		}
	}
	if last := l.Accesses[4]; last.ID() != "2026/10,2026/11" || last.Begin+last.Rest() != last.Sentence || last.Begin == "" {
		t.Errorf("%s: %q, %q", last.ID(), last.Begin, last.Rest())
	}
	if !strings.Contains(l.Erased[0].Sentence, "è finito il periodo di conservazione") || l.Erased[0].When.Month() != time.February || l.Wrong[0].Body != "" {
		t.Errorf("erased %+v, wrong %+v", l.Erased[0], l.Wrong[0])
	}
	groups := accesses.Groups(l.Accesses)
	if len(groups) != 2 || groups[0].Body != "c_a944" || len(groups[0].Accesses) != 4 || groups[0].Latest().Month() != time.July || len(groups[0].First(2)) != 2 {
		t.Errorf("groups %+v", groups)
	}
	y := accesses.YearOf(l.Accesses, 2026, time.UTC)
	bars := y.Chart().Months
	if y.Granted() != 4 || y.Denied() != 1 || y.Months[3].Denied != 1 || bars[2].Lower.Y+bars[2].Lower.Height != bars[3].Upper.Y+bars[3].Upper.Height || accesses.YearOf(l.Accesses, 2020, time.UTC).Granted() != 0 {
		t.Errorf("year %+v", y)
	}
}

func TestFilter(t *testing.T) {
	l := accesses.NewList(report(), speaker("en"), time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC))
	for _, c := range []struct {
		filter accesses.Filter
		want   int
	}{
		{accesses.Filter{}, 5}, {accesses.Filter{Body: "r_lazio"}, 1}, {accesses.Filter{From: "2026-04-01", To: "2026-05-01"}, 2}, {accesses.Filter{Purpose: "Verifica"}, 4},
		{accesses.Filter{Category: "isee"}, 5}, {accesses.Filter{Category: "Income"}, 0}, {accesses.Filter{New: true}, 1}, {accesses.Filter{Body: "c_a944", New: true}, 1},
	} {
		if got := c.filter.Choose(l.Accesses, time.UTC); len(got) != c.want {
			t.Errorf("%+v chooses %d, want %d", c.filter, len(got), c.want)
		}
		again, err := url.ParseQuery(c.filter.Query())
		if back, mistake := accesses.ParseFilter(again); err != nil || mistake != "" || back != c.filter || back.Set() != (c.filter != accesses.Filter{}) {
			t.Errorf("%+v comes back as %+v", c.filter, back)
		}
	}
	if f, mistake := accesses.ParseFilter(url.Values{"dal": {"2026-02-30"}, "al": {"x"}, "novita": {"yes"}}); f.Set() || mistake != accesses.NoDay {
		t.Errorf("no filter is %+v, %q", f, mistake)
	}
	for days, want := range map[[2]string]string{{"2026-02-03", "2026-02-02"}: accesses.DaysCrossed, {"2026-02-02", "2026-02-02"}: "", {"2026-02-02", "ieri"}: accesses.NoDay} {
		if _, mistake := accesses.ParseFilter(url.Values{"dal": {days[0]}, "al": {days[1]}}); mistake != want {
			t.Errorf("from %s to %s: %q, want %q", days[0], days[1], mistake, want)
		}
	}
	o := accesses.OptionsOf(l.Accesses)
	if len(o.Bodies) != 2 || o.Bodies[0].Label != "Comune di Bologna" || len(o.Purposes) != 2 || len(o.Categories) != 1 {
		t.Errorf("options %+v", o)
	}
}

// TestCSV: the table is as documented, and no cell is a formula.
func TestCSV(t *testing.T) {
	l := accesses.NewList(report(), speaker("it"), time.Time{})
	data, err := l.CSV()
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(data), "\ufeff")))
	r.Comma = ';'
	lines, err := r.ReadAll()
	if err != nil || len(lines) != 9 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	dangerous := 0
	for _, line := range lines[1:] {
		for _, cell := range line {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
				t.Errorf("a formula: %q", cell)
			}
			if strings.HasPrefix(cell, "'=") {
				dangerous++
			}
		}
	}
	if dangerous != 1 {
		t.Errorf("%d cells were made harmless", dangerous)
	}
}

func FuzzChosen(f *testing.F) {
	for _, s := range []string{"2026/1", "2026/1,2026/2", "", "/", "1/", "-1/2", "2026/9223372036854775808"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		chosen, ok := accesses.Chosen([]string{text})
		if !ok {
			return
		}
		again, ok := accesses.Chosen([]string{text, text})
		if !ok || !reflect.DeepEqual(again, chosen) {
			t.Errorf("%q is %v, and twice %v", text, chosen, again)
		}
	})
}
