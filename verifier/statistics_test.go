// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

const day = 24 * 3600.0

// counts are what bodies have in a month of the tests, 43 in all; made, what becomes of it.
func counts() map[string]uint64 {
	return map[string]uint64{"inps": 20, "c_a944": 15, "c_f205": 7, "c_h501": 1}
}

// twoYears are logs of 2026 and 2027 whose months are told as lie says; November 2026 is the month of the lie.
func twoYears(lie func(t *statistics.Totals)) (first, second *verifiertest.Shard) {
	first, second = verifiertest.UsualShard(origin, 300*day), verifiertest.NewShard("registro.example/2027")
	first.Event(5)
	first.Head(304*day + 1) // November begins
	first.Totals(first, "2026-10", map[string]uint64{"inps": 5})
	first.Event(43)
	first.Head(334*day + 1)
	first.Totals(first, "2026-11", counts(), lie)
	first.Event(12)
	first.Close(second, 365*day-1)
	second.Follow(first)
	second.Head(1)
	second.Totals(first, "2026-12", map[string]uint64{"inps": 12})
	second.Head(3 * day)
	return first, second
}

// logsOf are a ledger's, of which those given are open.
func logsOf(logs ...*verifiertest.Shard) func(uint32) checkpoint.Fetcher {
	return func(epoch uint32) checkpoint.Fetcher {
		for _, l := range logs {
			if _, e, _ := ledger.ParseOrigin(l.Origin); e == epoch {
				return l
			}
		}
		return checkpoint.FS{FS: emptyFS{}}
	}
}

func totals(t *testing.T, c verifier.StatisticsConfig) *verifier.StatisticsReport {
	t.Helper()
	r, err := verifier.Statistics(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestStatistics(t *testing.T) {
	first, second := twoYears(func(*statistics.Totals) {})
	both := verifier.StatisticsConfig{Origin: first.Origin, Logs: []note.Verifier{first.Verifier()}, Year: logsOf(first, second)}
	r := totals(t, both)
	if len(r.Problems) != 0 || len(r.Logs) != 2 || r.Logs[0].Checkpoint != first.Now() || r.Logs[0].Events != 60 || !r.Logs[0].Final || r.Logs[1].Checkpoint != second.Now() {
		t.Errorf("%+v", r)
	}
	var months []string
	for _, m := range r.Months {
		months = append(months, m.Month)
		if !m.Checked {
			t.Errorf("%s wasn't checked", m.Month)
		}
	}
	if want := []string{"2026-10", "2026-11", "2026-12"}; !slices.Equal(months, want) {
		t.Errorf("months %v", months)
	}
	november := r.Months[1].Totals
	if diff := cmp.Diff(statistics.Make(november.Span, counts()), &november); diff != "" || november.Events != 43 {
		t.Errorf("November (-want +got):\n%s", diff)
	}

	// One month alone, told by its own log, by the next, and by none.
	for month, want := range map[string]struct{ logs, months, problems int }{"2026-11": {1, 1, 0}, "2026-12": {2, 1, 0}, "2027-01": {2, 0, 1}, "2025-12": {1, 0, 1}} {
		c := both
		c.Month = month
		if r := totals(t, c); len(r.Logs) != want.logs || len(r.Months) != want.months || len(r.Problems) != want.problems {
			t.Errorf("%s: %+v", month, r)
		}
	}
	// The second year alone: December's leaves aren't there.
	alone := verifier.StatisticsConfig{Origin: second.Origin, Logs: []note.Verifier{second.Verifier()}, Year: logsOf(second)}
	if r := totals(t, alone); len(r.Problems) != 0 || len(r.Months) != 1 || r.Months[0].Checked {
		t.Errorf("the second year alone: %+v", r)
	}
	// Before the next log is open.
	open := both
	open.Year = logsOf(first)
	if r := totals(t, open); len(r.Problems) != 0 || len(r.Logs) != 1 {
		t.Errorf("before the next log: %+v", r)
	}
	if _, err := verifier.Statistics(t.Context(), verifier.StatisticsConfig{Origin: first.Origin, Logs: both.Logs, Year: logsOf()}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
	if _, err := verifier.Statistics(t.Context(), verifier.StatisticsConfig{Origin: "x"}); err == nil {
		t.Error("a log without an origin")
	}
	broken := both
	broken.Year = func(uint32) checkpoint.Fetcher { return cutLog{first} }
	if _, err := verifier.Statistics(t.Context(), broken); err == nil {
		t.Error("tiles that are another log's")
	}
}

// cutLog has other entries than its checkpoint says.
type cutLog struct{ *verifiertest.Shard }

func (c cutLog) Fetch(ctx context.Context, path string) ([]byte, error) {
	data, err := c.Shard.Fetch(ctx, path)
	if err == nil && strings.Contains(path, "entries") {
		data[len(data)-1] ^= 1
	}
	return data, err
}

// TestStatisticsFound: what lies about a month are told as, by whoever checks the totals and by a monitor.
func TestStatisticsFound(t *testing.T) {
	for _, c := range []struct {
		name string
		lie  func(t *statistics.Totals)
		want []string
	}{
		{"nothing", func(*statistics.Totals) {}, nil},
		{"an event more", func(t *statistics.Totals) { t.Bodies[0].Events++ }, []string{statistics.CodeSum}},
		{"an event fewer, in all", func(t *statistics.Totals) { t.Bodies[0].Events--; t.Events-- }, []string{statistics.CodeEvents}},
		{"a body left out", func(t *statistics.Totals) { t.Bodies = nil }, []string{statistics.CodeSum}},
		{"a line under ten", func(t *statistics.Totals) {
			t.Bodies = []statistics.Line{{ID: "c_a944", Events: 15}, {ID: "c_f205", Events: 7}, {ID: "c_h501", Events: 1}, {ID: "inps", Events: 20}}
			t.Others = nil
		}, []string{statistics.CodeFew, statistics.CodeFew}},
		{"a joined line alone", func(t *statistics.Totals) {
			t.Bodies = []statistics.Line{{ID: "c_a944", Events: 15}, {ID: "c_f205", Events: 27}}
			t.Others = &statistics.Joined{Bodies: 1, Events: 1}
		}, []string{statistics.CodeAlone}},
		{"a joined line of few", func(t *statistics.Totals) {
			t.Bodies = []statistics.Line{{ID: "c_a944", Events: 15}, {ID: "inps", Events: 20}}
			t.Others = &statistics.Joined{Bodies: 2, Events: 8}
		}, []string{statistics.CodeAlone}},
		{"more joined than need be", func(t *statistics.Totals) {
			t.Bodies = []statistics.Line{{ID: "c_a944", Events: 15}}
			t.Others = &statistics.Joined{Bodies: 2, Events: 28}
		}, []string{statistics.CodeJoined}},
		{"other leaves", func(t *statistics.Totals) { t.From++ }, []string{statistics.CodeSpan}},
		{"another month", func(t *statistics.Totals) { t.Month = "2026-12" }, []string{statistics.CodeSpan, statistics.CodeMissing}},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := twoYears(c.lie)
			r := totals(t, verifier.StatisticsConfig{Origin: first.Origin, Logs: []note.Verifier{first.Verifier()}, Year: logsOf(first, second)})
			var got []string
			for _, p := range r.Problems {
				got = append(got, p.Code)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
			var watched []string
			note := func(list []verifier.Finding) {
				for _, f := range list {
					if strings.HasPrefix(f.Code, "statistics") {
						watched = append(watched, f.Code)
					}
				}
			}
			w := newWatch(t, first, nil)
			if err := w.look(t, first.Now(), time.Time{}); err != nil {
				t.Fatal(err)
			}
			note(w.told)
			findings, second2 := watchYears(t, first, second)
			note(findings)
			if len(watched) == 0 != (len(c.want) == 0) || second2.Broken() != nil || !slices.Contains(append(watched, ""), append(c.want, "")[0]) {
				t.Errorf("the monitor found %v, want %v", watched, c.want)
			}
		})
	}
}

// TestMonthNotTold: a monitor misses the totals of a month two days after it.
func TestMonthNotTold(t *testing.T) {
	l := verifiertest.UsualShard(origin, 300*day)
	l.Head(304*day + 1)
	w := newWatch(t, l, nil)
	if err := w.look(t, l.Now(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, when := range []float64{306 * day, 306*day + 10, 307 * day} {
		l.Head(when)
		if err := w.look(t, l.Now(), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	missing := slices.DeleteFunc(w.alarms(), func(code string) bool { return code != statistics.CodeMissing })
	if len(missing) != 1 {
		t.Errorf("told %v", w.alarms())
	}
}

// BenchmarkStatistics reads a log of a million events for its months.
func BenchmarkStatistics(b *testing.B) {
	l, _ := busyLog(b, million)
	signer := verifiertest.NewLog(origin)
	signer.Add(l.leaves...)
	signed := signer.Checkpoint()
	c := verifier.StatisticsConfig{Origin: origin, Logs: []note.Verifier{signer.Verifier()}, Year: func(uint32) checkpoint.Fetcher { return signedLog{l, signed} }}
	for b.Loop() {
		r, err := verifier.Statistics(b.Context(), c)
		if err != nil || r.Logs[0].Events != million {
			b.Fatal(err)
		}
	}
	b.ReportMetric(million*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// signedLog shows a checkpoint beside a log's tiles.
type signedLog struct {
	*tiled
	signed []byte
}

func (l signedLog) Fetch(ctx context.Context, path string) ([]byte, error) {
	if path == verifier.CheckpointPath {
		return l.signed, nil
	}
	return l.tiled.Fetch(ctx, path)
}
