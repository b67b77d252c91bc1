// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/traccia-ledger/traccia/ledger"
)

// exchange sends lines in one request and fills in the outcome of each that the
// ledger answered for good; it says how many. The request is whole before
// anything is read: a proxy that holds requests or answers back until they end
// then holds up nothing.
//
// An *unavailable says that the others may be sent again, a *refusal is about
// the request and no line of it, any other error is final.
func (c *client) exchange(ctx context.Context, lines []*outgoing) (answered int, err error) {
	ctx, touch, cancel := watched(ctx)
	defer cancel()
	var body []byte
	for _, l := range lines {
		body = append(append(body, l.raw...), '\n')
	}
	resp, err := c.post(ctx, "v1/access-receipts/batch", "application/x-ndjson", body)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	in.Buffer(make([]byte, 1<<16), maxAnswer)
	in.Split(wholeLines)
	var later *unavailable
	for i, l := range lines {
		if !in.Scan() {
			err := in.Err()
			if errors.Is(err, bufio.ErrTooLong) {
				return answered, fmt.Errorf("the ledger's answer to line %d is longer than %d bytes", l.number, maxAnswer)
			}
			if later == nil {
				later = &unavailable{err: fmt.Errorf("the ledger answered %d of %d lines: %w", i, len(lines), orEOF(err))}
			}
			return answered, later
		}
		touch()
		o, err := readOutcome(in.Bytes(), i+1, l)
		switch passing := (*unavailable)(nil); {
		case errors.As(err, &passing):
			if later == nil {
				later = passing
			}
		case err != nil:
			return answered, fmt.Errorf("line %d: %w", l.number, err)
		default:
			l.outcome = o
			answered++
		}
	}
	if later != nil {
		return answered, later
	}
	return answered, nil
}

var errEnded = errors.New("it ended early")

func orEOF(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}

// wholeLines splits at line ends; what a broken connection leaves of a line
// isn't one.
func wholeLines(data []byte, _ bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	return 0, nil, nil
}

// readOutcome reads what the ledger says of the position-th line of a request.
func readOutcome(data []byte, position int, l *outgoing) (*outcome, error) {
	var a struct {
		Line    int             `json:"line"`
		Status  int             `json:"status"`
		Answer  json.RawMessage `json:"answer"`
		Problem json.RawMessage `json:"problem"`
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, errors.New("couldn't read the ledger's answer: expected an object with line and status")
	}
	if a.Line != position {
		return nil, fmt.Errorf("the ledger answered line %d of the request, expected %d", a.Line, position)
	}
	if a.Status == http.StatusOK || a.Status == http.StatusCreated {
		want, err := identifyRecorded(l.raw)
		if err != nil {
			return nil, err
		}
		answer, err := readAnswer(a.Status, a.Answer, want)
		return &outcome{status: a.Status, answer: answer}, err
	}
	p, detail := parseProblem(a.Problem)
	switch {
	case mayPass(a.Status):
		return nil, &unavailable{err: fmt.Errorf("line %d: %w", l.number, &refusal{status: a.Status, problem: p, detail: detail})}
	case a.Status/100 != 4:
		return nil, fmt.Errorf("the ledger answered with status %d", a.Status)
	}
	o := &outcome{status: a.Status, problem: &p}
	if raw := answerIn(a.Problem); raw != nil {
		want, err := identifyRecorded(l.raw)
		if err != nil {
			return nil, err
		}
		if o.answer, err = readAnswer(a.Status, raw, want); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// identifyRecorded is identify for a submission that the ledger has checked.
func identifyRecorded(raw []byte) (*identity, error) {
	s, err := ledger.ParseSubmission(raw)
	if err != nil {
		return nil, fmt.Errorf("the ledger took what is no submission: %w", hide(err))
	}
	r, err := ledger.ParseReceipt(s.Receipt)
	if err != nil {
		return nil, fmt.Errorf("the ledger took what is no receipt: %w", hide(err))
	}
	return &identity{r.ReceiptID(), len(s.Subjects)}, nil
}

// hide keeps a problem from counting as the ledger's verdict.
func hide(err error) error { return errors.New(err.Error()) }
