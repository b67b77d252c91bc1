// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
)

// fifo is what waits for a counterpart. As both sides come by time, it holds what one has more than the other.
type fifo []ReconcileItem

func (f *fifo) pop() *ReconcileItem {
	if len(*f) == 0 {
		return nil
	}
	one := (*f)[0]
	*f = (*f)[1:]
	return &one
}

// pairGroup joins the calls and receipts with one pair. A call may have two receipts, the provider's and the consumer's own:
// who reads them pairs them one to one.
type pairGroup struct {
	r       *Reconciler
	calls   fifo
	waiting [2]fifo // of provider's and consumer's receipts
	owed    [2]int  // calls matched by the other side's receipt alone
}

func roleIndex(role string) int {
	if role == ledger.RoleConsumer {
		return 1
	}
	return 0
}

func (g *pairGroup) add(i *ReconcileItem) error {
	switch n := roleIndex(i.Role); {
	case i.Key == "": // calls and receipts of which no pair is known
		return g.r.unpaired(i)
	case i.Side == sideMarker:
		if g.waiting[1-n].pop() == nil {
			g.owed[1-n]++
		}
		return nil
	case i.Side == sideCall:
		receipts := [2]*ReconcileItem{g.waiting[0].pop(), g.waiting[1].pop()}
		for m, l := range receipts {
			if l == nil {
				continue
			}
			if receipts[1-m] == nil {
				g.owed[1-m]++
			}
			g.r.report.By.Pair++
			return g.r.match(i, l)
		}
		g.calls = append(g.calls, *i)
		return nil
	case g.owed[n] > 0:
		g.owed[n]--
		return nil
	default:
		if c := g.calls.pop(); c != nil {
			g.owed[1-n]++
			g.r.report.By.Pair++
			return g.r.match(c, i)
		}
		g.waiting[n] = append(g.waiting[n], *i)
		return nil
	}
}

// end hands on what is left.
func (g *pairGroup) end() error {
	twins := min(len(g.waiting[0]), len(g.waiting[1]))
	for _, left := range []fifo{g.calls, g.waiting[0], g.waiting[1][twins:]} {
		for n := range left {
			if err := g.r.unpaired(&left[n]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Reconciler) unpaired(i *ReconcileItem) error {
	one := *i
	if one.Key = one.Voucher; one.Key == "" {
		return r.alone(&one)
	}
	return r.byToken.Add(&one)
}

// joinPairs compares by the pair of calls and receipts.
func (r *Reconciler) joinPairs() error {
	g, key := pairGroup{r: r}, ""
	for i, err := range r.byPair.Sorted() {
		if err != nil {
			return err
		}
		if i.Key != key {
			if err := g.end(); err != nil {
				return err
			}
			g, key = pairGroup{r: r}, i.Key
		}
		if err := g.add(i); err != nil {
			return err
		}
	}
	return g.end()
}

// joinVouchers compares what is left by voucher alone: what is matched so differs in its pair.
func (r *Reconciler) joinVouchers() error {
	var calls, receipts fifo
	key := ""
	end := func() error {
		for _, left := range []fifo{calls, receipts} {
			for n := range left {
				if err := r.alone(&left[n]); err != nil {
					return err
				}
			}
		}
		calls, receipts = nil, nil
		return nil
	}
	for i, err := range r.byToken.Sorted() {
		if err != nil {
			return err
		}
		if i.Key != key {
			if err := end(); err != nil {
				return err
			}
			key = i.Key
		}
		mine, other := &calls, &receipts
		if i.Side == sideLedger {
			mine, other = other, mine
		}
		o := other.pop()
		if o == nil {
			*mine = append(*mine, *i)
			continue
		}
		c, l := i, o
		if i.Side == sideLedger {
			c, l = o, i
		}
		r.report.By.Voucher++
		if err := r.match(c, l); err != nil {
			return err
		}
	}
	return end()
}

// Conclude goes through all that was given, and says what it comes to. Nothing is given after it.
func (r *Reconciler) Conclude() (*ReconcileReport, error) {
	r.calls = &ReconcileCounts{Between: "traces-ledger"}
	// Each step hands on to the next ones' sorters, and needs its own no more.
	for _, step := range []struct {
		run  func() error
		from Sorter[ReconcileItem]
	}{{r.joinCalls, r.halves}, {r.joinReceipts, r.byID}, {r.joinPairs, r.byPair}, {r.joinVouchers, r.byToken}, {r.joinLone, r.lone}} {
		if err := step.run(); err != nil {
			return nil, err
		}
		if err := step.from.Close(); err != nil {
			return nil, err
		}
	}
	if r.Traces && r.Ledger {
		r.report.Comparisons = append(r.report.Comparisons, *r.calls)
		if err := r.comparable(); err != nil {
			return nil, err
		}
	}
	if r.Tracing {
		if err := r.compareCounts(); err != nil {
			return nil, err
		}
	}
	r.conclusions()
	return r.report, nil
}

// comparable looks whether a call could have been recognised in the ledger at all.
func (r *Reconciler) comparable() error {
	s := r.shared
	if r.report.Calls == 0 || r.report.Receipts+r.report.Cohorts == 0 || s.callID || s.callToken && (s.ledgerPair || s.ledgerToken) {
		return nil
	}
	r.report.Incomparable = true
	return r.find(CodeNoCommonKey, "traces", "receipts in the traces, or tokens in them and --submissions beside the records", "neither")
}

func (r *Reconciler) conclusions() {
	c := r.report
	if c.Calls+c.Receipts+c.Cohorts+c.Requests == 0 {
		c.Incomparable = true
		r.note("Nothing in the files is in the period.")
	}
	if r.Ledger && c.Receipts+c.Cohorts == 0 && c.Unopened > 0 {
		c.Incomparable = true
	}
	for _, n := range []struct {
		many uint64
		what string
	}{
		{c.Keyless, "%d calls bear neither a voucher nor a receipt, as those of other APIs: they weren't compared."},
		{c.NotReleased, "%d calls without a receipt were answered with another status than 2xx: nothing was released."},
		{c.AboutNobody, "%d calls were about nobody, says the gateway, and left no receipt: they weren't compared with the ledger."},
		{c.Undelivered, "%d receipts have no call, and a statement that nothing was released of them."},
		{c.AtTheEdge, "%d calls and receipts at the ends of the period have no counterpart in it: they weren't judged."},
		{c.Unopened, "%d events aren't opened in the list: they weren't compared."},
		{c.Others, "%d events are no accesses: look-ups, consents, requests, statements."},
	} {
		if n.many > 0 {
			r.note(fmt.Sprintf(n.what, n.many))
		}
	}
	if r.Tracing && !r.Traces && r.NoVouchers {
		r.note("A body's list holds no vouchers: what was filed was compared by day and purpose.")
	}
	if r.Tracing && !r.Traces {
		r.note("The ledger holds what was released: of what was filed, statuses of 2xx were compared.")
	}
	if c.By.Voucher > 0 {
		r.note(fmt.Sprintf("%d calls were matched with a receipt by their voucher alone, which more calls may bear.", c.By.Voucher))
	}
	r.note("A call that passed the gateway by is in none of its traces. That the traces and what was filed are whole is their keeper's word.")
}
