// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
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
	return s.c.patiently(ctx, func() ([]byte, error) { return s.postOnce(ctx, path, content) })
}

// patiently asks until the ledger answers, or for too long.
func (c *client) patiently(ctx context.Context, ask func() ([]byte, error)) ([]byte, error) {
	pace := c.pacer()
	for {
		data, err := ask()
		var later *unavailable
		switch {
		case ctx.Err() != nil && err != nil:
			return nil, interrupted(ctx)
		case errors.As(err, &later):
			if err := pace.wait(ctx, later); err != nil {
				return nil, &cli.CouldNotCheck{Err: err}
			}
		default:
			return data, err
		}
	}
}

func (s *signedClient) postOnce(ctx context.Context, path string, content []byte) ([]byte, error) {
	ctx, _, cancel := watched(ctx)
	defer cancel()
	r, err := s.c.request(ctx, "v1/agencies/"+s.key.Body+"/"+path, "application/json", content)
	if err != nil {
		return nil, err
	}
	if err := s.key.SignRequest(r, content, s.ledger, time.Now()); err != nil {
		return nil, err
	}
	resp, err := s.c.send(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, &unavailable{err: fmt.Errorf("couldn't read the ledger's answer: %w", err)}
	}
	return data, nil
}
