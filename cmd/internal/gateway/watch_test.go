// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestUnwitnessed: ten minutes after an answer that no witness has seen there is an alarm, and none once they have.
func TestUnwitnessed(t *testing.T) {
	f := newFixture(t)
	if g := f.post("/persona", `{"cf":"`+string(f.person(1))+`"}`); g.status != 200 {
		t.Fatalf("%d %+v", g.status, g.problem)
	}
	var lines bytes.Buffer
	g := &Gateway{memory: f.memory, log: slog.New(slog.NewTextHandler(&lines, nil))}
	tell := func(after time.Duration, want int) {
		t.Helper()
		if err := g.alarms(time.Now().Add(after)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(lines.String(), "ALARM"); got != want {
			t.Errorf("%d alarms after %s, expected %d:\n%s", got, after, want, &lines)
		}
	}
	tell(9*time.Minute, 0)
	tell(11*time.Minute, 1)
	tell(12*time.Minute, 1)
	tell(22*time.Minute, 2)
	f.cosigned.Store(true)
	f.eventually("seen by the witness", func() bool {
		s, err := f.memory.Status()
		return err == nil && s.Waiting.IsZero()
	})
	tell(time.Hour, 2)
}

// TestAlarms: told once, and again while it lasts.
func TestAlarms(t *testing.T) {
	var a alarm
	now := time.Now()
	for i, step := range []struct {
		on    bool
		after time.Duration
		want  bool
	}{{false, 0, false}, {true, 0, true}, {true, time.Minute, false}, {true, alarmPause, true}, {false, alarmPause, false}, {true, alarmPause, true}} {
		if got := a.due(step.on, now.Add(step.after)); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}
