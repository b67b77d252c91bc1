// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"slices"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// endOfYear is the last second of 2026, from its start.
const endOfYear = 365*24*3600 - 1

// watchYears has monitors follow a shard and the one after it, and returns what the second told and its report.
func watchYears(t *testing.T, old, next *verifiertest.Shard) ([]verifier.Finding, *watch) {
	t.Helper()
	w := newWatch(t, old, nil)
	if err := w.look(t, old.Now(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	ended, ok := w.Ended()
	if !ok {
		t.Fatalf("not ended: %+v", w.Report())
	}
	if ended.Checkpoint != old.Now() || ended.Next != next.Origin || ended.NextKey != next.VKey {
		t.Errorf("ended as %+v", ended)
	}
	second := &watch{}
	var err error
	second.Monitor, err = verifier.NewMonitor(verifier.MonitorConfig{
		Origin: next.Origin, Fetch: next, After: ended, Found: func(f verifier.Finding) { second.told = append(second.told, f) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.look(t, next.Now(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	return second.told, second
}

// TestMonitorYears: what the lies of a year's change are told as.
func TestMonitorYears(t *testing.T) {
	type change = func(p *ledger.Preamble, records [][]byte) [][]byte
	for _, c := range []struct {
		name string
		lie  change
		end  func(l *verifiertest.Shard)
		want []string
	}{
		{"nothing", nil, nil, nil},
		{"another root", func(p *ledger.Preamble, r [][]byte) [][]byte { p.PreviousRoot[0] ^= 1; return r }, nil, []string{
			"broken previous_log leaf 0: expected a shard before of size 9 with root ",
		}},
		{"another size", func(p *ledger.Preamble, r [][]byte) [][]byte { p.PreviousSize--; return r }, nil, []string{
			"broken previous_log leaf 0: expected a shard before of size 9 with root ",
		}},
		{"as if it were the first", func(p *ledger.Preamble, r [][]byte) [][]byte {
			p.PreviousSize, p.PreviousRoot = 0, ledger.Hash{}
			return r
		}, nil, []string{
			"broken previous_log leaf 0: ",
		}},
		{"the scope dropped", func(_ *ledger.Preamble, r [][]byte) [][]byte { return slices.Delete(r, 2, 3) }, nil, []string{
			"alarm not_repeated leaf 4: expected before the first head the record of kind scope, digest ",
		}},
		{"the body dropped", func(_ *ledger.Preamble, r [][]byte) [][]byte { return r[1:] }, nil, []string{
			"alarm record_refused leaf 1: ",
			"alarm not_repeated leaf 4: expected before the first head the record of kind body, digest ",
			"alarm not_repeated leaf 4: expected before the first head the record of kind key, digest ",
		}},
		{"all dropped", func(*ledger.Preamble, [][]byte) [][]byte { return nil }, nil, []string{
			"alarm not_repeated leaf 1: ", "alarm not_repeated leaf 1: ", "alarm not_repeated leaf 1: ", "alarm not_repeated leaf 1: ",
		}},
		{"other bytes that say the same", func(_ *ledger.Preamble, r [][]byte) [][]byte {
			r[0] = []byte(`{"kind": "body","id":"inps","name":"INPS"}`)
			return r
		}, nil, []string{"alarm not_repeated leaf 5: "}},
		{"another order", func(_ *ledger.Preamble, r [][]byte) [][]byte { r[2], r[3] = r[3], r[2]; return r }, nil, []string{
			"alarm not_repeated leaf 5: expected the 4 records in force in registro.example/2026 right after the preamble, in their order, found another order, or others among them",
		}},
		{"another record among them", func(_ *ledger.Preamble, r [][]byte) [][]byte {
			return slices.Insert(r, 1, []byte(`{"kind":"body","id":"inail","name":"INAIL"}`))
		}, nil, []string{"alarm not_repeated leaf 6: expected the 4 records "}},
		{"another record after them", func(_ *ledger.Preamble, r [][]byte) [][]byte {
			return append(r, []byte(`{"kind":"body","id":"inail","name":"INAIL"}`))
		}, nil, nil},
		{"a key of its own after them", func(_ *ledger.Preamble, r [][]byte) [][]byte {
			key, _ := registry.FormatRecord(verifiertest.InpsKey(2))
			return append(r, key)
		}, nil, []string{"notice new_key leaf 5: "}},
		{"a clock that went back", nil, func(l *verifiertest.Shard) { l.Head(-10) }, []string{
			"broken clock_back leaf 5: expected a head later than the final one of registro.example/2026, 2026-12-31T23:59:59.000Z, found 2026-12-31T23:59:50.000Z",
		}},
		{"an event before the first head", nil, func(l *verifiertest.Shard) { l.Event(1); l.Head(1) }, []string{"broken event_before_head leaf 5: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, next := usual(), verifiertest.NewShard("registro.example/2027")
			old.JSON(`{"kind":"retention","months":24}`)
			old.Event(1)
			old.Close(next, endOfYear)
			if c.lie == nil {
				c.lie = func(_ *ledger.Preamble, r [][]byte) [][]byte { return r }
			}
			next.Follow(old, c.lie)
			if c.end == nil {
				c.end = func(l *verifiertest.Shard) { l.Head(1) }
			}
			c.end(next)
			findings, w := watchYears(t, old, next)
			told(t, findings, c.want)
			broken := slices.ContainsFunc(findings, func(f verifier.Finding) bool { return f.Level == verifier.LevelBroken })
			if (w.Broken() != nil) != broken {
				t.Errorf("broken: %v", w.Broken())
			}
		})
	}
}

// TestMonitorYearOver: a year that isn't closed, or closed without naming the next log.
func TestMonitorYearOver(t *testing.T) {
	l := usual()
	l.Head(endOfYear)
	w := newWatch(t, l, nil)
	if err := w.look(t, l.Now(), at(endOfYear+2)); err != nil || len(w.alarms()) != 1 {
		t.Fatalf("%v, %v", err, w.alarms()) // the gap since its first head
	}
	for _, when := range []float64{endOfYear + 200, endOfYear + 400, endOfYear + 800} {
		if err := w.look(t, l.Now(), at(when)); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.alarms(); !slices.Equal(got[1:], []string{verifier.CodeHeadGap, verifier.CodeNotFinal}) {
		t.Errorf("told %v", got)
	}
	if _, ok := w.Ended(); ok {
		t.Error("ended without a final head")
	}
	l.Close(nil, endOfYear+900)
	if err := w.look(t, l.Now(), at(endOfYear+901)); err != nil || w.told[len(w.told)-1].Code != verifier.CodeNoLogKey {
		t.Errorf("%v, told %v", err, w.told)
	}
	if e, ok := w.Ended(); !ok || e.NextKey != "" {
		t.Errorf("ended as %+v", e)
	}
	l.Event(1)
	if err := w.look(t, l.Now(), at(endOfYear+902)); err != nil || w.Broken() == nil || w.Broken().Code != "after_final" {
		t.Errorf("%v, %v", err, w.Broken())
	}
	if _, ok := w.Ended(); ok {
		t.Error("ended with leaves after the final head")
	}
}

// TestMonitorLaterYear: a monitor that begins with a later year says that it didn't see the one before.
func TestMonitorLaterYear(t *testing.T) {
	old, next := usual(), verifiertest.NewShard("registro.example/2027")
	old.Close(next, endOfYear)
	next.Follow(old)
	next.Head(1)
	var codes []string
	m, err := verifier.NewMonitor(verifier.MonitorConfig{Origin: next.Origin, Fetch: next, Found: func(f verifier.Finding) { codes = append(codes, f.Code) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Public(t.Context(), next.Now(), time.Time{}, func(uint64, [][]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{verifier.CodeUnseenYear, verifier.CodeNewKey, verifier.CodeNewScope}; !slices.Equal(codes, want) {
		t.Errorf("told %v, want %v", codes, want)
	}
	w := newWatch(t, old, nil)
	if err := w.look(t, old.Now(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	ended, _ := w.Ended()
	if _, err := verifier.NewMonitor(verifier.MonitorConfig{Origin: "registro.example/2028", Fetch: next, After: ended}); err == nil {
		t.Error("a year was left out")
	}
}
