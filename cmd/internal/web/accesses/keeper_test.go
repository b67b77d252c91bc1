// SPDX-License-Identifier: EUPL-1.2

package accesses_test

import (
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/ledger"
)

func get(t testing.TB, k *accesses.Keeper, who ledger.Subject) *accesses.History {
	t.Helper()
	m, err := k.Get(who)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.Done():
	case <-time.After(time.Minute):
		t.Fatal("no history within a minute")
	}
	h, err := m.Result()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestYears(t *testing.T) {
	l := webtest.NewLedger(t, webtest.Config{Years: 3, Accesses: 8})
	k := accesses.NewKeeper(l)
	h := get(t, k, webtest.Citizen)
	if !h.Report.Complete || !h.Witnessed {
		t.Fatalf("complete %v: %v", h.Report.Complete, h.Report.Problems)
	}
	list := accesses.NewList(h.Report, words.In("it", func(t time.Time) string { return t.Format(time.DateTime) }), time.Time{})
	for _, a := range list.Accesses {
		t.Log(a.ID(), a.Sentence, a.Word)
	}
	if len(list.Accesses) != 24 {
		t.Errorf("%d accesses", len(list.Accesses))
	}
}

func BenchmarkFirst(b *testing.B) {
	l := webtest.NewLedger(b, webtest.Config{Years: 5, Accesses: 100, Scopes: 20})
	k := accesses.NewKeeper(l)
	h := get(b, k, webtest.Citizen)
	b.Logf("complete %v, %d events, %v", h.Report.Complete, len(h.Report.Events), h.Report.Problems)
	for b.Loop() {
		k.Forget(webtest.Citizen)
		h := get(b, k, webtest.Citizen)
		accesses.NewList(h.Report, words.In("it", func(t time.Time) string { return t.Format(time.DateTime) }), time.Time{})
	}
}
