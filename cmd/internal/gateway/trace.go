// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/ledger/govway"
)

// statusGone is what a trace says of a call whose consumer left before it was answered, as other servers' logs do.
const statusGone = 499

// trace has a line written of a call that ended: what PDND's tokens say of it, and no person, operator or path.
func (c *call) trace(began time.Time, outcome string) {
	l := govway.Line{
		Transaction: uuid.NewString(), At: began, Status: c.w.Status, OwnReceipt: c.w.Header().Get(ReceiptHeader), OwnCohort: c.w.Header().Get(CohortHeader),
	}
	if c.route != nil {
		l.Method, l.OwnEService = c.route.Operation.Method, c.route.Service.ID
	}
	if c.who != nil {
		l.OwnVoucher, l.OwnPurpose = c.who.VoucherID, c.who.PurposeID
	}
	switch {
	case outcome == outcomeGone:
		l.Status = statusGone
	case (outcome == outcomePassed || outcome == outcomeBroken) && l.OwnReceipt+l.OwnCohort == "":
		l.OwnReceipt = govway.Nobody
	}
	c.traces.Add([]byte(govway.FormatOwn(&l) + "\n"))
}
