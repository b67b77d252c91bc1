// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// Kinds of items that are no event of an access.
const (
	kindOther  = "+"      // of what is no access
	kindCohort = "cohort" // the record of an aggregate, or a call for one
	kindNobody = "nobody" // a call that the gateway says was about nobody
)

// Record takes a line of a party's own records, without its end: an event that the ledger acknowledged to it, or the record
// of an aggregate, which verifier provider checks against the log.
func (r *Reconciler) Record(line uint64, text []byte) error {
	if own.IsCohort(text) {
		c, err := own.ParseCohort(text)
		switch {
		case err != nil:
			return r.bad("records", 0, line, "a line of the party's own records")
		case c.Origin == "":
			return nil // nobody was given it
		}
		r.party = c.Scope()
		return r.byID.Add(&ReconcileItem{Side: sideLedger, Kind: kindCohort, Key: c.ID, Receipt: c.ID, Origin: c.Origin, Index: c.Index, Time: c.At, Count: 1})
	}
	e, err := own.ParseEntry(text)
	if err != nil {
		return r.bad("records", 0, line, "a line of the party's own records")
	}
	r.party = e.Scope()
	r.report.Events++
	if e.Receipt != r.last { // of many citizens
		r.last = e.Receipt
		if err := r.stated(e.Scope()+"/"+ledger.UndeliveredJTI(e.Receipt), e.Receipt); err != nil {
			return err
		}
	}
	// At is when the answer came; when the access was, only a submission tells.
	return r.byID.Add(&ReconcileItem{Side: sideLedger, Key: e.Receipt, Receipt: e.Receipt, Origin: e.Origin, Index: e.Index, Time: e.At, Count: 1})
}

// Cohort takes the public record of an aggregate, which Totals checks. It counts if it is of the party whose records were
// given before, or was given to the body whose list was.
func (r *Reconciler) Cohort(origin string, index uint64, c *ledger.Cohort) error {
	if r.party == "" || r.party != c.Iss && !r.NoVouchers || r.party != c.Consumer && r.NoVouchers {
		return nil
	}
	i := itemOf(c.Access())
	i.Side, i.Kind, i.Origin, i.Index = sideLedger, kindCohort, origin, index
	return r.byID.Add(i)
}

// Submission takes what the party submitted, which tells what the receipts of its records are about.
func (r *Reconciler) Submission(file int, line uint64, text []byte) error {
	s, err := ledger.ParseSubmission(text)
	var receipt *ledger.SignedReceipt
	if err == nil {
		receipt, err = ledger.ParseReceipt(s.Receipt)
	}
	if err != nil {
		return r.bad("submissions", file, line, "a submission")
	}
	i := itemOf(&receipt.Receipt)
	i.Side, i.File, i.Line = sideSubmission, uint32(file), line
	i.Voucher, _, _ = voucherOf(s.Voucher)
	return errors.Join(r.statement(&receipt.Receipt), r.byID.Add(i))
}

// statement notes what a receipt is about, if it says that nothing was released.
func (r *Reconciler) statement(s *ledger.Receipt) error {
	if s.Statement == nil || s.Statement.Kind != ledger.StatementUndelivered {
		return nil
	}
	return r.stated(s.ReceiptID(), s.Statement.Receipt)
}

func (r *Reconciler) stated(receipt, about string) error {
	return r.byID.Add(&ReconcileItem{Side: sideStated, Key: receipt, Receipt: about})
}

// Listed takes a part of a body's list, which verifier agency checks.
func (r *Reconciler) Listed(p *history.AgencyPart) error {
	r.party = p.Agency
	for n := range p.Events {
		e := &p.Events[n]
		r.report.Events++
		if e.Nonce == nil {
			r.report.Unopened++
			continue
		}
		where := fmt.Sprintf("ledger/%s/%d", p.Origin, e.Index)
		body, err := ledger.ParseBody(e.Body)
		var receipt *ledger.SignedReceipt
		if err == nil {
			receipt, err = ledger.ParseReceipt(body.Receipt)
		}
		if err != nil {
			if err := r.find(CodeBadLine, where, "a body", "another"); err != nil {
				return err
			}
			continue
		}
		i := itemOf(&receipt.Receipt)
		i.Side, i.Origin, i.Index = sideLedger, p.Origin, e.Index
		if i.Kind == "" {
			i.Kind = body.Kind
		}
		if err := errors.Join(r.statement(&receipt.Receipt), r.byID.Add(i)); err != nil {
			return err
		}
	}
	return nil
}

func itemOf(r *ledger.Receipt) *ReconcileItem {
	i := &ReconcileItem{
		Key: r.ReceiptID(), Receipt: r.ReceiptID(), Role: r.Role, Purpose: r.PurposeID, EService: r.EService, Method: r.Operation.Method,
		Time: r.Occurred().UnixMilli(), Count: 1,
	}
	if !r.OfCall() {
		i.Kind = kindOther
	} else {
		i.Pair = hex.EncodeToString(r.Pair[:])
	}
	return i
}

// receipt is what is known of one receipt.
type receiptGroup struct {
	key        string
	first      ReconcileItem // of the ledger; zero: none
	events     uint64
	submission *ReconcileItem
	call       *ReconcileItem // the first that shows this receipt
	about      string         // of which it says that nothing was released, if it is a statement; "" else
}

// joinReceipts compares by the receipts that calls show, and hands on what is left.
func (r *Reconciler) joinReceipts() error {
	var g receiptGroup
	for i, err := range r.byID.Sorted() {
		if err != nil {
			return err
		}
		if i.Key != g.key {
			if err := r.receipt(&g); err != nil {
				return err
			}
			g = receiptGroup{key: i.Key}
		}
		one := *i
		switch {
		case i.Side == sideSubmission:
			g.submission = &one
		case i.Side == sideStated:
			g.about = one.Receipt
		case i.Side == sideLedger:
			// An event for each citizen, of which the first stands for all. Of an aggregate the public record tells more.
			if i.Kind == kindCohort && g.events == 1 {
				if g.first.fill(&one); one.Pair != "" {
					g.first.Time = one.Time
				}
			} else if g.events++; g.events == 1 || i.Origin == g.first.Origin && i.Index < g.first.Index {
				g.first = one
			}
		case g.call == nil:
			g.call = &one
		default:
			if err := r.find(CodeRepeatedCall, one.where(), "a receipt of its own", "that of "+g.call.where()); err != nil {
				return err
			}
		}
	}
	return r.receipt(&g)
}

// receipt concludes about one receipt.
func (r *Reconciler) receipt(g *receiptGroup) error {
	if g.key == "" {
		return nil
	}
	if g.events == 0 {
		return r.unrecorded(g)
	}
	l := &g.first
	if s := g.submission; s != nil {
		l.fill(s)
		l.Time, l.Role = s.Time, s.Role
	}
	// What the records alone give isn't known to be an access, and taken for one if it isn't the statement about another of them.
	if g.about != "" && l.Kind == "" && g.submission == nil && g.call == nil {
		l.Kind = ledger.KindUndelivered
	}
	if l.Kind != "" && l.Kind != ledger.KindAccess && l.Kind != ledger.KindDenied && l.Kind != kindCohort {
		r.report.Others += g.events
		if g.about == "" {
			return nil
		}
		return r.lone.Add(&ReconcileItem{Side: sideStated, Key: g.about})
	}
	if g.call == nil && r.when(l.Time) == outside {
		return nil
	}
	switch {
	case !r.inPeriod(l.Time):
	case l.Kind == kindCohort:
		r.report.Cohorts++
	default:
		r.report.Receipts++
	}
	if !r.Traces {
		return r.countReceipt(l)
	}
	r.shared.ledgerPair = r.shared.ledgerPair || l.Pair != ""
	r.shared.ledgerToken = r.shared.ledgerToken || l.Voucher != ""
	if g.call == nil {
		l.Key = l.Pair
		return r.byPair.Add(l)
	}
	r.report.By.Receipt++
	if l.Pair != "" {
		marker := *l
		marker.Key, marker.Side = l.Pair, sideMarker
		if err := r.byPair.Add(&marker); err != nil {
			return err
		}
	}
	return r.match(g.call, l)
}

// countReceipt compares what was released with what was filed.
func (r *Reconciler) countReceipt(l *ReconcileItem) error {
	if !r.Tracing || !r.inPeriod(l.Time) || l.Kind == ledger.KindDenied || l.Purpose == "" {
		return nil
	}
	r.shared.ledgerPurpose = true
	return r.count(l, "2xx")
}

// unrecorded: nothing in the ledger bears this receipt.
func (r *Reconciler) unrecorded(g *receiptGroup) error {
	if c := g.call; c != nil {
		return r.alone(c)
	}
	if s := g.submission; s != nil && r.when(s.Time) == inside && s.Kind != kindOther {
		return r.find(CodeNotAcknowledged, s.where(), "its entry in the records", "none")
	}
	return nil
}

// match compares a call and its receipt.
func (r *Reconciler) match(c, l *ReconcileItem) error {
	r.calls.Matched++
	differs := false
	tell := func(what, expected, found string) error {
		differs = true
		return r.find(CodeDiffers, c.where()+"#"+what, expected+" as "+l.where(), found)
	}
	var err error
	for _, f := range []struct{ what, call, receipt string }{
		{"eservice", c.EService, l.EService}, {"purpose_id", c.Purpose, l.Purpose}, {"method", c.Method, l.Method},
	} {
		if f.call != "" && f.receipt != "" && f.call != f.receipt && err == nil {
			err = tell(f.what, f.receipt, f.call)
		}
	}
	if c.Receipt != "" && (c.Kind == kindCohort) != (l.Kind == kindCohort) && err == nil {
		expected, found := "a receipt", "an aggregate"
		if l.Kind == kindCohort {
			expected, found = found, expected
		}
		err = tell("shown", expected, found)
	}
	// The pair may rest on a digest of the request that no header told the trace.
	if c.Voucher != "" && l.Voucher != "" && c.Voucher != l.Voucher && err == nil {
		err = tell("voucher", "the voucher", "another")
	}
	if l.Kind == ledger.KindDenied && c.Status >= 200 && c.Status < 300 && err == nil {
		err = tell("status", "a refusal", fmt.Sprint(c.Status))
	}
	if apart := c.Time - l.Time; l.Pair != "" && max(apart, -apart) > r.Window.Milliseconds() && err == nil {
		err = tell("time", instantOf(uint64(l.Time)).Format(instantForm), instantOf(uint64(c.Time)).Format(instantForm))
	}
	if differs {
		r.calls.Differing++
	}
	return err
}

const instantForm = "2006-01-02T15:04:05Z"

// alone tells of what has no counterpart.
func (r *Reconciler) alone(i *ReconcileItem) error {
	if at := r.when(i.Time); at != inside {
		if at == edge && r.inPeriod(i.Time) {
			r.report.AtTheEdge++
		}
		return nil
	}
	if i.Side == sideCall {
		if i.Receipt == "" && i.Status != 0 && (i.Status < 200 || i.Status > 299) {
			r.report.NotReleased++
			return nil
		}
		r.calls.MissingInLedger++
		expected := "a receipt for this call"
		switch {
		case i.Kind == kindCohort:
			expected = "the aggregate " + i.Receipt
		case i.Receipt != "":
			expected = "the receipt " + i.Receipt
		}
		return r.find(CodeMissingInLedger, i.where(), expected, "none")
	}
	i.Key = i.Receipt
	return r.lone.Add(i)
}

// joinLone tells of receipts without a call, but of those of which a statement says that nothing was released.
func (r *Reconciler) joinLone() error {
	var lone *ReconcileItem
	stated := ""
	end := func() error {
		switch {
		case lone == nil:
			return nil
		case lone.Key == stated:
			r.report.Undelivered++
			return nil
		}
		r.calls.MissingAtGateway++
		what := "receipt "
		if lone.Kind == kindCohort {
			what = "aggregate "
		}
		return r.find(CodeMissingAtGateway, lone.where(), "a call for the "+what+lone.Receipt, "none")
	}
	for i, err := range r.lone.Sorted() {
		if err != nil {
			return err
		}
		if i.Side == sideStated {
			stated = i.Key
			continue
		}
		if err := end(); err != nil {
			return err
		}
		one := *i
		lone = &one
	}
	return end()
}
