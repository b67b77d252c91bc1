// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/subjects"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/govway"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

// submission makes a call's submission, one line; nil where the call leaves no receipt. A problem says what lacks or is
// wrong, by file, line and field.
func (im *importer) submission(call *tracedCall) ([]byte, *ledger.Problem, error) {
	missing := func(what string) *ledger.Problem {
		return &ledger.Problem{Code: ledger.CodeMissing, Where: call.where, Expected: "the transaction's line of the topic " + what + " among the files", Found: "none"}
	}
	if call.asked == nil {
		return nil, missing("request"), nil
	}
	at := func(line string) func(error) (*ledger.Problem, error) {
		return func(err error) (*ledger.Problem, error) {
			var p *ledger.Problem
			if !errors.As(err, &p) {
				return nil, err
			}
			return &ledger.Problem{Code: p.Code, Where: line + "#" + p.Where, Expected: p.Expected, Found: p.Found}, nil
		}
	}
	asked, told := at(call.askedWhere), at(call.toldWhere)
	r, err := request(call.asked)
	if err != nil {
		p, err := asked(err)
		return nil, p, err
	}
	route, problem := im.config.Route(r)
	switch {
	case problem != nil && (problem.Code == config.CodeNoService || problem.Code == config.CodeNoOperation || problem.Code == config.CodeNoMethod):
		im.answer.Skipped.Other++
		return nil, nil, nil
	case problem != nil:
		p, err := asked(problem)
		return nil, p, err
	case route.Operation.NoPersons || route.Operation.Cohort != nil:
		im.answer.Skipped.NoPersons++
		return nil, nil, nil
	case call.told == nil:
		return nil, missing("response"), nil
	case call.told.Status/100 != 2:
		im.answer.Skipped.NotAnswered++
		return nil, nil, nil
	case !call.asked.Consumed && call.told.Header("Traccia-Receipt") != "":
		im.answer.Skipped.Recorded++
		return nil, nil, nil
	}
	list, err := persons(call, route, r)
	if err != nil {
		in := told
		if p := (*ledger.Problem)(nil); errors.As(err, &p) && strings.HasPrefix(p.Where, "request") {
			in = asked
		}
		p, err := in(err)
		return nil, p, err
	}
	if len(list) == 0 {
		im.answer.Skipped.NoPersons++
		return nil, nil, nil
	}
	receipt, private, err := im.receipt(call, route, r)
	if err == nil {
		var s *ledger.Submission
		if s, err = im.key.SealAgain(receipt, private, list); err == nil {
			data, err := ledger.FormatSubmission(s)
			return data, nil, err
		}
	}
	p, err := asked(err)
	return nil, p, err
}

// request is the traced request, without its content.
func request(l *govway.Line) (*http.Request, error) {
	u, err := url.Parse(l.URL)
	if err != nil || l.Method == "" {
		return nil, &ledger.Problem{Code: ledger.CodeBadValue, Where: "url", Expected: "a method of HTTP and a URL", Found: "something else"}
	}
	r := &http.Request{Method: l.Method, URL: u, Header: http.Header{}}
	for _, h := range l.Headers {
		r.Header.Add(h[0], h[1])
	}
	if r.Header.Get("Content-Type") == "" && l.ContentType != "" {
		r.Header.Set("Content-Type", l.ContentType)
	}
	return r, nil
}

// persons finds the codes in the request and in the answer.
func persons(call *tracedCall, route *config.Route, r *http.Request) ([]ledger.Subject, error) {
	content := func(body *govway.Line, sources []config.Source, topic string) ([]byte, error) {
		if body != nil {
			return body.Content, nil
		}
		for _, s := range sources {
			if (s.JSON != "" || s.XPath != "") && !s.Optional {
				return nil, &ledger.Problem{Code: ledger.CodeMissing, Where: topic, Expected: "the transaction's line of the topic " + topic + ": persons are in the content", Found: "none"}
			}
		}
		return nil, nil
	}
	asked, err := content(call.askedBody, route.Operation.Request, "requestBody")
	if err != nil {
		return nil, err
	}
	list, err := subjects.OfRequest(route, r, bytes.NewReader(asked))
	if err != nil {
		return nil, err
	}
	told, err := content(call.toldBody, route.Operation.Response, "responseBody")
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	for _, h := range call.told.Headers {
		header.Add(h[0], h[1])
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", call.told.ContentType)
	}
	return subjects.OfAnswer(route.Operation, call.told.Status, header, bytes.NewReader(told), list)
}

// receipt is what a call's receipt and private part say.
func (im *importer) receipt(call *tracedCall, route *config.Route, r *http.Request) (*ledger.Receipt, *ledger.Private, error) {
	private := &ledger.Private{
		Voucher: call.asked.Token(), Evidence: call.asked.Header("Agid-JWT-TrackingEvidence"), Integrity: call.asked.Header("Agid-JWT-Signature"),
	}
	const where = "header:Authorization"
	if private.Voucher == "" {
		return nil, nil, &ledger.Problem{Code: ledger.CodeMissing, Where: where, Expected: "Bearer or DPoP and the voucher: GovWay has to trace this header", Found: "nothing"}
	}
	if _, signature, ok := cutLast(private.Voucher); !ok || signature == "" || strings.Count(private.Voucher, ".") != 2 {
		return nil, nil, &ledger.Problem{Code: "voucher_without_signature", Where: where, Expected: "the whole voucher, whose signature the ledger checks", Found: "one whose signature was taken away"}
	}
	v, err := parseVoucher(where, private.Voucher)
	if err != nil {
		return nil, nil, err
	}
	if v.eserviceID != "" && v.eserviceID != route.Service.ID {
		return nil, nil, &ledger.Problem{Code: "claim_mismatch", Where: where + "#eserviceId", Expected: "the e-service of the configuration, " + route.Service.ID, Found: "another"}
	}
	provider, consumer := route.Service.Provider, im.key.Body
	if !call.asked.Consumed {
		var p *ledger.Problem
		if consumer, p = im.consumers.Of(&pdnd.Claims{ConsumerID: v.consumerID, ClientID: v.clientID}); p != nil {
			return nil, nil, p
		}
	}
	role := ledger.RoleProvider
	if call.asked.Consumed {
		role = ledger.RoleConsumer
	}
	if sum := govway.Digest(call.asked.Header("Digest")); sum != nil {
		private.RequestDigest = hex.EncodeToString(sum)
	}
	if body := call.askedBody; body != nil && len(body.Content) > 0 {
		sum := sha256.Sum256(body.Content)
		private.RequestDigest = hex.EncodeToString(sum[:])
	}
	if body := call.toldBody; body != nil {
		sum := sha256.Sum256(body.Content)
		private.ResponseDigest = hex.EncodeToString(sum[:])
	}
	actor, err := im.who(call, route, r, private)
	if err != nil {
		return nil, nil, err
	}
	o := route.Operation
	a := &access{voucher: v, private: private}
	return &ledger.Receipt{
		Aud: im.ledger, Iss: im.key.Body, JTI: jtiOf(im.key.Body, call.transaction), IssuedAt: call.asked.At.Unix(), Role: role, Provider: provider, Consumer: consumer,
		EService: route.Service.ID, PurposeID: v.purposeID, Purpose: o.Purpose, LegalBasis: o.LegalBasis, LegalReference: o.LegalReference,
		DataCategories: o.DataCategories, Actor: actor, Operation: ledger.Operation{Method: o.Method, Path: o.Path},
		OccurredAt: instant(call.asked.At), Pair: ledger.Hex(a.pair()),
	}, private, nil
}

func cutLast(token string) (before, after string, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return token, "", false
	}
	return token[:i], token[i+1:], true
}

// who fills in who acted, as the gateway does: by the places that the configuration names, else by the evidence, else by
// INPS's headers.
func (im *importer) who(call *tracedCall, route *config.Route, r *http.Request, private *ledger.Private) (actor string, err error) {
	operator, office := userOf(private.Evidence), r.Header.Get("INPS-Identity-CodiceUfficio")
	if operator == "" {
		operator = r.Header.Get("INPS-Identity-UserId")
	}
	var content []byte
	if call.askedBody != nil {
		content = call.askedBody.Content
	}
	s := route.Service
	for _, place := range []struct {
		source *config.Source
		into   *string
	}{{s.Operator, &operator}, {s.Office, &office}, {s.Case, &private.Case}} {
		if place.source == nil {
			continue
		}
		text, err := subjects.Text(place.source, r, bytes.NewReader(content))
		if err != nil {
			return "", err
		}
		if text != "" {
			*place.into = text
		}
	}
	if operator != "" && ledger.CheckText(operator, ledger.MaxText) == nil {
		private.Operator = &ledger.Operator{ID: operator}
		if office != "" && ledger.CheckText(office, ledger.MaxText) == nil {
			private.Operator.Office = office
		}
	}
	if operator == "" || strings.HasPrefix(operator, "service:") {
		return ledger.ActorService, nil
	}
	return ledger.ActorOperator, nil
}

// userOf reads the userID of an evidence, which the ledger verifies.
func userOf(evidence string) string {
	parts := strings.Split(evidence, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct {
		UserID string `json:"userID"`
	}
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return ""
	}
	return c.UserID
}

// jtiOf is the id of the receipt of a transaction: the same each time, another for each body.
func jtiOf(body, transaction string) string {
	sum := sha256.Sum256([]byte("traccia/v1/govway\x00" + body + "\x00" + transaction))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // RFC 9562, version 8
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
