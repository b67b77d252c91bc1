// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger/govway"
)

// MaxTracingLine bounds a line of a tracing file, in bytes.
const MaxTracingLine = 1 << 10

// TracingColumns are where a tracing file has its columns: its first line names them, in an order that differs between PDND's
// own documents. A column that its manual's example calls token is token_id.
//
//	date,purpose_id,token_id,status,requests_count
//	2026-11-22,0e1e4c98-6f2e-4f55-90e3-45f7d3f1dbf8,99382e29-b0cf-412b-a060-72e421b6d167,200,48
type TracingColumns [5]int

// ParseTracingHeader reads the first line of a tracing file.
func ParseTracingHeader(line []byte) (TracingColumns, bool) {
	var c TracingColumns
	names := strings.Split(string(bytes.TrimPrefix(line, []byte("\uFEFF"))), ",")
	if len(names) != len(c) {
		return c, false
	}
	seen := 0
	for n, name := range names {
		at := -1
		switch name {
		case "date":
			at = 0
		case "purpose_id":
			at = 1
		case "token_id", "token":
			at = 2
		case "status":
			at = 3
		case "requests_count":
			at = 4
		}
		if at < 0 || seen&(1<<at) != 0 {
			return c, false
		}
		seen |= 1 << at
		c[at] = n
	}
	return c, true
}

// ParseTracingLine reads a line: so many requests of a day for a purpose with a voucher, to which a status was answered.
func ParseTracingLine(line []byte, c TracingColumns) (day string, i *ReconcileItem, ok bool) {
	f := strings.Split(string(line), ",")
	if len(f) != len(c) {
		return "", nil, false
	}
	day = f[c[0]]
	i = &ReconcileItem{Side: sideTracing, Purpose: f[c[1]], Voucher: f[c[2]]}
	status, count := f[c[3]], f[c[4]]
	n, err := strconv.ParseUint(count, 10, 53)
	i.Count = n
	var known bool
	i.Status, known = govway.ParseStatus(status)
	_, dayErr := time.Parse(time.DateOnly, day)
	if err != nil || dayErr != nil || n == 0 || count[0] == '0' || status == "" || !known || !isUUID(i.Purpose) || !isUUID(i.Voucher) {
		return "", nil, false
	}
	return day, i, true
}

// Filed takes a line of a tracing file after the first one.
func (r *Reconciler) Filed(file int, line uint64, text []byte, c TracingColumns) error {
	day, i, ok := ParseTracingLine(text, c)
	if !ok {
		return r.bad("tracing", file, line, "date,purpose_id,token_id,status,requests_count")
	}
	start, _ := time.ParseInLocation(time.DateOnly, day, r.Zone)
	if !r.inPeriod(start.UnixMilli()) {
		return nil
	}
	r.report.Requests += i.Count
	i.File, i.Line, i.Time = uint32(file), line, start.UnixMilli()
	if r.Traces {
		return r.count(i, strconv.Itoa(i.Status))
	}
	if i.Status < 200 || i.Status > 299 {
		return nil // the ledger holds what was released
	}
	return r.count(i, "2xx")
}

// BadTracing tells that a tracing file doesn't begin as one.
func (r *Reconciler) BadTracing(file int) error {
	return r.bad("tracing", file, 1, "date,purpose_id,token_id,status,requests_count")
}

// count adds to what is compared with tracing.
func (r *Reconciler) count(i *ReconcileItem, status string) error {
	voucher := i.Voucher
	if !r.Traces && r.NoVouchers {
		voucher = ""
	}
	one := *i
	one.Key = r.day(i.Time) + " " + i.Purpose + " " + voucher + " " + status
	return r.counts.Add(&one)
}

// compareCounts compares what was filed with the calls or, without traces, with the ledger.
func (r *Reconciler) compareCounts() error {
	if !r.Traces && r.report.Receipts+r.report.Cohorts > 0 && !r.shared.ledgerPurpose {
		r.report.Incomparable = true
		return r.find(CodeNoCommonKey, "tracing", "traces, or --submissions beside the records", "neither")
	}
	c := ReconcileCounts{Between: "traces-tracing"}
	if !r.Traces {
		c.Between = "ledger-tracing"
	}
	var key string
	var own, filed uint64
	var first, firstFiled ReconcileItem
	var spare cohortsOfDay
	end := func() error {
		day, rest, _ := strings.Cut(key, " ")
		if !r.Traces && !r.NoVouchers {
			purpose, voucher, _ := strings.Cut(rest, " ")
			if left := spare.of(day, purpose); left != nil {
				c.MissingInTracing += left.many
				if err := r.find(CodeMissingInTracing, left.first.where(), fmt.Sprintf("%d requests on %s for purpose %s", left.many, left.day, left.purpose), "0"); err != nil {
					return err
				}
			}
			if strings.HasPrefix(voucher, " ") {
				spare = cohortsOfDay{day, purpose, own, first}
				return nil
			}
			own += spare.take(filed - min(own, filed))
		}
		c.Matched += min(own, filed)
		switch {
		case own == filed:
			return nil
		case own > 0 && filed > 0:
			c.Differing++
		}
		about := fmt.Sprintf(" requests on %s", day)
		if own > filed {
			c.MissingInTracing += own - filed
			where, code := first.where(), CodeMissingInTracing
			if filed > 0 {
				where, code = firstFiled.where(), CodeDiffers
			}
			return r.find(code, where, fmt.Sprint(own)+about+" for purpose "+first.Purpose, fmt.Sprint(filed))
		}
		code := CodeMissingAtGateway
		if r.Traces {
			c.MissingAtGateway += filed - own
		} else {
			c.MissingInLedger += filed - own
			code = CodeMissingInLedger
		}
		if own > 0 {
			code = CodeDiffers
		}
		return r.find(code, firstFiled.where(), fmt.Sprint(own)+about+" for purpose "+firstFiled.Purpose, fmt.Sprint(filed))
	}
	for i, err := range r.counts.Sorted() {
		if err != nil {
			return err
		}
		if i.Key != key {
			if err := end(); err != nil {
				return err
			}
			key, own, filed = i.Key, 0, 0
		}
		n := &own
		if i.Side == sideTracing {
			n = &filed
			if filed == 0 {
				firstFiled = *i
			}
		} else if own == 0 {
			first = *i
		}
		*n += i.Count
	}
	if err := end(); err != nil {
		return err
	}
	if key, own, filed = "", 0, 0; spare.many > 0 {
		if err := end(); err != nil {
			return err
		}
	}
	r.report.Comparisons = append(r.report.Comparisons, c)
	return nil
}

// cohortsOfDay are the aggregates of a day and purpose that no request was filed for yet: which vouchers their calls bore no
// record says, so they stand for requests of any. Their key sorts before those with vouchers.
type cohortsOfDay struct {
	day, purpose string
	many         uint64
	first        ReconcileItem
}

// of turns to a day and purpose, and returns what is left of the ones before; nil if nothing is.
func (s *cohortsOfDay) of(day, purpose string) *cohortsOfDay {
	if s.day == day && s.purpose == purpose {
		return nil
	}
	left := *s
	if *s = (cohortsOfDay{day: day, purpose: purpose}); left.many == 0 {
		return nil
	}
	return &left
}

// take gives up to so many of them.
func (s *cohortsOfDay) take(most uint64) uint64 {
	n := min(s.many, most)
	s.many -= n
	return n
}
