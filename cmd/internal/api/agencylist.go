// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// atOnce is how many parts of lists are made at a time; each takes some tens of
// megabytes at most. Others wait for their turn.
const atOnce = 8

// partRequest asks for a part of a list, with what opens its events or without, and with the private parts or without.
//
//	{"epoch":2026,"from":0,"count":1000,"open":true,"private":true}
type partRequest struct {
	Epoch   uint32 `json:"epoch"`
	From    uint64 `json:"from"`
	Count   int    `json:"count"`
	Open    bool   `json:"open"`
	Private bool   `json:"private,omitempty"`
}

func (q *partRequest) opening() (node.Opening, error) {
	switch {
	case q.Private && !q.Open:
		return node.Closed, &ledger.Problem{Code: ledger.CodeBadValue, Where: "/private", Expected: "true with open alone", Found: "true without it"}
	case q.Private:
		return node.WithPrivate, nil
	case q.Open:
		return node.Opened, nil
	}
	return node.Closed, nil
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

// parseContent reads the content of a request.
func parseContent(content []byte, into any) error {
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
		if err := parseContent(content, &request); err != nil {
			return err
		}
		at, err := agencyRange(request.Epoch, request.From, request.Count)
		if err != nil {
			return err
		}
		what, err := request.opening()
		if err != nil {
			return err
		}
		part, err := s.node.AgencyPart(ctx, agency, at, what)
		if err != nil {
			return err
		}
		s.answerContent(w, http.StatusOK, "application/gzip", part)
		return nil
	})
}

// serveUnseen tells a body what the receipt of its look-up has to commit to.
func (s *Server) serveUnseen(w http.ResponseWriter, r *http.Request) {
	s.serveSigned(w, r, func(ctx context.Context, agency string, content []byte) error {
		var request citizensRequest
		if err := parseContent(content, &request); err != nil {
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
		s.answerContent(w, http.StatusOK, "application/json", body)
		return nil
	})
}

// serveLookUp records a body's look-up at its own list.
func (s *Server) serveLookUp(w http.ResponseWriter, r *http.Request) {
	s.serveSigned(w, r, func(ctx context.Context, agency string, content []byte) error {
		var request lookUpRequest
		if err := parseContent(content, &request); err != nil {
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
		s.answerContent(w, http.StatusOK, "application/json", body)
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

// serveSigned authenticates the body that the path names, and has the rest done, one of few at a time.
func (s *Server) serveSigned(w http.ResponseWriter, r *http.Request, serve func(ctx context.Context, agency string, content []byte) error) {
	agency := r.PathValue("agency")
	s.serveContent(w, r, agency, s.lists, func(ctx context.Context, content []byte) error { return serve(ctx, agency, content) })
}
