// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

// EServiceSettings say as which e-service of PDND the ledger takes submissions. All
// but Descriptors are required.
//
//	{"id":"3d0a8a4e-…","producer":"8f1b7c55-…","audience":["https://registro.example/v1"],"descriptors":["b0a1…"]}
type EServiceSettings struct {
	ID          string   `json:"id"`       // uuid of the e-service
	Producer    string   `json:"producer"` // uuid of the tenant that offers it
	Audience    []string `json:"audience"` // one of which each token is for
	Descriptors []string `json:"descriptors,omitempty"`
}

func (e *EServiceSettings) check() error {
	if e == nil {
		return nil
	}
	for name, id := range map[string]string{"id": e.ID, "producer": e.Producer} {
		if ledger.CheckUUID(id) != nil {
			return fmt.Errorf("pdnd/eservice/%s: expected a uuid", name)
		}
	}
	for _, id := range e.Descriptors {
		if ledger.CheckUUID(id) != nil {
			return errors.New("pdnd/eservice/descriptors: expected uuids")
		}
	}
	if len(e.Audience) == 0 {
		return errors.New("pdnd/eservice/audience: expected at least one")
	}
	return nil
}

// Caller says for which tenant and client PDND issued a voucher to call the ledger
// with; the tenant is "" in vouchers older than July 2025. A refusal is a
// *ledger.Problem at header:Authorization.
func (n *Node) Caller(ctx context.Context, voucher string) (tenant, client string, err error) {
	const where = "header:Authorization"
	e := n.Settings.PDND.EService
	if e == nil {
		return "", "", &ledger.Problem{Code: "no_eservice", Where: where, Expected: "nothing: this ledger is no e-service of PDND", Found: "a voucher"}
	}
	_, claims, err := n.tokens.Check(ctx, pdnd.Call{
		Voucher: voucher, OccurredAt: n.Now(), ProducerID: e.Producer, EServiceID: e.ID, DescriptorIDs: e.Descriptors, Audience: e.Audience,
	})
	var p *ledger.Problem
	switch {
	case errors.As(err, &p):
		return "", "", &ledger.Problem{Code: p.Code, Where: strings.Replace(p.Where, "voucher", where, 1), Expected: p.Expected, Found: p.Found}
	case err != nil && ctx.Err() == nil:
		return "", "", fmt.Errorf("%w: %w", intake.ErrKeys, err)
	case err != nil:
		return "", "", err
	case claims.KeyThumbprint != "":
		return "", "", &ledger.Problem{Code: ledger.CodeBadValue, Where: where + "#cnf", Expected: "a voucher that isn't bound to a key", Found: "one that is"}
	}
	return claims.ConsumerID, claims.ClientID, nil
}

// ClientKey finds a key of PDND's clients.
func (n *Node) ClientKey(ctx context.Context, kid string, at time.Time) (jose.JSONWebKey, error) {
	return n.clients.Key(ctx, kid, at)
}
