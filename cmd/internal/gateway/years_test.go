// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// TestNewYear: a gateway that knows the key of last year's log alone takes this year's answers, because that log announced
// the key, also after a restart.
func TestNewYear(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir()}
	eve := time.Date(time.Now().UTC().Year()-1, time.December, 31, 12, 0, 0, 0, time.UTC)
	f.past.Store(&eve)
	f.begin()
	f.eventually("the new year's key announced", func() bool {
		_, announced := f.node.Registry().LogKey(ledger.Origin(ledgerName, f.node.Epoch()+1))
		return announced
	})
	f.past.Store(nil)
	f.eventually("the new year's log", func() bool { return int(f.node.Epoch()) == time.Now().UTC().Year() })
	if g := f.post("/persona", `{"cf":"`+string(f.person(1))+`"}`); g.status != 200 || g.header.Get(ReceiptHeader) == "" {
		t.Fatalf("%d %+v", g.status, g.problem)
	}
	if got := len(f.gateway.years.trusted().Logs); got != 2 {
		t.Errorf("%d logs are trusted, expected last year's and this year's", got)
	}
	f.stop()
	f.start()
	if got := len(f.gateway.years.trusted().Logs); got != 2 {
		t.Errorf("%d logs are trusted after a restart, expected 2", got)
	}
	if g := f.post("/persona", `{"cf":"`+string(f.person(2))+`"}`); g.status != 200 {
		t.Errorf("%d %+v", g.status, g.problem)
	}
	// A file that has another key for the year goes before what was announced.
	_, other, err := note.GenerateKey(nil, ledger.Origin(ledgerName, f.node.Epoch()))
	if err != nil {
		t.Fatal(err)
	}
	file := *f.parts.Policy
	file.Logs = append(file.Logs[:1:1], checkpoint.Log{VKey: other})
	p := *f.parts
	p.Policy = &file
	if err := f.gateway.Reload(&p); err != nil {
		t.Fatal(err)
	}
	if logs := f.gateway.years.trusted().Logs; len(logs) != 2 || logs[1].VKey != other {
		t.Errorf("%+v", logs)
	}
	if g := f.post("/persona", `{"cf":"`+string(f.person(3))+`"}`); g.status != 502 || g.problem.Code != "not_proven" {
		t.Errorf("%d %+v", g.status, g.problem)
	}
}

// TestYearsRefused: what isn't this ledger's, or not yet there.
func TestYearsRefused(t *testing.T) {
	f := newFixture(t)
	y, year := f.gateway.years, f.node.Epoch()
	for _, origin := range []string{ledger.Origin("altro.example", year), "registro.example", ""} {
		var p *ledger.Problem
		if _, err := y.verifiers(t.Context(), origin); !errors.As(err, &p) {
			t.Errorf("%q: %v", origin, err)
		}
	}
	if _, err := y.verifiers(t.Context(), ledger.Origin(ledgerName, year+1)); !errors.Is(err, errUnknown) {
		t.Errorf("a log that nobody announced: %v", err)
	}
	if list, err := y.verifiers(t.Context(), ledger.Origin(ledgerName, year-1)); err != nil || len(list) != 0 {
		t.Errorf("a log before the first that is known: %d keys, %v", len(list), err)
	}
	if err := f.memory.Announced(year+1, "a"); err != nil {
		t.Fatal(err)
	}
	if err := f.memory.Announced(year+1, "b"); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("another key of a year: %v", err)
	}
}
