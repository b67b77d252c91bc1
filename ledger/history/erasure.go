// SPDX-License-Identifier: EUPL-1.2

package history

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Erasure is what a citizen's request for erasure names: an event by year and leaf index, or a month of events. A request
// is an event of ledger.KindRequest; its receipt says it in its operation:
//
//	{"method":"DELETE","path":"/events/2026/69990"}
//	{"method":"DELETE","path":"/months/2026-11"}
type Erasure struct {
	Epoch uint32
	Index uint64
	Month string // "2026-11"; "" where an event is named
}

// Operation returns what a request's receipt says.
func (e Erasure) Operation() ledger.Operation {
	path := "/months/" + e.Month
	if e.Month == "" {
		path = fmt.Sprintf("/events/%d/%d", e.Epoch, e.Index)
	}
	return ledger.Operation{Method: "DELETE", Path: path}
}

// What a request for erasure says of itself.
const (
	erasurePurpose   = "Cancellazione, chiesta dall'interessato"
	erasureBasis     = "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c"
	erasureReference = "Regolamento (UE) 2016/679, art. 17"
	erasureCategory  = "https://w3id.org/dpv#ObservedPersonalData"
)

// Receipt returns the receipt of a request that a body takes from citizens whom it identified, for a ledger of this name.
// What it commits to is still to be filled in: private part and subjects.
func (e Erasure) Receipt(ledgerName, body, jti string, now time.Time) *ledger.Receipt {
	return &ledger.Receipt{
		Aud: ledgerName, Iss: body, JTI: jti, IssuedAt: now.Unix(), Role: ledger.RoleRequester, Provider: body, Consumer: body,
		Purpose: erasurePurpose, LegalBasis: erasureBasis, LegalReference: erasureReference, DataCategories: []string{erasureCategory},
		Actor: ledger.ActorOperator, Operation: e.Operation(), OccurredAt: now.UTC().Format("2006-01-02T15:04:05Z"),
	}
}

var (
	erasedEvent = regexp.MustCompile(`^/events/([1-9][0-9]{3})/(0|[1-9][0-9]{0,15})$`)
	erasedMonth = regexp.MustCompile(`^/months/([1-9][0-9]{3})-(0[1-9]|1[0-2])$`)
)

// ParseErasure reads the operation of a request's receipt; false if it asks for something else.
func ParseErasure(op ledger.Operation) (e Erasure, ok bool) {
	if op.Method != "DELETE" {
		return e, false
	}
	if m := erasedEvent.FindStringSubmatch(op.Path); m != nil {
		epoch, _ := strconv.ParseUint(m[1], 10, 32)
		e.Epoch = uint32(epoch)
		e.Index, _ = strconv.ParseUint(m[2], 10, 64)
		return e, true
	}
	if m := erasedMonth.FindStringSubmatch(op.Path); m != nil {
		epoch, _ := strconv.ParseUint(m[1], 10, 32)
		return Erasure{Epoch: uint32(epoch), Month: m[1] + "-" + m[2]}, true
	}
	return e, false
}
