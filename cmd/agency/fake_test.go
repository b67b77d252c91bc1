// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/traccia-ledger/traccia/ledger"
)

// fakeLedger speaks the contract and proves nothing. Faults come when a script
// asks for them, which a real ledger couldn't be made to do.
type fakeLedger struct {
	addr string

	mu       sync.Mutex
	server   *http.Server
	recorded map[string]ledger.Hash // receipt id to payload digest
	requests int
	busy     int           // so many submissions are answered with 503
	whole    []int         // statuses of whole requests
	after    string        // Retry-After of these
	cut      int           // lines after which the connection breaks, once; 0: never
	down     time.Duration // how long nobody listens then
	limit    int64         // bytes of a request that a proxy lets through; 0: any
	slow     time.Duration // per line
	other    bool          // answers are about another receipt
}

func startFake(addr string) (*fakeLedger, error) {
	f := &fakeLedger{addr: addr, recorded: make(map[string]ledger.Hash)}
	return f, f.start()
}

func (f *fakeLedger) start() error {
	l, err := net.Listen("tcp", f.addr)
	if err != nil {
		return err
	}
	f.addr = l.Addr().String()
	f.mu.Lock()
	f.server = &http.Server{Handler: f}
	server := f.server
	f.mu.Unlock()
	go server.Serve(l)
	return nil
}

func (f *fakeLedger) stop() {
	f.mu.Lock()
	server := f.server
	f.mu.Unlock()
	server.Close()
}

func (f *fakeLedger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests++
	limit := f.limit
	var status int
	if len(f.whole) > 0 {
		status, f.whole = f.whole[0], f.whole[1:]
	}
	after := f.after
	f.mu.Unlock()
	switch {
	case limit > 0 && r.ContentLength > limit:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		io.WriteString(w, "<h1>413 Request Entity Too Large</h1>")
	case status == http.StatusFound:
		w.Header().Set("Location", "https://elsewhere.example/")
		w.WriteHeader(status)
	case status != 0:
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		fakeProblem(w, status, &ledger.Problem{Code: "busy", Expected: "the same submission again, later", Found: "a full queue\x1b[2J"})
	case r.URL.Path == "/v1/access-receipts":
		f.serveOne(w, r)
	case r.URL.Path == "/v1/access-receipts/batch":
		f.serveBatch(w, r)
	default:
		http.NotFound(w, r)
	}
}

func fakeProblem(w http.ResponseWriter, status int, p *ledger.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(p)
}

func (f *fakeLedger) serveOne(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	status, answer, problem := f.submit(raw)
	if problem != nil {
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "0")
		}
		fakeProblem(w, status, problem)
		return
	}
	w.WriteHeader(status)
	w.Write(answer)
}

func (f *fakeLedger) serveBatch(w http.ResponseWriter, r *http.Request) {
	var lines [][]byte
	in := bufio.NewReader(r.Body)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		lines = append(lines, line)
	}
	f.mu.Lock()
	cut, down, slow := f.cut, f.down, f.slow
	f.cut = 0
	f.mu.Unlock()
	type batchLine struct {
		Line    int             `json:"line"`
		Status  int             `json:"status"`
		Answer  json.RawMessage `json:"answer,omitempty"`
		Problem *ledger.Problem `json:"problem,omitempty"`
	}
	out := json.NewEncoder(w)
	for i, raw := range lines {
		time.Sleep(slow)
		status, answer, problem := f.submit(raw)
		if cut > 0 && i >= cut {
			continue // recorded, and the answer gets lost
		}
		out.Encode(batchLine{i + 1, status, answer, problem})
		w.(http.Flusher).Flush()
	}
	if cut == 0 {
		return
	}
	io.WriteString(w, `{"line":`) // the connection breaks within a line
	w.(http.Flusher).Flush()
	if down > 0 {
		go func() {
			f.stop()
			time.Sleep(down)
			f.start()
		}()
	}
	panic(http.ErrAbortHandler)
}

func (f *fakeLedger) submit(raw []byte) (int, json.RawMessage, *ledger.Problem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy > 0 {
		f.busy--
		return http.StatusServiceUnavailable, nil, &ledger.Problem{Code: "busy", Expected: "the same submission again, later", Found: "a full queue"}
	}
	s, err := ledger.ParseSubmission(raw)
	var opened *ledger.Opened
	if err == nil {
		opened, err = s.Open()
	}
	var p *ledger.Problem
	if errors.As(err, &p) {
		return http.StatusUnprocessableEntity, nil, p
	}
	id := opened.Receipt.ReceiptID()
	status := http.StatusCreated
	if digest, ok := f.recorded[id]; ok {
		if status = http.StatusOK; digest != opened.Receipt.PayloadDigest {
			return http.StatusConflict, nil, &ledger.Problem{Code: "conflict", Where: "receipt#jti", Expected: "a jti not used before", Found: "another payload under it"}
		}
	}
	f.recorded[id] = opened.Receipt.PayloadDigest
	if f.other {
		id = "other/00000000-0000-0000-0000-000000000000"
	}
	return status, fakeAnswer(id, len(s.Subjects)), nil
}

func fakeAnswer(id string, count int) []byte {
	a := &ledger.Answer{ReceiptID: id, Origin: "registro.example/2026", FirstIndex: 7, Count: count, Checkpoint: "none"}
	nonce := sha256.Sum256([]byte(id))
	for i := range count {
		e := ledger.AnswerEntry{Index: 7 + uint64(i), Nonce: nonce[:]}
		if count <= ledger.MaxSingleProofs {
			e.Leaf, e.Body, e.Proof = make([]byte, 102), []byte("{}"), "none"
		}
		a.Entries = append(a.Entries, e)
	}
	if count > ledger.MaxSingleProofs {
		a.Range = &ledger.AnswerRange{Leaves: make([]byte, 102*count)}
	}
	data, err := ledger.FormatAnswer(a)
	if err != nil {
		panic(err)
	}
	return data
}

// script is the command "ledger" of the scripts:
//
//	ledger busy N            the next N submissions are answered with 503
//	ledger whole STATUS...   the next requests are answered with these statuses
//	ledger after SECONDS     … and this Retry-After
//	ledger cut N [DURATION]  the next batch breaks after N answers; nobody listens for so long
//	ledger limit BYTES       a proxy refuses requests that are longer
//	ledger slow DURATION     each line of a batch takes so long
//	ledger other             answers are about another receipt
//	ledger stop | start
//	ledger reached N         waits until N submissions are recorded
//	ledger recorded N        fails unless so many are
//	ledger requests N        fails unless so many came since it was asked last
func (f *fakeLedger) script(ts *testscript.TestScript, neg bool, args []string) {
	number := func(i int) int {
		n, err := strconv.Atoi(args[i])
		ts.Check(err)
		return n
	}
	switch args[0] {
	case "stop":
		f.stop()
		return
	case "start":
		ts.Check(f.start())
		return
	case "reached":
		for deadline := time.Now().Add(2 * time.Minute); f.count() < number(1); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				ts.Fatalf("%d submissions recorded, waited for %d", f.count(), number(1))
			}
		}
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch args[0] {
	case "busy":
		f.busy = number(1)
	case "whole":
		for i := range args[1:] {
			f.whole = append(f.whole, number(i+1))
		}
	case "after":
		f.after = args[1]
	case "cut":
		f.cut = number(1)
		if f.down = 0; len(args) > 2 {
			var err error
			f.down, err = time.ParseDuration(args[2])
			ts.Check(err)
		}
	case "limit":
		f.limit = int64(number(1))
	case "slow":
		var err error
		f.slow, err = time.ParseDuration(args[1])
		ts.Check(err)
	case "other":
		f.other = true
	case "recorded":
		if len(f.recorded) != number(1) {
			ts.Fatalf("%d submissions recorded, expected %d", len(f.recorded), number(1))
		}
	case "requests":
		if f.requests != number(1) {
			ts.Fatalf("%d requests came, expected %d", f.requests, number(1))
		}
		f.requests = 0
	default:
		ts.Fatalf("unknown command ledger %s", args[0])
	}
}

func (f *fakeLedger) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.recorded)
}

// mode is the command "mode": fails unless each file has this octal mode.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, expected %s", name, got, args[0])
		}
	}
}
