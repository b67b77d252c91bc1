// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/export"
)

// Codes of problems of what the operator hands over to the authority.
const (
	CodeSealedDay  = "day_not_opened"    // no key of the authority's opens the day key
	CodeSealedWrap = "wrap_not_opened"   // the day key doesn't open the wrap
	CodeSealedBody = "sealed_not_opened" // the wrap doesn't open what it is beside
	CodeSealedTags = "tags_not_opened"   // what the tags are made from isn't there
	CodeNotSealed  = "not_sealed"        // an export that isn't for an authority
)

// SealedOpener holds the authority's key. Each method fails with one of package export's errors. An event that opens is what its
// leaf commits to, and a private part what its digest says; with export.ErrSealedTags the event is there all the same. Event is
// called by several goroutines at a time, after all days.
type SealedOpener interface {
	Day(d *export.Day) bool // false: not with this key
	Event(s *export.Sealed, leaf []byte) (nonce [32]byte, body []byte, tags *export.Tags, err error)
	Private(p *export.Wrapped, digest ledger.Hash) (salt [32]byte, content []byte, err error)
}

// AuthorityConfig is what an authority opens an export with. Progress may be nil.
type AuthorityConfig struct {
	Policy    *checkpoint.Policy
	Rules     Rules
	Open      SealedOpener
	NewSorter func() (Sorter[AuditItem], error)
	Each      func(*ListedEvent) error // in the order of the logs, each event
	Progress  func(leaves int)         // each leaf is read twice
}

// AuthorityReport says what became of every event of a ledger.
type AuthorityReport struct {
	Manifest *export.Manifest // nil if it can't be read
	// Logs are the years, each as a list of all bodies' events: complete where each is opened and right, or erased on a
	// ground.
	Logs []*AgencyReport
	// Problems are of the folder and the logs themselves; those of events are with Logs.
	Problems []ledger.Problem
	Found    uint64
	Days     uint64 // day keys
	Live     uint64 // private parts that aren't handed over yet: a token in them may still be good
	ByTerm   uint64 // events erased when their term of retention was over
	ByAsking uint64 // and at their citizen's request
}

// Authority opens every event that the operator hands over in the folder of an export for the authority (docs/export.md),
// without the operator's help: each event leaf of each log is opened and held to every rule of docs/formats.md section 5, or
// erased on a ground that is checked; both tags recompute from the VRF's proofs, with numbers that have no gap and ascend
// with the log; a wrap that doesn't open what it is beside is a problem of its event. The folder and its logs are checked as
// Export does, and witnesses and a monitor of the policy have cosigned.
//
// It keeps, for each event that was erased and whose term isn't over, some 100 bytes; what else grows with the events goes
// into sorters. The error is the folder's, a sorter's or Each's; all that is wrong is in the report.
//
// What is proven is proven of the log that the witnesses saw, at the checkpoint in the folder. What isn't in it nobody can
// open.
func Authority(ctx context.Context, folder fs.FS, cfg AuthorityConfig) (*AuthorityReport, error) {
	policy := *cfg.Policy
	a := &authorityCheck{AuthorityConfig: cfg, policy: &policy, report: new(AuthorityReport), erased: map[[16]byte]erasedEvent{}, shards: map[uint32]*authorityLog{}}
	var logs []note.Verifier
	for _, l := range policy.Logs {
		v, err := checkpoint.ParseKey(l.VKey)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the policy: %w", err)
		}
		logs = append(logs, v)
	}
	c := &exportCheck{ctx: ctx, folder: folder, logs: logs, rules: cfg.Rules, progress: cfg.Progress, report: &ExportReport{}, authority: a}
	if c.progress == nil {
		c.progress = func(int) {}
	}
	a.export = c
	if err := c.run(); err != nil {
		return nil, err
	}
	r := a.report
	r.Manifest, r.Problems, r.Found = c.report.Manifest, c.report.Problems, c.report.Found
	return r, nil
}

// authorityCheck is one run of Authority.
type authorityCheck struct {
	AuthorityConfig
	export *exportCheck
	policy *checkpoint.Policy // with the keys that logs announced
	report *AuthorityReport
	logs   []*authorityLog
	shards map[uint32]*authorityLog
	terms  []term
	latest time.Time // cosignature
	// erased are the events that aren't opened and whose term isn't over, by the beginning of their subject tag.
	erased map[[16]byte]erasedEvent
}

// erasedEvent is an event whose content is gone, and the months in which it may have been recorded.
type erasedEvent struct {
	at          place
	first, last string
}

// trust takes the key that a year announced for the next.
func (a *authorityCheck) trust(vkey string) {
	a.policy.Logs = append(slices.Clone(a.policy.Logs), checkpoint.Log{VKey: vkey})
}

// add takes a log whose leaves were read, and checks who saw it.
func (a *authorityCheck) add(e *exportedLog, signed []byte) {
	l := &authorityLog{authorityCheck: a, exportedLog: e, report: &AgencyReport{Origin: e.cp.Origin}}
	a.logs, a.shards[e.entry.Epoch] = append(a.logs, l), l
	a.report.Logs = append(a.report.Logs, l.report)
	a.terms = append(a.terms, e.terms...)
	where := export.LogPath(e.entry.Epoch) + "/checkpoint"
	cosigned, err := a.policy.Open(signed)
	if err != nil && !errors.Is(err, checkpoint.ErrQuorum) {
		a.export.problem(CodeBadCheckpoint, where, "a checkpoint signed by a log of the policy", "one that isn't")
		return
	}
	if err != nil {
		a.export.problem(CodeTooFewWitnesses, where, fmt.Sprintf("cosignatures of %d of the policy's witnesses", a.policy.K), fmt.Sprint(len(cosigned.Witnesses)))
	} else if cosigned.Latest.After(a.latest) {
		a.latest = cosigned.Latest
	}
	if p := noMonitor(where, a.policy, cosigned); p != nil {
		a.export.problem(p.Code, p.Where, p.Expected, p.Found)
	}
	log := HistoryShard{Origin: e.cp.Origin, Size: e.cp.Size, Cosigned: cosigned.Latest, Witnesses: []string{}}
	for _, w := range cosigned.Witnesses {
		log.Witnesses = append(log.Witnesses, w.Witness)
	}
	for _, m := range cosigned.Monitors {
		log.Monitors = append(log.Monitors, m.Witness)
	}
	if heads := e.replay.Heads; len(heads) > 0 {
		last := heads[len(heads)-1]
		log.Head, log.Final = instantOf(last.UnixMS), last.Final
	}
	l.report.Log = log
}

// run opens the events of all logs.
func (a *authorityCheck) run() error {
	if !a.export.report.Manifest.Sealed {
		a.export.problem(CodeNotSealed, export.ManifestFile, "an export for the authority (ledgerd export --authority)", "another")
		return nil
	}
	if err := a.days(); err != nil {
		return err
	}
	for _, l := range a.logs {
		if err := l.open(); err != nil {
			return err
		}
	}
	a.withheld()
	for _, l := range a.logs {
		l.conclude()
	}
	return nil
}

// days opens the day keys.
func (a *authorityCheck) days() error {
	lines, err := a.export.lines(export.DaysFile)
	if err != nil {
		return err
	}
	defer lines.close()
	for !lines.ended && lines.more() {
		day, err := export.ParseDay(lines.scanner.Bytes())
		if err != nil {
			a.export.problem(CodeFileChanged, lines.where(), "a day key", "another line")
			continue
		}
		if a.report.Days++; !a.Open.Day(day) {
			a.export.problem(CodeSealedDay, lines.where(), "a day key wrapped to this authority for "+day.Origin+", "+day.Day, "one that its key doesn't open")
		}
	}
	return lines.failed()
}

// withheld tells of the events that nothing entitled the ledger not to show.
func (a *authorityCheck) withheld() {
	left := make([]erasedEvent, 0, len(a.erased))
	for _, e := range a.erased {
		left = append(left, e)
	}
	slices.SortFunc(left, func(x, y erasedEvent) int {
		return cmp.Or(cmp.Compare(x.at.epoch, y.at.epoch), cmp.Compare(x.at.index, y.at.index))
	})
	for _, e := range left {
		r := a.shards[e.at.epoch].report
		r.Erased--
		r.Withheld++
		a.shards[e.at.epoch].tell(e.at.index, *problem(CodeNotOpened, "body", "a body, or a ground for its erasure", "neither"))
	}
}
