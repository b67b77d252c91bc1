// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// Steps in which a history is checked, in their order. Each rests on those before it.
const (
	StepFile      = "file"      // it is a history, in its one spelling
	StepLog       = "log"       // each year's state of the log is signed by a key that the policy trusts
	StepWitnesses = "witnesses" // and cosigned by as many witnesses as the policy asks for, and by a monitor
	StepLeaves    = "leaves"    // what the file shows is in the log in that state
	StepTime      = "time"      // the state is fresh, and the years follow on each other
	StepLists     = "lists"     // the lists are all that there are, and the citizen's
	StepComplete  = "complete"  // no event is left out of them
	StepEvents    = "events"    // each event is explained by every rule, or erased on a ground
)

var historySteps = []string{StepFile, StepLog, StepWitnesses, StepLeaves, StepTime, StepLists, StepComplete, StepEvents}

// StepNames are the steps of a history's check, in their order.
func StepNames() []string { return slices.Clone(historySteps) }

// What became of a step.
const (
	StepOK      = "ok"
	StepFailed  = "failed"
	StepUnknown = "unknown" // what it rests on failed, so that it couldn't be done of all years
	StepNone    = "none"    // an excerpt has nothing of it
)

// HistoryStep is what one step came to.
type HistoryStep struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	Problems []int  `json:"problems,omitempty"` // indexes of the report's
}

var stepsOfCodes = map[string]string{
	CodeBadCheckpoint: StepLog, CodeWrongOrigin: StepLog, CodeOtherLedger: StepLog, ledger.CodeBadName: StepLog,
	CodeTooFewWitnesses: StepWitnesses, CodeNoMonitor: StepWitnesses,
	CodeBadProof: StepLeaves, CodeMalformedLeaf: StepLeaves, CodeWrongEpoch: StepLeaves, CodeNoPreamble: StepLeaves,
	CodeNoHead: StepTime, CodeHeadAhead: StepTime, CodeHeadClock: StepTime, CodeAfterFinal: StepTime, CodeNotFinal: StepTime,
	CodeYearMissing: StepTime, CodePreviousLog: StepTime, CodeStale: StepTime,
	CodeWrongScopes: StepLists, ledger.CodeCountMismatch: StepLists, CodeNoVRFProof: StepLists, CodeBadVRFProof: StepLists, CodeDeferredOverdue: StepLists,
	CodeBadIndexProof: StepComplete, CodeNumberAbsent: StepComplete, CodeMoreEvents: StepComplete, CodeStrayEvent: StepComplete,
}

// Of these an event is found guilty, and yet it is the list that isn't whole.
var stepsOfEvents = map[string]string{
	CodeLeafMissing: StepComplete, CodeWrongTag: StepComplete, CodeNotCovered: StepComplete, CodeNotAscending: StepComplete,
}

// stepOf is the step that a problem belongs to.
func stepOf(p ledger.Problem) string {
	steps := stepsOfCodes
	if strings.Count(p.Where, "/") > 2 && strings.Contains(p.Where, "/events/") {
		steps = stepsOfEvents
	}
	if step, ok := steps[p.Code]; ok {
		return step
	}
	return StepEvents
}

// Steps says what became of each step, in their order.
func (r *HistoryReport) Steps() []HistoryStep {
	list := make([]HistoryStep, len(historySteps))
	failed := false
	for i, name := range historySteps {
		list[i] = HistoryStep{Name: name, State: StepOK}
		for n, p := range r.Problems {
			if stepOf(p) == name {
				list[i].State, list[i].Problems = StepFailed, append(list[i].Problems, n)
			}
		}
		switch {
		case list[i].State == StepFailed:
		case name == StepFile && r.Malformed != nil:
			list[i].State = StepFailed
		case r.Excerpt && (name == StepTime || name == StepLists || name == StepComplete):
			list[i].State = StepNone
		case failed && (r.Malformed != nil || r.done[name] < r.years):
			list[i].State = StepUnknown
		}
		failed = failed || list[i].State == StepFailed
	}
	return list
}

// pass notes that a step was done of one year.
func (c *historyCheck) pass(step string) {
	if c.report.done == nil {
		c.report.done = map[string]int{}
	}
	c.report.done[step]++
}

// progress tells the reader how far a step is.
func (c *historyCheck) progress(step string, done, of int) {
	if c.rules.Progress != nil {
		c.rules.Progress(step, done, of)
	}
}
