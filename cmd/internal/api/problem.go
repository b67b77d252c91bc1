// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// problem is what goes out as application/problem+json:
//
//	{"type":"about:blank","title":"Unprocessable Entity","status":422,"code":"expired",
//	 "where":"voucher#exp","expected":"after 2026-11-22T10:00:00Z","found":"2026-11-22T09:50:00Z"}
type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Code     string `json:"code,omitempty"`
	Where    string `json:"where,omitempty"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	*denial
}

// denial is what the submitter of an access is told that the policies deny: which
// of them forbid it and why, and nothing of the citizen. The denial is recorded
// under receipt_id, and answer is what proves it.
type denial struct {
	ReceiptID string          `json:"receipt_id"`
	Bundle    ledger.Hex      `json:"bundle"`   // digest of the policies, served by the log
	Policies  []ledger.Ground `json:"policies"` // that forbid it; none: no policy allows it
	Answer    *ledger.Answer  `json:"answer"`
}

// denialOf returns what a problem says beyond the usual, nil for any other error.
func denialOf(err error) *denial {
	var d *node.Denied
	if !errors.As(err, &d) {
		return nil
	}
	return &denial{d.Answer.ReceiptID, d.Decision.Bundle, d.Grounds, d.Answer}
}

// recorded says whether what was sent stands in the log all the same.
func (p *problem) recorded() bool { return p != nil && p.denial != nil }

// malformed are the codes of a member that is wrong by itself, as a schema can
// tell: 400. Every other refusal is of something well formed that doesn't hold,
// a subject's check character or a signature: 422.
var malformed = map[string]bool{
	ledger.CodeSyntax: true, ledger.CodeMissing: true, ledger.CodeUnknownName: true, ledger.CodeRepeated: true,
	ledger.CodeTooLong: true, ledger.CodeBadCount: true, ledger.CodeBadValue: true, ledger.CodeBadText: true,
	ledger.CodeBadName: true, ledger.CodeBadID: true, ledger.CodeBadUUID: true, ledger.CodeBadTime: true,
	ledger.CodeBadHash: true, ledger.CodeBadBase64: true, ledger.CodeBadSalt: true,
}

var internal = ledger.Problem{Code: "internal", Expected: "an answer", Found: "an error of the ledger's own"}

// judge turns an error of the node into a status and a problem.
func (s *Server) judge(err error) (int, ledger.Problem) {
	var p *ledger.Problem
	var denied *node.Denied
	later := func(code, found string) (int, ledger.Problem) {
		return http.StatusServiceUnavailable, TryLater(code, found)
	}
	switch {
	case errors.As(err, &denied):
		return http.StatusForbidden, ledger.Problem{
			Code: codeDenied, Where: "receipt", Expected: "an access that the active policies allow", Found: "one that is denied: " + denied.Error(),
		}
	case errors.As(err, &p):
		if malformed[p.Code] {
			return http.StatusBadRequest, *p
		}
		return http.StatusUnprocessableEntity, *p
	case errors.Is(err, errNotSigner):
		return http.StatusForbidden, ledger.Problem{Code: "not_signer", Where: "header:Agid-JWT-Signature", Expected: "a signature by the body that the path names, with a key of its own in force", Found: "one by another body or key"}
	case errors.Is(err, sequencer.ErrConflict):
		return http.StatusConflict, ledger.Problem{Code: "conflict", Where: "receipt#jti", Expected: "a jti not used before by this iss, or the same payload", Found: "another payload under it"}
	case errors.Is(err, node.ErrNoReceipt):
		return http.StatusNotFound, ledger.Problem{Code: "not_found", Where: "path", Expected: "a receipt of the signer", Found: "none"}
	case errors.Is(err, node.ErrErased):
		return http.StatusGone, ledger.Problem{Code: "erased", Where: "path", Expected: "a receipt whose events are kept", Found: "one whose events were erased"}
	case errors.Is(err, node.ErrNoScope):
		return http.StatusNotFound, ledger.Problem{Code: "no_scope", Where: "path", Expected: "a scope that the log of the year lists", Found: "one that it doesn't list"}
	case errors.Is(err, node.ErrNoLog):
		return http.StatusNotFound, ledger.Problem{Code: "no_log", Where: "/epoch", Expected: "a year of which the ledger has a log", Found: "one without a log"}
	case errors.Is(err, node.ErrNotLookedUp):
		return http.StatusConflict, ledger.Problem{Code: "not_looked_up", Where: "/open", Expected: "a look-up of this month, recorded, at each citizen of the part", Found: "citizens without one"}
	case errors.Is(err, node.ErrLookUpMoved):
		return http.StatusConflict, ledger.Problem{Code: "look_up_moved", Where: "receipt#subjects", Expected: "the citizens of the part without a look-up of this month", Found: "others; ask for them and sign again"}
	case errors.Is(err, sequencer.ErrBusy):
		return later("busy", "a full queue")
	case errors.Is(err, sequencer.ErrMoved):
		return later("busy", "a registry that keeps changing")
	case errors.Is(err, sequencer.ErrClosed), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, shuttingDown
	case errors.Is(err, sequencer.ErrClock), errors.Is(err, sequencer.ErrYearOver):
		s.log.Error("refusing to record", "error", err)
		return later("clock", "a clock that can't be right")
	case errors.Is(err, intake.ErrKeys):
		s.log.Error("couldn't check tokens", "error", err)
		return later("keys_unavailable", "a source of PDND's keys that doesn't answer")
	case errors.Is(err, sequencer.ErrStopped):
		return later(CodeStopped, "a ledger that stopped after a failed write")
	}
	s.log.Error("couldn't answer", "error", err)
	return http.StatusInternalServerError, internal
}

// TryLater is a problem of the moment: nothing was recorded, or the same may be sent
// again without harm.
func TryLater(code, found string) ledger.Problem {
	return ledger.Problem{Code: code, Expected: "the same request again, later", Found: found}
}

var shuttingDown = TryLater(CodeShuttingDown, "a ledger that is shutting down")

// Codes of problems that aren't of one place alone.
const (
	CodeShuttingDown = "shutting_down"
	CodeStopped      = "stopped"               // after a failed write, until a restart
	CodeNoSequencer  = "no_sequencer"          // of several nodes none sequences
	CodeUnreachable  = "sequencer_unreachable" // of several nodes one does, and the one that was asked can't reach it
	codeDenied       = "denied"                // the access is denied by policy, and recorded so
)

// WriteProblem answers a request with a problem.
func WriteProblem(w http.ResponseWriter, status int, p ledger.Problem) {
	sendProblem(w, newProblem(status, p))
}

func sendProblem(w http.ResponseWriter, p problem) {
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter(p.Code)))
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, "application/problem+json", p.Status, p)
}

// newProblem adds what HTTP says. The JSON Pointer of the whole document is
// empty, which would say nothing to a reader.
func newProblem(status int, p ledger.Problem) problem {
	if p.Where == "" && status < 500 && status != http.StatusTooManyRequests {
		p.Where = "body"
	}
	return problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Code: p.Code, Where: p.Where, Expected: p.Expected, Found: p.Found,
	}
}

// retryAfter is in seconds: a full queue empties at once, the rest wants an
// operator or a restart.
func retryAfter(code string) int {
	switch code {
	case "busy":
		return 1
	case CodeNoSequencer, CodeUnreachable: // it was waited for already
		return 5
	}
	return 30
}

func writeJSON(w http.ResponseWriter, contentType string, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	w.Write(body)
}
