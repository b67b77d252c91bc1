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
	c.note("The ledger has years before %d, which aren't in this file: the retention of what they recorded is over.", s.epoch)
}

// conclude says what all of it comes to.
func (c *historyCheck) conclude() {
	r := c.report
	for _, p := range r.Problems {
		r.Missing = append(r.Missing, Plain(p))
	}
	if len(r.Problems) == 0 && !r.Excerpt {
		last := c.shards[len(c.shards)-1]
		r.CompleteUntil = instantOf(last.headMS)
		r.Complete = !r.Stale
	}
	if r.Stale {
		p := *problem(CodeStale, "head", "a head at most 10 minutes older than the latest cosignature, and at most 48 hours old", "an older one")
		r.Problems, r.Missing = append(r.Problems, p), append(r.Missing, Plain(p))
	}
	if r.Excerpt {
		c.note("An excerpt proves that its events took place. It says nothing of others.")
	}
	if len(c.policy.Monitors) == 0 {
		c.note("Your policy names no monitor: nobody is known to have checked that the ledger built its index honestly.")
	}
	unchecked := 0
	for _, s := range r.Scopes {
		if s.Attested.IsZero() && s.Alarm.IsZero() && s.Scope[0] != '+' {
			unchecked++
		}
	}
	if unchecked > 0 {
		c.note("%d of the lists are declared, not checked: the party that keeps their numbers never attested that it compared its own records with the ledger.", unchecked)
	}
	c.decisions()
	c.note("That no key had been revoked, beside those shown, only who reads the whole log sees: monitors do.")
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
		c.note("On %d of the accesses nobody decided: no policies were active, and they were only recorded.", recorded)
	}
	for _, digest := range slices.Sorted(maps.Keys(missing)) {
		c.note("%d decisions weren't replayed: that the policies allowed or denied it is the ledger's word. The log serves those policies as blob/%s.", missing[digest], digest)
	}
}

// plainWords says what a code of a history means to a citizen.
var plainWords = map[string]string{
	CodeBadCheckpoint:        "The file doesn't come from a ledger that you trust, or was changed.",
	CodeTooFewWitnesses:      "Too few of the witnesses that you trust have seen this state of the ledger: another person may be shown another one.",
	CodeNoMonitor:            "None of the monitors that you trust has checked this state of the ledger.",
	CodeBadProof:             "What the file shows isn't proven to be in the ledger.",
	CodeHeadAhead:            "The ledger states a time that lies ahead of its witnesses' clocks.",
	CodeHeadClock:            "The ledger's clock went back.",
	CodeAfterFinal:           "The ledger went on after it had closed the year.",
	CodeNotFinal:             "A past year isn't shown up to its end.",
	CodeYearMissing:          "A year is left out.",
	CodePreviousLog:          "A year doesn't follow on the one before.",
	CodeWrongScopes:          "The lists in the file aren't all that the ledger says there are.",
	CodeNoVRFProof:           "A list is left out.",
	CodeBadVRFProof:          "A list was made with a wrong key: it isn't proven to be yours.",
	CodeDeferredOverdue:      "Accesses whose notice was deferred should be shown by now, and aren't.",
	CodeBadIndexProof:        "The proof that nothing is left out is wrong.",
	CodeNumberAbsent:         "An event with a number between others is left out.",
	CodeMoreEvents:           "A list has more events than the file shows.",
	ledger.CodeCountMismatch: "The file shows more or fewer events than its lists count.",
	CodeStrayEvent:           "The file shows an event that isn't in your lists.",
	CodeNotCovered:           "An event is shown as covered by a state of the ledger before it.",
	CodeNotAscending:         "Events are numbered in another order than the ledger's.",
	CodeLeafMissing:          "An event is numbered but not shown.",
	CodeWrongTag:             "An entry stands in place of one of your events and isn't one.",
	CodeOtherSubject:         "An event is explained with that of another person.",
	CodeOtherScope:           "An event is explained with that of another list.",
	CodeWrongRole:            "A receipt isn't signed by the side that has to.",
	CodeTwice:                "One receipt explains two events.",
	CodeNoHeads:              "It isn't shown between which states of the ledger an event lies.",
	CodeHeadsApart:           "States of the ledger around an event were left out: its time isn't proven.",
	CodeNoConsent:            "An access rests on a consent that you hadn't given, or had withdrawn.",
	CodeNoReceipt:            "A body states something of an access that isn't in your lists.",
	ledger.CodeNotParty:      "A body states something of an access that isn't its own.",
	"no_order":               "The notice of an access was put off without an order, or an order isn't where it belongs.",
	"bad_deferral":           "The notice of an access was put off for longer than the rules allow.",
	ledger.CodeDecision:      "A decision doesn't follow from the policies in force, or not from the facts.",
	CodeNotOpened:            "An event isn't shown, and nothing entitles the ledger to that.",
	CodeStale:                "STALE: the file shows an old state of the ledger. Ask for a new one.",
	ledger.CodeNamesSubject:  "A receipt has your code in it.",
	"commitment_mismatch":    "An event is explained with other content than the ledger recorded.",
	"subject_mismatch":       "A receipt isn't about you.",
	"bad_signature":          "A signature isn't good.",
	"key_unknown":            "A receipt is signed with a key that the ledger hadn't registered for its body.",
	"key_revoked":            "A receipt is signed with a key that had been revoked.",
	"before_head":            "An event is dated before the ledger recorded it.",
}

// Plain says a problem of a history in plain words.
func Plain(p ledger.Problem) string {
	words := plainWords[p.Code]
	if words == "" {
		words = "A rule of the ledger is broken (" + p.Code + ")."
	}
	return words + " [" + p.Where + ": expected " + p.Expected + ", found " + p.Found + "]"
}
