// SPDX-License-Identifier: EUPL-1.2

package checks

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

// statusOf is what HTTP says to a call that is refused: 404 and 405 where it is for nothing here, 403 where a good token is
// for something else, 400 where the request itself is wrong, 401 for every other fault of a token.
func statusOf(p *ledger.Problem) int {
	switch {
	case p.Code == config.CodeNoService || p.Code == config.CodeNoOperation:
		return http.StatusNotFound
	case p.Code == config.CodeNoMethod:
		return http.StatusMethodNotAllowed
	case p.Code == CodeConsumer || p.Code == pdnd.CodeMismatch && strings.HasPrefix(p.Where, "voucher#"):
		return http.StatusForbidden
	case strings.HasPrefix(p.Where, "voucher"), strings.HasPrefix(p.Where, "evidence"):
		return http.StatusUnauthorized
	case strings.HasPrefix(p.Where, "header:Authorization"), strings.HasPrefix(p.Where, "header:"+HeaderProof), strings.HasPrefix(p.Where, "header:Agid-"):
		return http.StatusUnauthorized
	}
	return http.StatusBadRequest
}

// refusal is what goes out as application/problem+json (RFC 9457):
//
//	{"type":"about:blank","title":"Unauthorized","status":401,"code":"wrong_audience",
//	 "where":"voucher#aud","expected":"https://api.inps.example/…","found":"https://api.altro.example/…"}
type refusal struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	ledger.Problem
}

// Refuse answers a call that [Checker.Check], Config.Route or package subjects refused, and returns the status. An error
// that is no *ledger.Problem is the gateway's own: 503, without its words.
func Refuse(w http.ResponseWriter, err error) int {
	status := http.StatusServiceUnavailable
	said := ledger.Problem{Code: "unchecked", Where: "gateway", Expected: "the same call again, later", Found: "a check that couldn't be made"}
	var p *ledger.Problem
	if errors.As(err, &p) {
		status, said = statusOf(p), *p
	}
	h := w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", challenge(&said))
	case http.StatusMethodNotAllowed:
		h.Set("Allow", said.Expected)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// What a client that is gone doesn't read is no loss.
	json.NewEncoder(w).Encode(refusal{"about:blank", http.StatusText(status), status, said})
	return status
}

// challenge is RFC 6750's, or RFC 9449's for a proof and where one is needed.
func challenge(p *ledger.Problem) string {
	switch {
	case p.Code == CodeDPoP:
		return `DPoP algs="RS256 ES256", error="invalid_token"`
	case strings.HasPrefix(p.Where, "header:"+HeaderProof):
		return `DPoP algs="RS256 ES256", error="invalid_dpop_proof"`
	case strings.HasPrefix(p.Where, "voucher"):
		return `Bearer error="invalid_token"`
	}
	return "Bearer"
}
