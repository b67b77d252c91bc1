// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/govway"
)

// ParseTraceLine reads a line of a trace. What it returns is half a call where the line is of one of GovWay's own topics, with the
// transaction as Key. Nothing of the line is kept but ids, digests, method, status and time.
func ParseTraceLine(line []byte) (*ReconcileItem, bool) {
	l, ok := govway.Parse(line)
	if !ok || l.HasContent {
		return nil, false
	}
	i := &ReconcileItem{Side: sideCall, Key: l.Transaction, Count: 1, Time: l.At.UnixMilli(), Status: l.Status, Method: l.Method}
	switch {
	case l.IsOwn:
		i.Voucher, i.Purpose, i.EService = l.OwnVoucher, l.OwnPurpose, l.OwnEService
		i.pair(l.OwnEvidence, l.OwnDigest)
		if l.OwnReceipt == govway.Nobody && l.OwnCohort == "" {
			i.Kind = kindNobody
		} else {
			ok = i.shown(l.OwnReceipt, l.OwnCohort)
		}
	case l.Asked:
		i.Voucher, i.Purpose, i.EService = voucherOf(l.Token())
		i.pair(l.Header("Agid-JWT-TrackingEvidence"), l.Header("Digest"))
	default:
		i.shown(l.Header("Traccia-Receipt"), l.Header("Traccia-Cohort"))
	}
	for _, id := range []string{i.Purpose, i.EService} {
		ok = ok && (id == "" || isUUID(id))
	}
	if !ok || len(i.Voucher) > 200 {
		return nil, false
	}
	return i, true
}

// pair makes of an evidence and a Digest header what the receipt's pair has to be.
func (i *ReconcileItem) pair(evidence, digest string) {
	if i.Voucher == "" {
		return
	}
	content := hex.EncodeToString(govway.Digest(digest))
	if evidence != "" {
		sum := sha256.Sum256([]byte(evidence))
		evidence = hex.EncodeToString(sum[:])
	}
	p := ledger.Pair(i.Voucher, evidence, content)
	i.Pair = hex.EncodeToString(p[:])
}

// shown takes what the answer's headers Traccia-Receipt and Traccia-Cohort showed, one of them at most.
func (i *ReconcileItem) shown(receipt, cohort string) bool {
	i.Receipt = receiptOf(receipt)
	if cohort == "" {
		return receipt == "" || i.Receipt != ""
	}
	i.Receipt, i.Kind = receiptOf(cohort), kindCohort
	return receipt == "" && i.Receipt != ""
}

// receiptOf reads the header Traccia-Receipt, or Traccia-Cohort: inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11; index=4711
func receiptOf(v string) string {
	id, _, _ := strings.Cut(v, ";")
	id = strings.TrimSpace(id)
	iss, jti, _ := strings.Cut(id, "/")
	if ledger.CheckID(iss) != nil || !isUUID(jti) {
		return ""
	}
	return id
}

// voucherOf reads what is compared of a voucher, whose signature GovWay may have taken away: that it was good, the gateway says.
func voucherOf(token string) (jti, purpose, eservice string) {
	parts := strings.Split(token, ".")
	if len(parts) < 2 {
		return "", "", ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", "", ""
	}
	var c struct {
		JTI      string `json:"jti"`
		Purpose  string `json:"purposeId"`
		EService string `json:"eserviceId"`
	}
	if json.Unmarshal(payload, &c) != nil {
		return "", "", ""
	}
	return c.JTI, c.Purpose, c.EService
}

// Trace takes a line of a trace, without its end; files and lines are counted as the report shall name them.
func (r *Reconciler) Trace(file int, line uint64, text []byte) error {
	i, ok := ParseTraceLine(text)
	if !ok {
		return r.bad("traces", file, line, "a line of docs/reconcile.md, or of GovWay's own request and response topics")
	}
	i.File, i.Line = uint32(file), line
	return r.halves.Add(i)
}

// joinCalls puts the halves of calls together, and hands the calls on.
func (r *Reconciler) joinCalls() error {
	var call *ReconcileItem
	for half, err := range r.halves.Sorted() {
		if err != nil {
			return err
		}
		if call != nil && call.Key == half.Key {
			call.fill(half)
			continue
		}
		if err := r.call(call); err != nil {
			return err
		}
		one := *half
		call = &one
	}
	return r.call(call)
}

// fill takes what the other half of a call knows.
func (i *ReconcileItem) fill(o *ReconcileItem) {
	for _, f := range []struct{ to, from *string }{
		{&i.Receipt, &o.Receipt}, {&i.Pair, &o.Pair}, {&i.Voucher, &o.Voucher}, {&i.Purpose, &o.Purpose}, {&i.EService, &o.EService}, {&i.Method, &o.Method},
		{&i.Kind, &o.Kind},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if o.Status != 0 {
		i.Status = o.Status
	}
	if o.Time != 0 && o.Time < i.Time {
		i.Time = o.Time
	}
}

// call hands a whole call to the comparisons.
func (r *Reconciler) call(c *ReconcileItem) error {
	if c == nil || r.when(c.Time) == outside {
		return nil
	}
	if r.inPeriod(c.Time) {
		r.report.Calls++
	}
	if c.Receipt == "" && c.Voucher == "" {
		r.report.Keyless++
		return nil
	}
	if r.Tracing && c.Voucher != "" && r.inPeriod(c.Time) {
		if err := r.count(c, strconv.Itoa(c.Status)); err != nil {
			return err
		}
	}
	if c.Kind == kindNobody {
		if r.inPeriod(c.Time) {
			r.report.AboutNobody++
		}
		return nil
	}
	if !r.Ledger {
		return nil
	}
	r.shared.callID = r.shared.callID || c.Receipt != ""
	r.shared.callToken = r.shared.callToken || c.Voucher != ""
	if c.Receipt != "" {
		c.Key = c.Receipt
		return r.byID.Add(c)
	}
	c.Key = c.Pair
	return r.byPair.Add(c)
}
