// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"iter"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Codes of what Reconcile finds, beside those of its parsers.
const (
	CodeMissingInLedger  = "missing_in_ledger"  // a call, or requests that were filed, without a receipt
	CodeMissingAtGateway = "missing_at_gateway" // a receipt, or requests that were filed, without a call
	CodeMissingInTracing = "missing_in_tracing" // calls, or receipts, that weren't filed with PDND
	CodeDiffers          = "differs"            // there on both sides, and not the same
	CodeRepeatedCall     = "repeated_call"      // one receipt shown by two calls
	CodeNotAcknowledged  = "not_acknowledged"   // submitted, and not in the ledger
	CodeNoCommonKey      = "no_common_key"      // nothing that both sides have tells which is which
	CodeBadLine          = "bad_line"           // of a file, and not read
)

// Sides of a comparison.
const (
	sideSubmission = 'a' // what a receipt of the ledger is about
	sideMarker     = 'b' // a receipt that is matched, whose twin of the other side isn't one too many
	sideLedger     = 'l'
	sideStated     = 'm' // that this receipt is a statement, if it is recorded: nothing was released of the one in Receipt
	sideCall       = 'r'
	sideTracing    = 't'
)

// ReconcileItem is a call, a receipt or a line of a tracing file, as far as they are compared. Its exported fields are what
// a Sorter keeps; it names no citizen.
type ReconcileItem struct {
	Key  string // what items are sorted by, then by Time
	Side byte
	Time int64  // unix_ms; 0: not known
	File uint32 // which of the files of its side
	Line uint64 // of it, from 1
	// Of the ledger.
	Origin string
	Index  uint64 // of the first event
	Role   string // of the receipt: provider's or consumer's; "" where it isn't known
	Kind   string // of the event; "" where it isn't known. Of a call: kindCohort, kindNobody or ""
	// What may tell which is which.
	Receipt, Pair, Voucher string
	Purpose, EService      string // uuids
	Method                 string
	Status                 int // HTTP; 0: not known
	Count                  uint64
}

// Sorter sorts items by Key and, where that is equal, by Time and what else an item has. It is made for millions of items:
// on disk.
type Sorter[T any] interface {
	Add(*T) error
	// Sorted gives what was added, once. An item is the caller's until the next one.
	Sorted() iter.Seq2[*T, error]
	Close() error // also twice
}

// ReconcileConfig is what a comparison is made with.
type ReconcileConfig struct {
	NewSorter func() (Sorter[ReconcileItem], error)
	// The period: whole days of Zone, To not in it; zero: all. What is less than Window away from its ends may be on the
	// other side's other day: it is matched if it can be, and else only counted.
	From, To time.Time
	Zone     *time.Location
	Window   time.Duration
	// Which of the three are compared: two at least.
	Traces, Ledger, Tracing bool
	// NoVouchers says that the ledger's side is a body's list, which holds none: what was filed is then compared with it by
	// day and purpose.
	NoVouchers bool
	// Each is called for every finding, those beyond MaxListed included; nil: for none.
	Each func(ledger.Problem) error
}

// ReconcileCounts are what two of the sources come to, in calls, receipts or requests.
type ReconcileCounts struct {
	Between          string `json:"between"` // "traces-ledger", "traces-tracing" or "ledger-tracing"
	Matched          uint64 `json:"matched"`
	MissingInLedger  uint64 `json:"missing_in_ledger"`
	MissingAtGateway uint64 `json:"missing_at_gateway"`
	MissingInTracing uint64 `json:"missing_in_tracing"`
	Differing        uint64 `json:"differing"` // of those matched or, of requests, of lines
}

// ReconcileReport says how the sources agree.
type ReconcileReport struct {
	Calls    uint64 // of the traces, in the period
	Receipts uint64 // of accesses, in the ledger and the period
	Cohorts  uint64 // records of aggregates, likewise
	Events   uint64 // of the ledger, whatever they are
	Requests uint64 // of the tracing files, in the period

	Comparisons []ReconcileCounts
	By          struct{ Receipt, Pair, Voucher uint64 } // what calls and receipts were matched by

	NotReleased uint64 // calls without a receipt, to which another status than 2xx was answered
	AboutNobody uint64 // calls of which the gateway says that they were: nothing was recorded
	Undelivered uint64 // receipts without a call, of which a statement says that nothing was released
	Keyless     uint64 // calls without voucher and receipt: they aren't compared
	AtTheEdge   uint64 // unmatched within the window around the period's ends
	Others      uint64 // events that are no access
	Unopened    uint64 // events that the list doesn't open: they aren't compared
	BadLines    uint64

	Found    uint64 // findings, those beyond MaxListed included
	Problems []ledger.Problem
	Notes    []string
	// Incomparable says that nothing could be compared of what should be.
	Incomparable bool
}

// Proven reports whether every call has its receipt, every receipt its call, and what was filed agrees.
func (r *ReconcileReport) Proven() bool { return r.Found == 0 && !r.Incomparable }

// Reconciler compares the calls that a gateway traced, the ledger and PDND's tracing over a period, in bounded memory: what it
// is given goes into sorters, and Conclude goes through them. Use it from one goroutine.
type Reconciler struct {
	ReconcileConfig
	report  *ReconcileReport
	halves  Sorter[ReconcileItem] // of calls, by transaction
	byID    Sorter[ReconcileItem] // by receipt
	byPair  Sorter[ReconcileItem]
	byToken Sorter[ReconcileItem] // by voucher
	lone    Sorter[ReconcileItem] // receipts without a call, and what statements are about, by receipt
	counts  Sorter[ReconcileItem] // by day, purpose, voucher and status
	sorters []Sorter[ReconcileItem]
	calls   *ReconcileCounts // traces and ledger
	noted   map[string]bool
	party   string // whose records, or whose list, it was given
	last    string // receipt of the record before
	shared  struct{ callID, callToken, ledgerPair, ledgerToken, ledgerPurpose bool }
}

// NewReconciler returns a comparison that has seen nothing. Close it.
func NewReconciler(c ReconcileConfig) (*Reconciler, error) {
	r := &Reconciler{ReconcileConfig: c, report: new(ReconcileReport), noted: map[string]bool{}}
	for _, s := range []*Sorter[ReconcileItem]{&r.halves, &r.byID, &r.byPair, &r.byToken, &r.lone, &r.counts} {
		one, err := c.NewSorter()
		if err != nil {
			return nil, fmt.Errorf("couldn't begin to sort: %w", err)
		}
		*s = one
		r.sorters = append(r.sorters, one)
	}
	return r, nil
}

// Close gives back what the sorters hold.
func (r *Reconciler) Close() {
	for _, s := range r.sorters {
		s.Close()
	}
}

func (r *Reconciler) find(code, where, expected, found string) error {
	p := ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
	r.report.Found++
	if len(r.report.Problems) < MaxListed {
		r.report.Problems = append(r.report.Problems, p)
	}
	if r.Each == nil {
		return nil
	}
	return r.Each(p)
}

func (r *Reconciler) note(text string) {
	if !r.noted[text] {
		r.noted[text] = true
		r.report.Notes = append(r.report.Notes, text)
	}
}

// bad tells of a line that isn't read; nothing of it is repeated.
func (r *Reconciler) bad(side string, file int, line uint64, expected string) error {
	r.report.BadLines++
	return r.find(CodeBadLine, fmt.Sprintf("%s/%d/line/%d", side, file, line), expected, "another")
}

// where says where an item is.
func (i *ReconcileItem) where() string {
	switch {
	case i.Side == sideCall:
		return fmt.Sprintf("traces/%d/line/%d", i.File, i.Line)
	case i.Side == sideTracing:
		return fmt.Sprintf("tracing/%d/line/%d", i.File, i.Line)
	case i.Origin == "":
		return fmt.Sprintf("submissions/%d/line/%d", i.File, i.Line)
	}
	return fmt.Sprintf("ledger/%s/%d", i.Origin, i.Index)
}

// place is where an item is in time: in the period, so close to its ends that it can't be judged, or outside.
type placeInTime int

const (
	outside placeInTime = iota
	edge
	inside
)

func (r *Reconciler) when(ms int64) placeInTime {
	if ms == 0 {
		return inside
	}
	t := time.UnixMilli(ms)
	at := inside
	for _, end := range []struct {
		at time.Time
		in time.Duration // how far inside of this end
	}{{r.From, t.Sub(r.From)}, {r.To, r.To.Sub(t)}} {
		if end.at.IsZero() {
			continue
		}
		switch {
		case end.in < -r.Window:
			return outside
		case end.in < r.Window:
			at = edge
		}
	}
	return at
}

// inPeriod says whether an instant is in the period itself.
func (r *Reconciler) inPeriod(ms int64) bool {
	t := time.UnixMilli(ms)
	return ms == 0 || (r.From.IsZero() || !t.Before(r.From)) && (r.To.IsZero() || t.Before(r.To))
}

func (r *Reconciler) day(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).In(r.Zone).Format(time.DateOnly)
}

// isUUID keeps what isn't an identifier out of the report.
func isUUID(s string) bool { return ledger.CheckUUID(s) == nil }
