// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"slices"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// TestMonitorClock: what one who looks while a log grows finds by the clock.
// Each step adds to the log, and is then looked at.
func TestMonitorClock(t *testing.T) {
	type step struct {
		seconds float64
		add     func(*verifiertest.Shard)
	}
	nothing := func(*verifiertest.Shard) {}
	event := func(l *verifiertest.Shard) { l.Event(1) }
	head := func(seconds float64) func(*verifiertest.Shard) {
		return func(l *verifiertest.Shard) { l.Head(seconds) }
	}
	for _, c := range []struct {
		name  string
		steps []step
		want  []string
		ahead bool
	}{
		{"in time", []step{{5, event}, {34, head(33)}, {35, event}, {64, head(64)}, {300, nothing}, {362, head(361)}}, nil, false},
		{"no head after an event", []step{{5, event}, {60, event}, {80, nothing}, {81, nothing}, {200, nothing}}, []string{
			"alarm head_late leaf 5: expected a head within 60 s of the event, found none at 2026-01-01T00:01:21.000Z, 1m16s after it was seen",
		}, false},
		{"a late head", []step{{5, event}, {70, head(66)}, {71, event}, {90, head(89)}}, []string{
			"alarm head_late leaf 5: expected a head within 60 s of the event, which was there at 2026-01-01T00:00:05.000Z, found 2026-01-01T00:01:06.000Z",
		}, false},
		{"late again", []step{{5, event}, {90, nothing}, {95, head(94)}, {100, event}, {190, nothing}}, []string{"alarm head_late leaf 5: ", "alarm head_late leaf 7: "}, false},
		{"frozen", []step{{5, nothing}, {315, nothing}, {316, nothing}, {700, nothing}}, []string{
			"alarm head_gap leaf 4: expected another head within 5 minutes of 2026-01-01T00:00:00.000Z, found none at 2026-01-01T00:05:16.000Z",
		}, false},
		{"frozen twice", []step{{5, nothing}, {320, nothing}, {330, head(329)}, {650, nothing}}, []string{
			"alarm head_gap leaf 4: ", "alarm head_gap leaf 5: expected a head at most 5 minutes after", "alarm head_gap leaf 5: expected another head",
		}, false},
		{"closed", []step{{5, func(l *verifiertest.Shard) { l.Close(verifiertest.NewShard("registro.example/2027"), 4) }}, {1000, nothing}}, nil, false},
		{"a clock ahead", []step{{5, nothing}, {30, head(91)}}, []string{
			"alarm clock_ahead leaf 5: expected a head at most 60 s later than the monitor's clock, 2026-01-01T00:00:30.000Z, found 2026-01-01T00:01:31.000Z",
		}, true},
		{"a clock ahead that time catches up with", []step{{5, nothing}, {30, head(91)}, {32, nothing}}, []string{"alarm clock_ahead leaf 5: "}, false},
		{"a clock at the edge", []step{{5, nothing}, {30, head(90)}, {31, nothing}}, nil, false},
		{"dated back", []step{{5, nothing}, {100, nothing}, {130, head(39)}}, []string{
			"alarm clock_behind leaf 5: expected a head of 2026-01-01T00:00:40.000Z or later, since there was none at 2026-01-01T00:01:40.000Z, found 2026-01-01T00:00:39.000Z",
		}, false},
		{"the past of a log first seen", []step{{1e6, func(l *verifiertest.Shard) { l.Event(5); l.Head(100); l.Head(1e6 - 5) }}}, []string{"alarm head_gap leaf 11: expected a head at most"}, false},
		{"a clock that stepped back here", []step{{100, head(99)}, {50, event}, {120, head(119)}, {130, event}}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := usual()
			w := newWatch(t, l, nil)
			var last time.Time
			for _, s := range c.steps {
				s.add(l)
				last = at(s.seconds)
				if err := w.look(t, l.Now(), last); err != nil {
					t.Fatal(err)
				}
			}
			findings := slices.DeleteFunc(slices.Clone(w.told), func(f verifier.Finding) bool { return f.Level == verifier.LevelNotice })
			told(t, findings, c.want)
			if w.Broken() != nil || w.Ahead(last) != c.ahead {
				t.Errorf("broken %v, ahead %t", w.Broken(), w.Ahead(last))
			}
		})
	}
}

// TestMonitorClockResumes: what waits at the end of a run is judged by the next.
func TestMonitorClockResumes(t *testing.T) {
	l := usual()
	l.Event(1)
	w := newWatch(t, l, nil)
	if err := w.look(t, l.Now(), at(10)); err != nil {
		t.Fatal(err)
	}
	again := newWatch(t, l, nil)
	if err := again.Resume(l.Now(), inOrder(w.kept), uint64(len(w.kept)), at(10)); err != nil {
		t.Fatal(err)
	}
	l.Head(71)
	again.kept = w.kept
	if err := again.look(t, l.Now(), at(72)); err != nil {
		t.Fatal(err)
	}
	told(t, again.told, []string{"alarm head_late leaf 5: expected a head within 60 s of the event, which was there at 2026-01-01T00:00:10.000Z, found "})
}

func TestParseAnnounced(t *testing.T) {
	digest := "5f0c3e5f0c3e5f0c3e5f0c3e5f0c3e5f0c3e5f0c3e5f0c3e5f0c3e5f0c3e5f0c"
	for _, good := range []string{"", "# nothing\n", "record " + digest, "\trecord " + digest + " \r\n\nkey c_a944 NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\n"} {
		if _, err := verifier.ParseAnnounced([]byte(good)); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"records " + digest, "record", "record " + digest[1:], "record " + digest + "00", "record 5F" + digest[2:], "record " + digest + " x", "key c_a944", "key C_A944 NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "key c_a944 Nzb", digest} {
		if _, err := verifier.ParseAnnounced([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
