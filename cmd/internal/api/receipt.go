// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// serveReceipt hands a submission's answer to whoever sent it: the request is
// signed by INTEGRITY_REST_02 with a key registered for the issuer, over the
// digest of the empty body, with the ledger's name as audience. To all others
// there is nothing here, whether or not there is.
func (s *Server) serveReceipt(w http.ResponseWriter, r *http.Request) {
	iss, jti := r.PathValue("iss"), r.PathValue("jti")
	signature, err := pdnd.CheckRequest(r.Context(), pdnd.SignedRequest{
		Token: r.Header.Get("Agid-JWT-Signature"), Digest: r.Header.Get("Digest"), ContentType: r.Header.Get("Content-Type"),
	}, s.node.Settings.Name, bodyKeys{s.node, iss}, s.node.Now())
	var p *ledger.Problem
	switch {
	case errors.As(err, &p) && p.Code != pdnd.CodeKeyUnknown && p.Code != pdnd.CodeKeyNotInForce && p.Code != pdnd.CodeSignature:
		// What a caller can mend without learning anything.
		writeProblem(w, http.StatusBadRequest, *p)
		return
	case err == nil && signature.Issuer != iss, errors.As(err, &p):
		status, p := s.judge(node.ErrNoReceipt)
		writeProblem(w, status, p)
		return
	case err != nil:
		status, p := s.judge(err)
		writeProblem(w, status, p)
		return
	}
	answer, err := s.node.Fetch(r.Context(), iss, jti)
	if err != nil {
		status, p := s.judge(err)
		writeProblem(w, status, p)
		return
	}
	body, err := ledger.FormatAnswer(answer)
	if err != nil {
		s.log.Error("couldn't format an answer", "error", err)
		writeProblem(w, http.StatusInternalServerError, internal)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(body)
}

// bodyKeys gives the keys in force of one body, in the form that tokens of
// others are checked with.
type bodyKeys struct {
	node *node.Node
	body string
}

func (k bodyKeys) Key(_ context.Context, kid string, _ time.Time) (jose.JSONWebKey, error) {
	key, err := k.node.Registry.Key(k.body, kid, k.node.Latest().Root.Size)
	switch {
	case errors.Is(err, registry.ErrUnknownKey):
		return jose.JSONWebKey{}, pdnd.ErrUnknownKey
	case errors.Is(err, registry.ErrRevokedKey):
		return jose.JSONWebKey{}, pdnd.ErrKeyNotInForce
	case err != nil:
		return jose.JSONWebKey{}, err
	}
	return jose.JSONWebKey{Key: key.Public, KeyID: key.Kid, Algorithm: key.Alg}, nil
}
