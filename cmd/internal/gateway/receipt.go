// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
)

// receiptOf is what is recorded of a call, but for its subjects and digests.
func receiptOf(ledgerName, iss string, route *config.Route, call *checks.Call) *ledger.Receipt {
	o := route.Operation
	return &ledger.Receipt{
		Aud: ledgerName, Iss: iss, JTI: uuid.NewString(), IssuedAt: time.Now().Unix(), Role: ledger.RoleProvider,
		Provider: route.Service.Provider, Consumer: call.Consumer, EService: route.Service.ID, PurposeID: call.PurposeID,
		Purpose: o.Purpose, LegalBasis: o.LegalBasis, LegalReference: o.LegalReference, DataCategories: o.DataCategories,
		Actor: call.Actor, Operation: ledger.Operation{Method: o.Method, Path: o.Path},
		OccurredAt: call.At.UTC().Format("2006-01-02T15:04:05.000Z"), Pair: call.Pair,
	}
}

// undelivered is the statement that nothing was released of what a receipt
// authorised. It is the same receipt whenever it is made: the ledger records one.
func undelivered(about *ledger.Receipt) *ledger.Receipt {
	now := time.Now()
	return &ledger.Receipt{
		Aud: about.Aud, Iss: about.Iss, JTI: ledger.UndeliveredJTI(about.ReceiptID()), IssuedAt: now.Unix(), Role: about.Role, Provider: about.Provider, Consumer: about.Consumer,
		Purpose: "Mancata consegna", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c",
		LegalReference: "Regolamento (UE) 2016/679, art. 5, par. 1, lett. d)", DataCategories: []string{"https://w3id.org/dpv#ObservedPersonalData"},
		Actor: ledger.ActorService, Operation: ledger.Operation{Method: "POST", Path: "/statements"}, OccurredAt: now.UTC().Format(time.RFC3339),
		Statement: &ledger.Statement{Kind: ledger.StatementUndelivered, Receipt: about.ReceiptID()},
	}
}
