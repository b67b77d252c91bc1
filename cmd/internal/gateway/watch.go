// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"errors"
	"time"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

const (
	watchPause = 5 * time.Second
	// WitnessPatience is how long an acknowledged checkpoint may wait for one that
	// contains it and that the policy's witnesses cosigned.
	WitnessPatience = 10 * time.Minute
	alarmPause      = 10 * time.Minute // between two lines about one that lasts
)

func (g *Gateway) watch() {
	var err error
	if g.memory.IsEldest() { // it does this for all instances
		if err := g.memory.Sweep(); err != nil {
			g.log.Error("couldn't forget tokens", "error", err)
		}
		err = g.recorder.watch(g.ctx)
	}
	if errors.Is(err, checkpoint.ErrFork) {
		g.metrics.fork.Set(1)
		g.log.Error("the ledger showed this gateway another log than its witnesses: keep the memory as it is", "error", err)
	} else if err != nil && g.ctx.Err() == nil {
		g.log.Warn("couldn't compare acknowledged checkpoints with what witnesses have seen", "error", err)
	}
	if err := g.alarms(time.Now()); err != nil {
		g.log.Error("couldn't read the memory", "error", err)
	}
}

// alarms tells of what an operator has to look into: checkpoints that go
// unwitnessed, so that whoever reads the public log may never be shown what was
// released under them, and numbers that the ledger left out.
func (g *Gateway) alarms(now time.Time) error {
	s, err := g.memory.Status()
	if err != nil {
		return err
	}
	waits := now.Sub(s.Waiting)
	if g.waiting.due(!s.Waiting.IsZero() && waits > WitnessPatience, now) {
		g.log.Error("ALARM: witnesses haven't seen what the ledger acknowledged", "since", s.Waiting.UTC().Format(time.RFC3339), "minutes", int(waits.Minutes()))
	}
	if g.missing.due(s.Missing > 0, now) {
		g.log.Error("ALARM: the ledger left out numbers of persons' events: it may have recorded events that this gateway doesn't know", "numbers", s.Missing)
	}
	if g.lacking.due(s.Lacking > 0, now) {
		g.log.Error("ALARM: answers were released by break-glass whose receipts the ledger refuses, or that are gone", "receipts", s.Lacking)
	}
	return nil
}

// alarm is told when it begins, and again while it lasts. One goroutine uses it.
type alarm struct{ told time.Time }

func (a *alarm) due(on bool, now time.Time) bool {
	if !on {
		a.told = time.Time{}
		return false
	}
	if now.Sub(a.told) < alarmPause {
		return false
	}
	a.told = now
	return true
}
