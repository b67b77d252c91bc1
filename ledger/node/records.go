// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// AddBody registers a body and returns its record's log index.
func (n *Node) AddBody(ctx context.Context, b registry.Body) (uint64, error) {
	return n.record(ctx, b)
}

// AddBodies registers many bodies in one commit.
func (n *Node) AddBodies(ctx context.Context, bodies []registry.Body) (uint64, error) {
	records := make([]any, len(bodies))
	for i, b := range bodies {
		records[i] = b
	}
	return n.record(ctx, records...)
}

// AddKey registers a verification key of a body. With a proof, a compact JWS
// over registry.KeyStatement, a key in force of the body vouches for it;
// without, the operator alone does, and the record says so.
func (n *Node) AddKey(ctx context.Context, body string, key jws.Key, proof string) (uint64, error) {
	jwk, err := jws.FormatKey(key)
	if err != nil {
		return 0, fmt.Errorf("couldn't register the key: %w", err)
	}
	k := registry.Key{Body: body, Kid: key.Kid, JWK: jwk, Basis: registry.BasisOperator}
	if proof != "" {
		k.Basis, k.Proof = registry.BasisSigned, proof
	}
	return n.record(ctx, k)
}

// RevokeKey ends a key for whatever is recorded after it.
func (n *Node) RevokeKey(ctx context.Context, body, kid, reason string) (uint64, error) {
	return n.record(ctx, registry.KeyRevoked{Body: body, Kid: kid, Reason: reason})
}

// SetScope says which providers a party with a recording gateway speaks for,
// from the next event on.
func (n *Node) SetScope(ctx context.Context, s registry.Scope) (uint64, error) {
	return n.record(ctx, s)
}

func (n *Node) record(ctx context.Context, records ...any) (uint64, error) {
	formatted := make([][]byte, len(records))
	for i, r := range records {
		var err error
		if formatted[i], err = registry.FormatRecord(r); err != nil {
			return 0, err
		}
	}
	return n.append(ctx, formatted...)
}

// append adds records to the log of the year that it is.
func (n *Node) append(ctx context.Context, records ...[]byte) (index uint64, err error) {
	err = n.current(ctx, func(y *year) (err error) {
		index, err = y.seq.Record(ctx, records...)
		return err
	})
	return index, err
}
