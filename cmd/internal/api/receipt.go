// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"errors"
	"net/http"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// serveReceipt hands a submission's answer to whoever sent it: the request is
// signed by the issuer. To all others there is nothing here, whether or not
// there is; where a header is wrong, the answer says which all the same.
func (s *Server) serveReceipt(w http.ResponseWriter, r *http.Request) {
	limiter := s.refusals.of(r)
	if s.holdOff(w, limiter) {
		return
	}
	answer, err := s.fetch(r)
	if err == nil {
		s.refusals.announce(w.Header(), limiter)
		s.writeAnswer(w, http.StatusOK, answer)
		return
	}
	status, p := s.judge(err)
	if status == http.StatusUnprocessableEntity || status == http.StatusBadRequest {
		status = http.StatusNotFound // of a header: no request signed by the issuer
	}
	s.refusals.count(limiter, status)
	s.refusals.announce(w.Header(), limiter)
	WriteProblem(w, status, p)
}

func (s *Server) fetch(r *http.Request) (*ledger.Answer, error) {
	iss, jti := r.PathValue("iss"), r.PathValue("jti")
	switch err := s.signedBy(r, iss, nil); {
	case errors.Is(err, errNotSigner):
		return nil, node.ErrNoReceipt
	case err != nil:
		return nil, err
	}
	return s.node.Fetch(r.Context(), iss, jti)
}
