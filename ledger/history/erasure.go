// SPDX-License-Identifier: EUPL-1.2

package history

import (
	"fmt"
	"strconv"
	"strings"
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

// ParseErasure reads the operation of a request's receipt; false if it asks for something else.
func ParseErasure(op ledger.Operation) (e Erasure, ok bool) {
	if op.Method != "DELETE" {
		return e, false
	}
	if place, found := strings.CutPrefix(op.Path, "/events/"); found {
		year, index, _ := strings.Cut(place, "/")
		e.Epoch, e.Index = uint32(number(year, 4)), number(index, 16)
	} else if month, found := strings.CutPrefix(op.Path, "/months/"); found {
		if _, err := time.Parse("2006-01", month); err != nil {
			return Erasure{}, false
		}
		e.Epoch, e.Month = uint32(number(month[:4], 4)), month
	}
	// Whatever was read, the path is the one that it would be written as.
	if e.Epoch < 1000 || e.Operation() != op {
		return Erasure{}, false
	}
	return e, true
}

// number reads up to this many digits; 0 for anything else.
func number(text string, digits int) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || len(text) > digits {
		return 0
	}
	return n
}
