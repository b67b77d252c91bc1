// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"context"
	"net/http"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// serveSubjectProofs gives the party of a scope the VRF proofs of its subjects'
// keys (docs/provider-check.md). Subjects travel in the content alone. One such
// request is worked on at a time, so that recording keeps its processors.
func (s *Server) serveSubjectProofs(w http.ResponseWriter, r *http.Request) {
	scope := r.PathValue("scope")
	s.serveContent(w, r, scope, s.proving, func(ctx context.Context, content []byte) error {
		request, err := own.ParseProofsRequest(content)
		if err != nil {
			return err
		}
		proofs, err := s.node.SubjectProofs(ctx, request.Epoch, scope, request.Subjects)
		if err != nil {
			return err
		}
		answer := own.ProofsAnswer{Origin: ledger.Origin(s.node.Settings.Name, request.Epoch), Scope: scope}
		for i := range proofs {
			answer.Proofs = append(answer.Proofs, proofs[i][:])
		}
		body, err := own.FormatProofsAnswer(&answer)
		if err == nil {
			s.answerContent(w, http.StatusOK, "application/json", body)
		}
		return err
	})
}

// statementRequest has a statement recorded.
//
//	{"statement":"eyJhbGciOiJFUzI1NiIs…"}
type statementRequest struct {
	Statement string `json:"statement"`
}

// serveProviderCheck records that a scope's party checked its records.
func (s *Server) serveProviderCheck(w http.ResponseWriter, r *http.Request) {
	s.serveStatement(w, r, s.node.RecordCheck)
}

// serveBreakGlass records that a scope's party opened or closed a session of
// break-glass.
func (s *Server) serveBreakGlass(w http.ResponseWriter, r *http.Request) {
	s.serveStatement(w, r, s.node.RecordSession)
}

// serveStatement records what a scope's party signed, which needs no other
// credential than its own signature.
func (s *Server) serveStatement(w http.ResponseWriter, r *http.Request, record func(ctx context.Context, statement string) (origin string, index uint64, replayed bool, err error)) {
	s.serveContent(w, r, "", s.lists, func(ctx context.Context, content []byte) error {
		var request statementRequest
		if err := parseContent(content, &request); err != nil {
			return err
		}
		origin, index, replayed, err := record(ctx, request.Statement)
		if err != nil {
			return err
		}
		body, err := own.FormatCheckAnswer(&own.CheckAnswer{Origin: origin, Index: index})
		if err != nil {
			return err
		}
		s.answerRecorded(w, replayed, body)
		return nil
	})
}
