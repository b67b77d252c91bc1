// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
)

// Level says how much a finding matters.
type Level string

// Levels.
const (
	// LevelNotice is worth knowing: something new that owners can confirm.
	LevelNotice Level = "notice"
	// LevelAlarm breaks a rule, while the heads are still right.
	LevelAlarm Level = "alarm"
	// LevelBroken is what nothing later mends: histories proven under this log
	// may hide something. A monitor cosigns it no more.
	LevelBroken Level = "broken"
)

// Codes of a Monitor's findings, beside those of Log and of package replay.
const (
	CodeWrongHead      = "wrong_head"          // keys, index root or scopes aren't what the leaves give
	CodeClockBack      = "clock_back"          // unix_ms doesn't grow
	CodeVRFKey         = "bad_vrf_key"         // in the preamble
	CodeRecordRefused  = "record_refused"      // by the rules of its kind; it changes nothing
	CodeClockAhead     = "clock_ahead"         // a head more than 60 s later than the monitor's clock
	CodeClockBehind    = "clock_behind"        // a new head more than 60 s earlier than the last look, which didn't show it
	CodeHeadLate       = "head_late"           // no head within 60 s of an event
	CodeHeadGap        = "head_gap"            // more than 5 minutes without a head
	CodePolicyMissing  = "policy_missing"      // the log doesn't serve the policies that a record activates
	CodeProviderAlarm  = "provider_alarm"      // a scope's party signed that its records and the log don't agree
	CodeSessionMissing = "break_glass_missing" // a session closed with fewer receipts recorded than it had
	CodeSessionOpen    = "break_glass_open"    // a session without its end, a day after its time
	CodeNotRepeated    = "not_repeated"        // a record in force in the shard before, or their order
	CodeNoLogKey       = "no_log_key"          // a final head without the next shard's key before it
	// Notices.
	CodeRecordUnread = "record_unread" // well formed, without the members of its kind; it changes nothing
	CodeUnseenYear   = "unseen_year"   // a shard before that the monitor didn't see
	CodeNewKey       = "new_key"
	CodeBreakGlass   = "break_glass" // a session opened or closed
	CodeKeyRevoked   = "key_revoked"
	CodeNewScope     = "new_scope"
	CodeNewPolicy    = "new_policy"
	CodeNewBuild     = "new_build" // of the verifier that browsers run
	CodeNewLogKey    = "new_log_key"
	// Alarms, where it is known what was announced.
	CodeUnannouncedKey    = "unannounced_key"
	CodeUnannouncedScope  = "unannounced_scope"
	CodeUnannouncedPolicy = "unannounced_policy"
	CodeUnannouncedBuild  = "unannounced_build"
	CodeUnannouncedLogKey = "unannounced_log_key"
)

// passing are the codes that say something of an instant: they are told once. All
// other alarms are told in every run, for as long as they hold.
var passing = []string{CodeClockAhead, CodeClockBehind, CodeHeadLate, CodeHeadGap, CodeRollback, CodeBadSignature}

// Finding is what a Monitor found in a log.
//
//	{"level":"broken","code":"wrong_head","where":"leaf 812","expected":"1400 keys","found":"1398 keys"}
type Finding struct {
	Level Level `json:"level"`
	ledger.Problem
}

// maxFindings bounds the findings of one kind that are kept and told.
const maxFindings = 1000

// findings are the first ones of a kind.
type findings struct {
	list []Finding
	more uint64
}

func (f *findings) add(found Finding) (kept bool) {
	if len(f.list) == maxFindings {
		f.more++
		return false
	}
	f.list = append(f.list, found)
	return true
}

// tell keeps a finding, and says it unless a run before has.
func (m *Monitor) tell(level Level, p *ledger.Problem) {
	f := Finding{level, *p}
	if level == LevelBroken && m.broken == nil {
		m.broken = &f
	}
	if m.resuming && (level == LevelNotice || slices.Contains(passing, p.Code)) {
		return
	}
	kind := &m.alarms
	if level == LevelNotice {
		kind = &m.notices
	}
	if kind.add(f) && !m.resuming {
		m.found(f)
	}
}

func leafAt(index uint64) string { return fmt.Sprintf("leaf %d", index) }
