// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/traccia-ledger/traccia/ledger"
)

// serveConsent records one event about consent, for the body whose receipt collects it. The receipt is a signed request of
// its own, good for one event: it commits to the citizen, the statement and the private part.
func (s *Server) serveConsent(w http.ResponseWriter, r *http.Request) {
	s.serveContent(w, r, "", s.lists, func(ctx context.Context, content []byte) error {
		answer, replayed, err := s.node.RecordConsent(ctx, content)
		if err != nil {
			return err
		}
		body, err := ledger.FormatAnswer(answer)
		if err != nil {
			return err
		}
		s.answerRecorded(w, replayed, body)
		return nil
	})
}

// serveConsentLookUp tells a body of a citizen's consents that concern it.
func (s *Server) serveConsentLookUp(w http.ResponseWriter, r *http.Request) {
	s.serveSigned(w, r, func(ctx context.Context, agency string, content []byte) error {
		seen, err := s.node.LookUpConsents(ctx, agency, content)
		if err != nil {
			return err
		}
		body, err := json.Marshal(seen)
		if err != nil {
			return err
		}
		s.answerContent(w, http.StatusOK, "application/json", body)
		return nil
	})
}
