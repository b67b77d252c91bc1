// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
)

// signedClient sends requests that the ledger wants signed by the body.
type signedClient struct {
	c      *client
	key    *agencykey.Key
	ledger string // its name
}

// post sends a request that the body signs until it is answered; each attempt
// is signed anew. A refusal is a *refusal.
func (s *signedClient) post(ctx context.Context, path string, content []byte) ([]byte, error) {
	return patiently(ctx, s.c, func() ([]byte, error) {
		r, err := s.c.request(ctx, "v1/agencies/"+s.key.Body+"/"+path, "application/json", content)
		if err != nil {
			return nil, err
		}
		if err := s.key.SignRequest(r, content, s.ledger, time.Now()); err != nil {
			return nil, err
		}
		_, data, err := s.c.ask(r)
		return data, err
	})
}
