// SPDX-License-Identifier: EUPL-1.2

package accesses_test

import (
	"slices"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/ledger"
)

func speaker(lang string) *words.Speaker {
	return words.In(lang, func(t time.Time) string { return t.UTC().Format(time.DateTime) })
}

func get(t testing.TB, k *accesses.Keeper, who ledger.Subject) *accesses.History {
	t.Helper()
	m, err := k.Get(who)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.Done():
	case <-time.After(2 * time.Minute):
		t.Fatal("no history within two minutes")
	}
	h, err := m.Result()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestKeeper: the histories of several years are whole, made once, and forgotten when asked.
func TestKeeper(t *testing.T) {
	l := webtest.NewLedger(t, webtest.Config{Years: 3, Accesses: 8})
	k := accesses.NewKeeper(l)
	h := get(t, k, webtest.Citizen)
	if !h.Report.Complete || !h.Witnessed || len(h.Bundle.Shards) != 3 {
		t.Fatalf("complete %v: %v", h.Report.Complete, h.Report.Problems)
	}
	list := accesses.NewList(h.Report, speaker("it"), time.Time{})
	if len(list.Accesses) != 24 || len(list.Wrong)+len(list.Own)+len(list.Erased) != 0 {
		t.Errorf("%d accesses", len(list.Accesses))
	}
	if years := accesses.Years(list.Accesses, time.UTC); len(years) != 3 || !slices.IsSortedFunc(years, func(a, b int) int { return b - a }) {
		t.Errorf("years %v", years)
	}
	if again := get(t, k, webtest.Citizen); again != h {
		t.Error("a history that was there is made again")
	}
	if other := get(t, k, webtest.Nobody); other.Report.Subject != webtest.Nobody || len(other.Report.Events) != 0 || !other.Report.Complete {
		t.Errorf("who has no accesses: %v", other.Report.Problems)
	}
	k.Forget(webtest.Citizen)
	if again := get(t, k, webtest.Citizen); again == h {
		t.Error("a history that was forgotten is there")
	}
}
