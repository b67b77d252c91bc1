// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// years checks that the years of a bundle follow on each other.
func (c *historyCheck) years() {
	for i, s := range c.shards {
		if i == 0 {
			if s.preamble.PreviousSize > 0 && !c.bundle.Excerpt {
				c.begins(s)
			}
			continue
		}
		if c.bundle.Excerpt {
			continue
		}
		before := c.shards[i-1]
		switch {
		case before.epoch+1 != s.epoch:
			c.add(problem(CodeYearMissing, s.at("origin"), fmt.Sprintf("%d before it", s.epoch-1), fmt.Sprint(before.epoch)))
		case !before.final:
			c.add(problem(CodeNotFinal, before.at("head"), "the year's final head, the last leaf of its log", "another"))
		case s.preamble.PreviousSize != before.cosigned.Size || s.preamble.PreviousRoot != before.cosigned.Root:
			c.add(problem(CodePreviousLog, s.at("leaves/0"), "a preamble that follows on "+before.Origin, "one that follows on another log"))
		}
	}
}

// begins judges whether the years before a file's first may be left out: a year is shown until the retention of what came
// at its end is over (docs/formats.md §7).
func (c *historyCheck) begins(s *historyShard) {
	months := 0
	if len(s.terms) > 0 {
		months = s.terms[0].months // in force at the end of the year before, and repeated
	}
	until := time.Date(int(s.epoch), time.January+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	if months == 0 || s.cosigned.Latest.Before(until) {
		expected := fmt.Sprintf("%d too", s.epoch-1)
		if months > 0 {
			expected += ", which is to be shown until " + instantText(until) + " at least"
		}
		c.add(problem(CodeYearMissing, s.at("origin"), expected, "none before it"))
		return
	}
	c.note(noteYearsBefore, s.epoch)
}

// conclude says what all of it comes to.
func (c *historyCheck) conclude() {
	r := c.report
	if len(r.Problems) == 0 && !r.Excerpt {
		last := c.shards[len(c.shards)-1]
		r.CompleteUntil = instantOf(last.headMS)
		r.Complete = !r.Stale
	}
	if r.Stale {
		p := *problem(CodeStale, "head", "a head at most 10 minutes older than the latest cosignature, and at most 48 hours old", "an older one")
		r.Problems = append(r.Problems, p)
	}
	if r.Excerpt {
		c.note(noteExcerpt)
	}
	unchecked := 0
	for _, s := range r.Scopes {
		if s.Attested.IsZero() && s.Alarm.IsZero() && s.Scope[0] != '+' {
			unchecked++
		}
	}
	if unchecked > 0 {
		c.note(noteDeclared, unchecked)
	}
	c.decisions()
	c.note(noteRevoked)
	c.note(notePurpose)
}

// decisions notes of which accesses nobody decided, and of which the decision wasn't replayed.
func (c *historyCheck) decisions() {
	recorded, missing := 0, map[string]int{}
	for _, e := range c.report.Events {
		switch {
		case e.State != StateOpen || e.Effect == "":
		case e.Effect == ledger.EffectRecorded:
			recorded++
		case !e.Replayed:
			missing[e.Bundle]++
		}
	}
	if recorded > 0 {
		c.note(noteRecorded, recorded)
	}
	for _, digest := range slices.Sorted(maps.Keys(missing)) {
		c.note(noteUnreplayed, missing[digest], digest)
	}
}
