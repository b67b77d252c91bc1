// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	lru "github.com/hashicorp/golang-lru/v2"

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
	limiter := s.refusals.of(r)
	if s.holdOff(w, limiter) {
		return
	}
	answer, err := s.fetch(r)
	if err == nil {
		announce(w.Header(), limiter)
		s.writeAnswer(w, http.StatusOK, answer)
		return
	}
	status, p := s.judge(err)
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest // of the header, not of a submission
	}
	count(limiter, status)
	announce(w.Header(), limiter)
	writeProblem(w, status, p)
}

func (s *Server) fetch(r *http.Request) (*ledger.Answer, error) {
	iss, jti := r.PathValue("iss"), r.PathValue("jti")
	signature, err := pdnd.CheckRequest(r.Context(), pdnd.SignedRequest{
		Token: r.Header.Get("Agid-JWT-Signature"), Digest: r.Header.Get("Digest"), ContentType: r.Header.Get("Content-Type"),
	}, s.node.Settings.Name, bodyKeys{s.node, iss}, s.node.Now())
	var p *ledger.Problem
	switch {
	case errors.As(err, &p):
		// The caller may mend the rest without learning anything.
		if slices.Contains([]string{pdnd.CodeKeyUnknown, pdnd.CodeKeyNotInForce, pdnd.CodeSignature}, p.Code) {
			err = node.ErrNoReceipt
		}
		return nil, err
	case err != nil:
		return nil, err
	case signature.Issuer != iss:
		return nil, node.ErrNoReceipt
	}
	if err := s.fetches.use(signature, jti, s.node.Now()); err != nil {
		return nil, err
	}
	return s.node.Fetch(r.Context(), iss, jti)
}

// maxTokenLife is how long the token of a signed request may be good from now.
const maxTokenLife = time.Hour

// maxTokens is how many live tokens are remembered, the latest used.
const maxTokens = 1 << 16

// tokenUses ties each token of a signed request to the first receipt it asks
// for. INTEGRITY_REST_02 signs headers and content, not the path: whoever gets
// hold of a header that was sent, from a proxy's log say, could else fetch the
// issuer's other receipts with it. A restart forgets the ties, so tokens live
// for an hour at most.
type tokenUses struct {
	receipts *lru.Cache[tokenID, string] // jti of the receipt
}

// tokenID is what a token says of itself: ECDSA gives the same claims a second
// good signature, so its bytes would not do.
type tokenID struct{ iss, jti string }

func newTokenUses() *tokenUses {
	receipts, err := lru.New[tokenID, string](maxTokens)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return &tokenUses{receipts}
}

// use notes that a good token asks for a receipt.
func (u *tokenUses) use(token *pdnd.Signature, receipt string, now time.Time) error {
	const where = "header:Agid-JWT-Signature"
	if latest := now.Add(maxTokenLife); token.Expires.After(latest) {
		return &ledger.Problem{Code: pdnd.CodeLifetime, Where: where + "#exp", Expected: "not after " + latest.UTC().Format(time.RFC3339), Found: token.Expires.UTC().Format(time.RFC3339)}
	}
	if first, known, _ := u.receipts.PeekOrAdd(tokenID{token.Issuer, token.JTI}, receipt); known && first != receipt {
		return &ledger.Problem{Code: "token_used", Where: where + "#jti", Expected: "a token of its own for each receipt", Found: "one that asked for another receipt"}
	}
	return nil
}

// bodyKeys gives the keys in force of one body, in the form that tokens of
// others are checked with.
type bodyKeys struct {
	node *node.Node
	body string
}

func (k bodyKeys) Key(_ context.Context, kid string, _ time.Time) (jose.JSONWebKey, error) {
	key, err := k.node.Registry().Key(k.body, kid, k.node.Latest().Root.Size)
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
