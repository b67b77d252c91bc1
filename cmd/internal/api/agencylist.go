// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// maxListRequest is the longest content of a request about a list, in bytes: a
// private part and a receipt fit.
const maxListRequest = 128 << 10

// atOnce is how many parts of lists are made at a time; each takes some tens of
// megabytes at most. Others wait for their turn.
const atOnce = 8

// partRequest asks for a part of a list, with what opens its events or without.
//
//	{"epoch":2026,"from":0,"count":1000,"open":true}
type partRequest struct {
	Epoch uint32 `json:"epoch"`
	From  uint64 `json:"from"`
	Count int    `json:"count"`
	Open  bool   `json:"open"`
}

// citizensRequest asks what the receipt with this jti must commit to.
//
//	{"epoch":2026,"from":0,"count":1000,"jti":"5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11"}
type citizensRequest struct {
	Epoch uint32 `json:"epoch"`
	From  uint64 `json:"from"`
	Count int    `json:"count"`
	JTI   string `json:"jti"`
}

// lookUpRequest has a look-up recorded.
//
//	{"epoch":2026,"from":0,"count":1000,"receipt":"eyJ…","private":{"salt":"8sv7…","content":"e30"}}
type lookUpRequest struct {
	Epoch   uint32 `json:"epoch"`
	From    uint64 `json:"from"`
	Count   int    `json:"count"`
	Receipt string `json:"receipt"`
	Private struct {
		Salt    string `json:"salt"`
		Content string `json:"content"`
	} `json:"private"`
}

// parseListRequest reads the content of a request about a list.
func parseListRequest(content []byte, into any) error {
	err := ijson.Unmarshal(content, into)
	if err == nil {
		return nil
	}
	p := &ledger.Problem{Code: ledger.CodeSyntax, Expected: "the members that this request has", Found: "something else"}
	var e *ijson.Error
	if errors.As(err, &e) {
		p.Where, p.Expected, p.Found = e.Pointer, e.Expected, e.Found
	}
	return p
}

// agencyRange is the piece of a list that a request names.
func agencyRange(epoch uint32, from uint64, count int) (r node.AgencyRange, err error) {
	if count < 1 || count > history.MaxPartEvents {
		return r, &ledger.Problem{
			Code: ledger.CodeBadCount, Where: "/count", Expected: fmt.Sprintf("1 to %d", history.MaxPartEvents), Found: fmt.Sprint(count),
		}
	}
	return node.AgencyRange{Epoch: epoch, From: from, Count: count}, nil
}

// servePart hands a body a part of its own list.
func (s *Server) servePart(w http.ResponseWriter, r *http.Request) {
	s.serveSigned(w, r, func(ctx context.Context, agency string, content []byte) error {
		var request partRequest
		if err := parseListRequest(content, &request); err != nil {
			return err
		}
		at, err := agencyRange(request.Epoch, request.From, request.Count)
		if err != nil {
			return err
		}
		part, err := s.node.AgencyPart(ctx, agency, at, request.Open)
		if err != nil {
			return err
		}
		s.answerSigned(w, "application/gzip", part)
		return nil
	})
}

// serveUnseen tells a body what the receipt of its look-up has to commit to.
func (s *Server) serveUnseen(w http.ResponseWriter, r *http.Request) {
	s.serveSigned(w, r, func(ctx context.Context, agency string, content []byte) error {
		var request citizensRequest
		if err := parseListRequest(content, &request); err != nil {
			return err
		}
		at, err := agencyRange(request.Epoch, request.From, request.Count)
		if err != nil {
			return err
		}
		if len(request.JTI) != len("5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11") { // the receipt's own check has the last word
			return &ledger.Problem{Code: ledger.CodeBadUUID, Where: "/jti", Expected: "a uuid in lower-case hex, 8-4-4-4-12", Found: fmt.Sprintf("a string of %d bytes", len(request.JTI))}
		}
		unseen, err := s.node.UnseenCitizens(ctx, agency, at, request.JTI)
		if err != nil {
			return err
		}
		body, err := json.Marshal(unseen)
		if err != nil {
			return err
		}
		s.answerSigned(w, "application/json", body)
		return nil
	})
}

// serveLookUp records a body's look-up at its own list.
func (s *Server) serveLookUp(w http.ResponseWriter, r *http.Request) {
	s.serveSigned(w, r, func(ctx context.Context, agency string, content []byte) error {
		var request lookUpRequest
		if err := parseListRequest(content, &request); err != nil {
			return err
		}
		at, err := agencyRange(request.Epoch, request.From, request.Count)
		if err != nil {
			return err
		}
		l, err := request.lookUp(agency)
		if err != nil {
			return err
		}
		answer, err := s.node.LookUpList(ctx, at, *l)
		if err != nil {
			return err
		}
		body, err := ledger.FormatAnswer(answer)
		if err != nil {
			return err
		}
		s.answerSigned(w, "application/json", body)
		return nil
	})
}

// lookUp reads what a body signed.
func (q *lookUpRequest) lookUp(agency string) (*node.LookUp, error) {
	receipt, err := ledger.ParseReceipt(q.Receipt)
	if err != nil {
		return nil, err
	}
	if receipt.Iss != agency {
		return nil, &ledger.Problem{Code: ledger.CodeBadValue, Where: "receipt#iss", Expected: "the body that the path names", Found: "another"}
	}
	l := &node.LookUp{Receipt: receipt}
	salt, err := base64.RawURLEncoding.Strict().DecodeString(q.Private.Salt)
	if err != nil || len(salt) != len(l.Salt) {
		return nil, &ledger.Problem{Code: ledger.CodeBadSalt, Where: "/private/salt", Expected: "32 bytes in base64url without padding", Found: fmt.Sprintf("a string of %d bytes", len(q.Private.Salt))}
	}
	copy(l.Salt[:], salt)
	if l.Content, err = base64.RawURLEncoding.Strict().DecodeString(q.Private.Content); err != nil {
		return nil, &ledger.Problem{Code: ledger.CodeBadBase64, Where: "/private/content", Expected: "base64url without padding", Found: "another text"}
	}
	_, err = ledger.ParsePrivate(l.Content)
	return l, err
}

// serveSigned reads the content of a request of the body that the path names,
// authenticates the body, and has the rest done, one of few at a time.
func (s *Server) serveSigned(w http.ResponseWriter, r *http.Request, serve func(ctx context.Context, agency string, content []byte) error) {
	limiter := s.refusals.of(r)
	if s.holdOff(w, limiter) {
		return
	}
	refuse := func(status int, p ledger.Problem) {
		count(limiter, status)
		announce(w.Header(), limiter)
		writeProblem(w, status, p)
	}
	if p := checkContentType(r, "application/json"); p != nil {
		refuse(http.StatusUnsupportedMediaType, *p)
		return
	}
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxListRequest))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(http.StatusRequestEntityTooLarge, ledger.Problem{Code: "too_large", Expected: fmt.Sprintf("at most %d bytes", maxListRequest), Found: "more"})
		return
	case err != nil:
		refuse(http.StatusRequestTimeout, s.incomplete("a whole request"))
		return
	}
	agency := r.PathValue("agency")
	if err := s.signedBy(r, agency, content); err != nil {
		status, p := s.judge(err)
		if status == http.StatusUnprocessableEntity {
			status = http.StatusBadRequest // of a header
		}
		refuse(status, p)
		return
	}
	// It may wait for its turn, and for the log to be published.
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{})
	control.SetWriteDeadline(time.Time{})
	if err := s.lists.Acquire(r.Context(), 1); err != nil {
		return // the client is gone
	}
	defer s.lists.Release(1)
	announce(w.Header(), limiter)
	if err := serve(r.Context(), agency, content); err != nil {
		status, p := s.judge(err)
		control.SetWriteDeadline(time.Now().Add(s.patience))
		refuse(status, p)
	}
}

// answerSigned sends what nobody but the signer may see.
func (s *Server) answerSigned(w http.ResponseWriter, contentType string, body []byte) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.patience))
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Write(body)
}
