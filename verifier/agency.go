// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/opened"
)

// Codes of problems of agencies' lists, beside those of histories, of provider's checks and of packages ledger and opened.
const (
	CodeOtherList   = "other_list"       // a part of another body's list, or of another year's
	CodeOtherAgency = "other_agency"     // a body of another agency's event
	CodeNotItsOwn   = "not_its_own"      // an entry in the body's list that it wasn't answered with
	CodeListGoesOn  = "list_goes_on"     // the file ends before the list
	CodePrivate     = "private_mismatch" // a private part that the event's receipt doesn't commit to, or that is none
)

// MaxListed is how many problems, and how many entries that a body didn't make, a report holds; it counts the others.
const MaxListed = 1000

// AgencyConfig is what a body's list is judged by.
type AgencyConfig struct {
	Policy *checkpoint.Policy
	Now    time.Time
	// Policies are those of Rules, and asked for by several goroutines; nil: no decision is replayed.
	Policies func(digest ledger.Hash) ledger.Bundle
	// ProofsOnly says that the reader asked for no content: then nothing is wrong with events that aren't opened, and
	// nothing is said of what they hold.
	ProofsOnly bool
	// Seen gives the log indexes that the body's own calls were answered with in the log of an origin, ascending, each
	// once; nil: not compared. AllSeen says that they are all, its own look-ups included: then an event that isn't among
	// them isn't the body's.
	Seen    func(origin string) []uint64
	AllSeen bool
	// Each, when set, is given every event in the order of the list, when it was judged by itself; an error ends the check.
	Each func(*ListedEvent) error
}

// AgencyReport says what a body's list proves.
type AgencyReport struct {
	// Malformed is set when the file isn't such a list at all, or is one up to a place.
	Malformed *ledger.Problem

	Agency, Origin string
	// Complete says that no number is missing up to CompleteUntil, that every event stands by every rule, and that this
	// isn't stale: not that every event is the body's own, which Foreign tells.
	Complete      bool
	CompleteUntil time.Time // the instant of the last part's head; zero unless every rule holds
	Stale         bool
	Parts         int
	Events        uint64 // numbers 0 … Events−1
	Open          uint64 // of these: opened, and right by every rule
	Erased        uint64 // not opened, on a ground that was checked
	Withheld      uint64 // not opened, without such a ground
	Unexplained   uint64 // breaking a rule
	Paired        uint64 // accesses that both sides signed, a receipt each
	ByHolder      uint64 // accesses that the holder's side alone signed
	Reported      uint64 // accesses that the body alone signed
	Compared      uint64 // of the body's own entries: found in the list
	Later         uint64 // of the body's own entries: of after the list's head, which says nothing of them
	Foreign       uint64 // entries in the body's name that it wasn't answered with
	ForeignEvents []AgencyEvent
	Log           HistoryShard // of the last part
	Problems      []ledger.Problem
	Found         uint64 // problems, those beyond MaxListed included
	// Missing says each problem in plain words; Notes what isn't proven, though nothing is wrong.
	Missing []string
	Notes   []string
}

// AgencyEvent is one event of a list, without its citizen.
type AgencyEvent struct {
	Number     uint64 `json:"number"`
	Index      uint64 `json:"index"`
	State      string `json:"state"`
	Kind       string `json:"kind,omitempty"`
	RecordedAt string `json:"recorded_at,omitempty"`
	OccurredAt string `json:"occurred_at,omitempty"`
	Issuer     string `json:"issuer,omitempty"` // who signed
	Provider   string `json:"provider,omitempty"`
	Purpose    string `json:"purpose,omitempty"`
}

// Proven reports whether nothing is wrong and nothing missing.
func (r *AgencyReport) Proven() bool { return r.Malformed == nil && r.Found == 0 && r.Complete }

// ListedEvent is an event of a list as it stands for itself. That its receipt occurs twice, or that its erasure has a ground,
// only the end of the list tells: State may change until then.
type ListedEvent struct {
	AgencyEvent
	Epoch      uint32
	Commitment ledger.Hash
	Opened     *opened.Event // nil unless its body could be read
	Attributes []string      // of the agency in PDND, as its record before the event states them
	// What the log's records call the agency, and the provider.
	Name, ProviderName string
	Private            *ledger.Private // of its receipt, which commits to it; nil where it isn't in the file
	Faults             []ledger.Problem
	Seed               *[32]byte // the private part's salt: unknown to who hasn't the file
}

// Agency checks the list of a body's events in one year (docs/agency-list.md) by docs/formats.md section 5: what a
// history's list is by k_s, this one is by k_a. It reads a list of any length, part by part, a few of them at a time, and
// keeps some 80 bytes an event. The error is the file's own, or Each's; all that is wrong with what it holds is in the report.
//
// It can't see the consents that events rest on, nor records that the ledger left out of the file. A
// false agency tag, on an event that the ledger keeps out of the body's list, shows only where Seen has its index.
func Agency(file io.Reader, cfg AgencyConfig) (*AgencyReport, error) {
	c := &agencyCheck{AgencyConfig: cfg, report: new(AgencyReport), notes: map[string]bool{}}
	stop := make(chan struct{})
	defer close(stop)
	for judged := range c.judgeAhead(file, stop) {
		p := <-judged
		switch {
		case p.err != nil:
			return nil, fmt.Errorf("couldn't read the list: %w", p.err)
		case p.malformed != nil:
			p.malformed.Where = fmt.Sprintf("part/%d%s", c.report.Parts, p.malformed.Where)
			c.report.Malformed = p.malformed
			c.conclude()
			return c.report, nil
		}
		ok, err := c.follow(p)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
	}
	c.conclude()
	return c.report, nil
}

// judgeAhead judges the parts of a file, as many at a time as there are processors, and gives them in their order. The last
// one may be what couldn't be read.
func (c *agencyCheck) judgeAhead(file io.Reader, stop <-chan struct{}) <-chan chan *judgedPart {
	ahead := make(chan chan *judgedPart, runtime.GOMAXPROCS(0))
	go func() {
		defer close(ahead)
		parts := history.NewAgencyReader(file)
		for n := 0; ; n++ {
			text, err := parts.NextDocument()
			if errors.Is(err, io.EOF) {
				return
			}
			done := make(chan *judgedPart, 1)
			select {
			case ahead <- done:
			case <-stop:
				return
			}
			if err != nil {
				done <- unreadable(err)
				return
			}
			go func() {
				p, err := history.ParseAgencyDocument(text)
				if err != nil {
					done <- unreadable(err)
					return
				}
				done <- c.judgePart(n, p)
			}()
		}
	}()
	return ahead
}

func unreadable(err error) *judgedPart {
	var malformed *ledger.Problem
	switch {
	case errors.Is(err, history.ErrCut):
		return &judgedPart{malformed: problem(ledger.CodeSyntax, "", "whole parts", "the beginning of one, at the end")}
	case errors.As(err, &malformed):
		return &judgedPart{malformed: malformed}
	}
	return &judgedPart{err: err}
}

// agencyCheck is one run of Agency.
type agencyCheck struct {
	AgencyConfig
	report     *AgencyReport
	unreplayed uint64 // decisions by policies that aren't at hand
	broken     bool   // what follows a part that isn't one's own list can't be judged
	ended      bool   // the last part's next number is absent
	last       uint64
	any        bool // last is an event's index
	head       uint64
	headMS     uint64
	size       uint64
	root       ledger.Hash
	preamble   ledger.Preamble
	calls      []uint64 // what Seen gave
	seen       int      // of calls, those before the last event
	once       []onceEntry
	pairs      pairing
	unopened   []unopenedEvent
	requests   []request
	notes      map[string]bool
}

type onceEntry struct {
	id     [16]byte
	number uint64
}

func (c *agencyCheck) add(p ledger.Problem) {
	c.report.Found++
	if len(c.report.Problems) < MaxListed {
		c.report.Problems = append(c.report.Problems, p)
	}
}

func (c *agencyCheck) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !c.notes[text] {
		c.notes[text] = true
		c.report.Notes = append(c.report.Notes, text)
	}
}

// conclude says what all of it comes to.
func (c *agencyCheck) conclude() {
	r := c.report
	if r.Malformed == nil && r.Parts == 0 && r.Found == 0 {
		r.Malformed = problem(ledger.CodeMissing, "", "at least one part", "an empty file")
	}
	if r.Malformed == nil && !c.broken && !c.ended {
		c.add(*problem(CodeListGoesOn, fmt.Sprintf("events/%d", r.Events), "no event with this number", "one, which the file doesn't have"))
	}
	c.repeated()
	c.unpaired()
	c.erasures()
	if !c.broken && r.Malformed == nil {
		end := c.head + 1 // where the head is, no entry of anybody's can be
		if !c.ended {
			end = c.last
		}
		c.compare(end)
		r.Later = uint64(len(c.calls) - c.seen)
	}
	if r.Stale {
		c.add(*problem(CodeStale, "head", "a head at most 10 minutes older than the latest cosignature, and at most 48 hours old", "an older one"))
	}
	// An entry too many leaves nothing out.
	missing := r.Found - r.Foreign
	if r.Malformed == nil && (missing == 0 || missing == 1 && r.Stale) {
		r.CompleteUntil = instantOf(c.headMS)
		r.Complete = missing == 0
	}
	if r.Foreign > 0 {
		r.Missing = append(r.Missing, fmt.Sprintf("%d entries in your name that you did not make.", r.Foreign))
	}
	for _, p := range r.Problems {
		if p.Code != CodeNotItsOwn {
			r.Missing = append(r.Missing, plainAgency(p))
		}
	}
	if more := r.Found - uint64(len(r.Problems)); more > 0 {
		r.Missing = append(r.Missing, fmt.Sprintf("And %d more problems.", more))
	}
	c.conclusions()
}

func (c *agencyCheck) conclusions() {
	r := c.report
	if r.Later > 0 {
		c.note("%d of the entries that you were answered with are later than the list: ask for its continuation.", r.Later)
	}
	if c.Seen == nil {
		c.note("Without the entries that your own calls were answered with (--seen), an access that the ledger hid under another tag can't be noticed.")
	} else if !c.AllSeen {
		c.note("Entries in your name that you didn't make weren't looked for: that takes all of the answers you got (--seen-is-all).")
	}
	if c.ProofsOnly && r.Withheld > 0 {
		c.note("Of %d events nothing was opened: that they are numbered and in the log is proven, what they hold is not.", r.Withheld)
	}
	if r.Open > 0 {
		c.note("Consents that events rest on weren't looked up: they are in their citizens' lists.")
	}
	if c.unreplayed > 0 {
		c.note("%d decisions weren't replayed: that the policies allowed or denied it is the ledger's word.", c.unreplayed)
	}
	c.note("That no key had been revoked, beside those shown, only who reads the whole log sees: monitors do.")
}

// repeated finds receipts that were recorded twice for a citizen.
func (c *agencyCheck) repeated() {
	slices.SortFunc(c.once, func(a, b onceEntry) int {
		return cmp.Or(slices.Compare(a.id[:], b.id[:]), cmp.Compare(a.number, b.number))
	})
	for i := range c.once {
		if i > 0 && c.once[i].id == c.once[i-1].id {
			c.report.Open--
			c.report.Unexplained++
			c.add(*problem(CodeTwice, fmt.Sprintf("events/%d/receipt#jti", c.once[i].number), "a receipt once for a citizen",
				fmt.Sprintf("one that number %d has", c.once[i-1].number)))
		}
	}
}

// compare tells of the body's own entries before an index that weren't met in the list.
func (c *agencyCheck) compare(before uint64) {
	for ; c.seen < len(c.calls) && c.calls[c.seen] < before; c.seen++ {
		c.add(*problem(CodeNotListed, fmt.Sprintf("seen/%d", c.calls[c.seen]), "the entry in your list", "none"))
	}
}

// match says whether an event of the list is among the body's own entries; those before it that weren't are missing.
func (c *agencyCheck) match(index uint64) bool {
	c.compare(index)
	if c.seen < len(c.calls) && c.calls[c.seen] == index {
		c.report.Compared++
		c.seen++
		return true
	}
	return false
}

// agencyWords says what a code means to a body, where that isn't what it means to a citizen.
var agencyWords = map[string]string{
	CodeNumberGap:           "Some of your events are left out: the parts of the file don't go on one where the other ended.",
	CodeOtherList:           "A part of the file is of another list.",
	CodeOtherAgency:         "An event in your list is explained with that of another body.",
	CodeNotListed:           "An access of yours isn't in your list, though the ledger acknowledged it.",
	CodeListGoesOn:          "The file ends before your list does: fetch the rest.",
	CodeFork:                "Two parts of the file show two different logs: the ledger keeps two histories. Keep the file as evidence.",
	CodeLeafMissing:         "A number of your list leads to another entry than the file shows.",
	CodeTwice:               "One receipt explains two events of the same citizen.",
	CodeStale:               "STALE: the file shows an old state of the ledger. Fetch its continuation.",
	CodeNotOpened:           "An event isn't shown, and nothing that you can check entitles the ledger to that: a citizen's request for erasure isn't yours to see, unless you recorded it.",
	"subject_mismatch":      "A receipt isn't about the citizen of its event.",
	ledger.CodeNamesSubject: "A receipt has a citizen's code in it.",
}

// plainAgency says a problem of a body's list in plain words.
func plainAgency(p ledger.Problem) string {
	words := agencyWords[p.Code]
	if words == "" {
		words = Plain(p).En
	}
	return words + exactly(p)
}
