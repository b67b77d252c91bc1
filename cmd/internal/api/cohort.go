// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"context"
	"net/http"

	"github.com/traccia-ledger/traccia/ledger"
)

// serveCohort records that a body was given an aggregate. Its statement is signed, and needs no other credential.
func (s *Server) serveCohort(w http.ResponseWriter, r *http.Request) {
	s.serveContent(w, r, "", s.lists, func(ctx context.Context, content []byte) error {
		answer, replayed, err := s.node.RecordCohort(ctx, content)
		if err != nil {
			return err
		}
		body, err := ledger.FormatCohortAnswer(answer)
		if err != nil {
			return err
		}
		s.answerRecorded(w, replayed, body)
		return nil
	})
}
