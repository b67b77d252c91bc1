// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/subjects"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// CohortHeader names the public record of an aggregate that is released, and its log index:
//
//	Traccia-Cohort: inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11; index=4711
const CohortHeader = "Traccia-Cohort"

// maxAggregate is how long the answer about a group may be, in bytes: it is read whole.
const maxAggregate = 1 << 20

// Codes of refusals of an aggregate.
const (
	codeNoSize   = "no_size"          // the answer doesn't say of how many people it is
	codeTooSmall = "cohort_too_small" // of fewer than the operation's minimum
)

// aggregate is the path of a call for numbers about a group: the answer is released when the record of the group's size
// is in the log, and nothing is recorded of anyone.
func (c *call) aggregate() string {
	ctx, cancel := context.WithTimeout(c.r.Context(), c.route.Service.Timeout)
	defer cancel()
	resp, err := c.call(ctx)
	if err != nil {
		return c.noAnswer(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode < http.StatusOK {
		return c.refuse(http.StatusBadGateway, providerProblem(fmt.Sprintf("status %d", resp.StatusCode)))
	}
	content, err := c.store.hold(resp.Body, min(c.route.Service.MaxAnswer, maxAggregate))
	if errors.Is(err, errTooLong) {
		return c.refuse(http.StatusBadGateway, providerProblem(fmt.Sprintf("an aggregate of more than %d bytes", min(c.route.Service.MaxAnswer, maxAggregate))))
	} else if err != nil {
		return c.noAnswer(err)
	}
	defer content.close()
	data, err := io.ReadAll(content.reader())
	if err != nil {
		return c.fault(err, http.StatusInternalServerError)
	}
	if err := subjects.NamesNobody(resp.Header, bytes.NewReader(data)); err != nil {
		return c.fault(err, http.StatusBadGateway)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return c.release(resp, content, nil) // it tells of no group
	}
	size, problem := sizeOf(resp.Header.Get("Content-Type"), data, c.route.Operation.Cohort.Size)
	if problem != nil {
		return c.refuse(http.StatusBadGateway, problem)
	}
	if least := c.route.Operation.Cohort.Minimum; size < least {
		return c.refuse(http.StatusForbidden, &ledger.Problem{
			Code: codeTooSmall, Where: "answer#" + c.route.Operation.Cohort.Size, Expected: fmt.Sprintf("a group of %d people or more", least), Found: "fewer",
		})
	}
	answer, outcome := c.recordCohort(int(size))
	if answer == nil {
		return outcome
	}
	resp.Header.Del("Cache-Control")
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.Header().Set(CohortHeader, fmt.Sprintf("%s; index=%d", answer.CohortID, answer.Index))
	if outcome = c.release(resp, content, nil); outcome == outcomePassed {
		outcome = "cohort"
	}
	return outcome
}

// sizeOf reads of how many people an aggregate is.
func sizeOf(contentType string, data []byte, pointer string) (int64, *ledger.Problem) {
	no := func(found string) (int64, *ledger.Problem) {
		return 0, &ledger.Problem{Code: codeNoSize, Where: "answer#" + pointer, Expected: "a JSON object with the number of people there", Found: found}
	}
	if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return no("content of another kind")
	}
	if !namesOnce(data) {
		return no("content that is no JSON, or with a name twice in an object")
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return no("content that is no JSON")
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		name = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return no("nothing")
			}
			value = v[i]
		default:
			return no("nothing")
		}
	}
	number, ok := value.(json.Number)
	if !ok {
		return no("nothing, or no number")
	}
	size, err := number.Int64()
	if err != nil || size < 0 || size > ledger.MaxCohort {
		return no("no whole number of people")
	}
	return size, nil
}

// namesOnce says whether it is JSON with each name once in its object: of two with one name a reader could take another than
// was judged.
func namesOnce(data []byte) bool {
	d := json.NewDecoder(bytes.NewReader(data))
	var open []map[string]bool // of each object and, nil, array
	key, values := false, 0
	for {
		token, err := d.Token()
		if err != nil {
			return errors.Is(err, io.EOF) && len(open) == 0 && values == 1
		}
		if text, ok := token.(string); ok && key {
			names := open[len(open)-1]
			if names[text] {
				return false
			}
			names[text], key = true, false
			continue
		}
		switch token {
		case json.Delim('{'):
			open = append(open, map[string]bool{})
		case json.Delim('['):
			open = append(open, nil)
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if key = len(open) > 0 && open[len(open)-1] != nil; len(open) == 0 {
			values++
		}
	}
}

// recordCohort has the group's size recorded, and returns the ledger's answer when its proof holds. Otherwise it answers
// the consumer itself, and returns nil and the outcome.
func (c *call) recordCohort(size int) (*ledger.CohortAnswer, string) {
	began := time.Now()
	r := receiptOf(c.Config.Ledger.Name, c.Config.Identity.Body, c.route, c.who)
	statement, err := ledger.SignCohort(&ledger.Cohort{
		Aud: r.Aud, Iss: r.Iss, JTI: r.JTI, IssuedAt: r.IssuedAt, Provider: r.Provider, Consumer: r.Consumer, EService: r.EService, PurposeID: r.PurposeID,
		Purpose: r.Purpose, LegalBasis: r.LegalBasis, LegalReference: r.LegalReference, DataCategories: r.DataCategories, Actor: r.Actor,
		Operation: r.Operation, OccurredAt: r.OccurredAt, Pair: r.Pair,
		Size: ledger.RoundCohort(size), Minimum: int(c.route.Operation.Cohort.Minimum),
		Selection: ledger.Hex(c.memory.Selection(c.route.Service.ID, c.r.Method, c.r.URL.RequestURI(), c.body)),
	}, c.Key.Kid, c.Key.Signer)
	if err != nil {
		return nil, c.fault(err, http.StatusInternalServerError)
	}
	content, err := ledger.FormatCohortSubmission(&ledger.CohortSubmission{
		Statement: statement, Voucher: c.who.Private.Voucher, Evidence: c.who.Private.Evidence, RequestDigest: c.who.Private.RequestDigest,
	})
	if err != nil {
		return nil, c.fault(err, http.StatusInternalServerError)
	}
	if err := c.memory.AskCohort(r.JTI); err != nil {
		return nil, c.fault(err, http.StatusInternalServerError)
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.patience)
	defer cancel()
	data, err := c.ask.ask(ctx, "v1/cohorts", content, func(*http.Request) error { return nil })
	var answer *ledger.CohortAnswer
	if err == nil {
		answer, err = c.proven(ctx, data, r.ReceiptID(), statement)
	}
	c.metrics.seconds.WithLabelValues("ledger").Observe(time.Since(began).Seconds())
	var no *refused
	if errors.As(err, &no) {
		if err := c.memory.DropCohort(r.JTI); err != nil {
			return nil, c.fault(err, http.StatusInternalServerError)
		}
	}
	switch {
	case err == nil:
		return answer, ""
	case c.r.Context().Err() != nil:
		return nil, outcomeGone
	case errors.As(err, &no) && no.problem.Code == "denied":
		return nil, c.refuse(http.StatusForbidden, &no.problem)
	case errors.As(err, &no):
		c.log.Error("the ledger refused a cohort", "code", no.problem.Code, "where", no.problem.Where, "expected", no.problem.Expected)
		return nil, c.refuse(http.StatusBadGateway, &ledger.Problem{
			Code: "not_recorded", Where: "ledger", Expected: "an aggregate that can be recorded", Found: "a refusal by the ledger, " + no.problem.Code,
		})
	case errors.Is(err, errUnknown):
		return nil, c.later(&ledger.Problem{Code: "ledger_unavailable", Where: "ledger", Expected: "the same call again, later", Found: "a ledger that doesn't answer"})
	}
	c.log.Error("nothing is released", "error", err)
	return nil, c.refuse(http.StatusBadGateway, &ledger.Problem{Code: "not_proven", Where: "ledger", Expected: "a proof that the aggregate is recorded", Found: "none that holds"})
}

// proven checks that an answer proves the statement's record, under a key of the ledger's logs, and remembers it before
// anything comes of it.
func (g *Gateway) proven(ctx context.Context, data []byte, id, statement string) (*ledger.CohortAnswer, error) {
	a, err := ledger.ParseCohortAnswer(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDishonest, err)
	}
	logs, err := g.years.verifiers(ctx, a.Origin)
	if err != nil {
		return nil, err
	}
	proof, err := checkpoint.ParseProof([]byte(a.Proof))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDishonest, err)
	}
	at, err := checkpoint.Open(proof.Checkpoint, logs...)
	if err == nil {
		err = proof.Check(ledger.HashLeaf(a.Leaf), at)
	}
	if err != nil || at.Origin != a.Origin || proof.Index != a.Index || a.CohortID != id {
		return nil, fmt.Errorf("%w: not the leaf of this log that it names", errDishonest)
	}
	leaf, err := ledger.ParseLeaf(a.Leaf)
	record, ok := leaf.(ledger.Record)
	if err != nil || !ok {
		return nil, fmt.Errorf("%w: another leaf than a record", errDishonest)
	}
	parsed, err := registry.ParseRecord(record.JSON)
	if cohort, ok := parsed.(registry.Cohort); err != nil || !ok || cohort.Statement != statement {
		return nil, fmt.Errorf("%w: another record than this aggregate's", errDishonest)
	}
	err = g.memory.AcknowledgeCohort(at, own.Cohort{ID: id, Origin: a.Origin, Index: a.Index, Leaf: ledger.HashLeaf(a.Leaf)})
	if errors.As(err, new(*ledger.Problem)) {
		return nil, fmt.Errorf("%w: %w", errDishonest, err)
	}
	return a, err
}
