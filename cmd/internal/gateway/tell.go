// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// tellOpened has the opening of a session recorded. It is signed when it is told:
// what it says stands in the memory since the session was opened.
func (g *Gateway) tellOpened(s *memory.Session) error {
	c := g.parts.Load().Config
	err := g.tell(registry.SessionOpened{
		Aud: c.Ledger.Name, Scope: c.Identity.Body, Session: s.ID, Opened: s.Opened.UnixMilli(), Until: s.Until.UnixMilli(), Warrant: ledger.Hex(Warrant(s)),
	})
	if err != nil {
		return err
	}
	return g.memory.Told(s.ID, s.TellRecorded)
}

// tellClosed has the end of a session recorded, with how many of its receipts are.
func (g *Gateway) tellClosed(s *memory.Session) error {
	c := g.parts.Load().Config
	err := g.tell(registry.SessionClosed{
		Aud: c.Ledger.Name, Scope: c.Identity.Body, Session: s.ID, Closed: s.Closed.UnixMilli(), Count: s.Count, Recorded: s.Recorded, Last: ledger.Hex(s.Last),
	})
	if err != nil {
		return err
	}
	return g.memory.Told(s.ID, s.Recorded)
}

// tell has a statement about a session recorded. The error is errUnknown where the
// ledger doesn't answer.
func (g *Gateway) tell(statement any) error {
	payload, typ, err := registry.FormatSession(statement)
	if err != nil {
		return err
	}
	p := g.parts.Load()
	compact, err := jws.Sign(typ, payload, p.Key.Kid, p.Key.Signer)
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Statement string `json:"statement"`
	}{compact})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(g.ctx, recordPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Ledger.JoinPath("v1", "break-glass").String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.recorder.client.Do(req)
	if err != nil {
		return g.recorder.unknown()
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxTold))
	if err != nil {
		return g.recorder.unknown()
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated:
		g.recorder.answered()
		return nil
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		var problem ledger.Problem
		if json.Unmarshal(said, &problem) == nil && problem.Code != "" {
			g.recorder.answered()
			return fmt.Errorf("the ledger refuses a statement about a session: %w", &problem)
		}
	}
	return g.recorder.unknown()
}

const maxTold = 1 << 16
