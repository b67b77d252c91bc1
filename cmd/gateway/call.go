// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/subjects"
	"github.com/traccia-ledger/traccia/ledger"
)

// callSays is what a recorded call comes to. It names no person and no operator.
type callSays struct {
	EService  string   `json:"eservice"`
	Operation string   `json:"operation"`
	Consumer  string   `json:"consumer"`
	Profile   string   `json:"profile"`
	Flags     []string `json:"flags"`
	Persons   int      `json:"persons"`
}

func (c *callSays) text(w io.Writer) {
	fmt.Fprintf(w, "the call is for %s, %s\n", c.EService, c.Operation)
	if c.Consumer != "" {
		fmt.Fprintf(w, "  by %s, %s, quality of data: %v\n  about %d persons\n", c.Consumer, c.Profile, c.Flags, c.Persons)
	}
}

// maxCall bounds a recorded request or answer.
const maxCall = 64 << 20

// judge does with a recorded call what comes before the ledger. The problem is the call's, the error is of the files.
func (f *checkFlags) judge(ctx context.Context, a *checkAnswer, c *config.Config, o *service.Opened, at time.Time) (*ledger.Problem, error) {
	r, body, err := readRequest(f.call)
	if err != nil {
		return nil, &cli.CouldNotCheck{Err: fmt.Errorf("couldn't read the call: %w", err)}
	}
	route, p := c.Route(r)
	if p != nil {
		return p, nil
	}
	a.Call = &callSays{EService: route.Service.Name, Operation: route.Operation.Method + " " + route.Operation.Path, Flags: []string{}}
	if o.PDND == nil || o.Clients == nil {
		return nil, cli.WrongFlag("--offline", "key sets in files, to judge a call's tokens", "none")
	}
	checker, err := checks.New(checks.Config{
		PDND: o.PDND, Clients: o.Clients, Issuers: c.PDND.Issuers, Consumers: o.Consumers, Seen: unused{}, Now: func() time.Time { return at },
	})
	if err != nil {
		return nil, err
	}
	call, err := checker.Check(ctx, r, body, route)
	if err != nil {
		return fault(err)
	}
	a.Call.Consumer, a.Call.Profile, a.Call.Flags = call.Consumer, call.Assurance.Profile, append(a.Call.Flags, call.Assurance.Flags...)
	if route.Operation.NoPersons || route.Operation.Cohort != nil {
		return nil, nil
	}
	list, err := subjects.OfRequest(route, r, bytes.NewReader(body))
	if err == nil && f.answer != "" {
		list, err = f.ofAnswer(route, r, list)
	}
	if err != nil {
		return fault(err)
	}
	a.Call.Persons = len(list)
	return nil, nil
}

func (f *checkFlags) ofAnswer(route *config.Route, r *http.Request, already []ledger.Subject) ([]ledger.Subject, error) {
	data, err := cli.ReadFile(f.answer, maxCall)
	if err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)), r)
	if err != nil {
		return nil, errors.New("couldn't read the answer: expected HTTP/1.1 as it went over the wire")
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, errors.New("couldn't read the answer: expected as much content as Content-Length says")
	}
	list, err := subjects.OfAnswer(route.Operation, answer.StatusCode, answer.Header, bytes.NewReader(body), already)
	if err == nil && len(list) == 0 {
		err = subjects.NamesNobody(answer.Header, bytes.NewReader(body))
	}
	return list, err
}

// readRequest repeats nothing of the file in its errors.
func readRequest(path string) (*http.Request, []byte, error) {
	data, err := cli.ReadFile(path, maxCall)
	if err != nil {
		return nil, nil, err
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
	if err != nil {
		return nil, nil, errors.New("expected HTTP/1.1 as it went over the wire")
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, errors.New("expected as much content as Content-Length says")
	}
	return r, body, nil
}

func fault(err error) (*ledger.Problem, error) {
	var p *ledger.Problem
	if errors.As(err, &p) {
		return p, nil
	}
	return nil, &cli.CouldNotCheck{Err: err}
}

// unused takes every token for one that wasn't used: a recorded call is judged as though it came first.
type unused struct{}

func (unused) Seen(string, string, time.Time) (bool, error) { return false, nil }
