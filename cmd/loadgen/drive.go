// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/ledger"
)

// answer is what came back for one submission.
type answer struct {
	body    []byte // as it came; for a batch, the line
	status  int    // of the single endpoint
	latency time.Duration
}

// driver sends prepared submissions.
type driver struct {
	client      *http.Client
	url         string
	connections int
	rate        float64
	progress    func(n int64)
}

func newDriver(url string, s settings) *driver {
	return &driver{
		client: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: max(s.connections, 256), DisableCompression: true,
			ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
		}},
		url: url + "/v1/access-receipts", connections: s.connections, rate: s.rate,
		progress: func(int64) {},
	}
}

// due gives the instant at which the i-th submission is to be sent, and waits
// for it. Latency counts from there, not from when the sender got round to it.
func (d *driver) due(begun time.Time, i int) time.Time {
	if d.rate == 0 {
		return time.Now()
	}
	at := begun.Add(time.Duration(float64(i) / d.rate * float64(time.Second)))
	time.Sleep(time.Until(at))
	return at
}

// single posts each submission by itself: over so many connections as fast as
// answers come, or with a rate each at its instant.
func (d *driver) single(ctx context.Context, list []prepared) ([]answer, error) {
	answers := make([]answer, len(list))
	begun := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	if d.rate > 0 {
		for i := range list {
			at := d.due(begun, i)
			g.Go(func() error { return d.post(ctx, &list[i], &answers[i], at) })
		}
		return answers, g.Wait()
	}
	var next atomic.Int64
	for range d.connections {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) {
					return nil
				}
				if err := d.post(ctx, &list[i], &answers[i], time.Now()); err != nil {
					return err
				}
			}
		})
	}
	return answers, g.Wait()
}

func (d *driver) post(ctx context.Context, p *prepared, a *answer, at time.Time) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(p.raw))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := d.client.Do(request)
	if err != nil {
		return fmt.Errorf("couldn't submit: %w", err)
	}
	defer response.Body.Close()
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return fmt.Errorf("couldn't read an answer: %w", err)
	}
	a.status, a.latency = response.StatusCode, time.Since(at)
	d.progress(1)
	return nil
}

// batch posts the list as one batch and reads the answers as they stream.
func (d *driver) batch(ctx context.Context, list []prepared) ([]answer, error) {
	lines := &lineReader{driver: d, list: list, sent: make([]time.Time, len(list)), begun: time.Now()}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/batch", lines)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	response, err := d.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("couldn't submit a batch: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("couldn't submit a batch: %s", response.Status)
	}
	in := bufio.NewReaderSize(response.Body, 64<<10)
	answers := make([]answer, 0, len(list))
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return answers, nil
		}
		if err != nil {
			return nil, fmt.Errorf("couldn't read answer %d of a batch: %w", len(answers)+1, err)
		}
		answers = append(answers, answer{body: line, latency: time.Since(lines.sentAt(len(answers)))})
		d.progress(1)
	}
}

// lineReader is the body of a batch. It notes when each line leaves it.
type lineReader struct {
	*driver
	list  []prepared
	begun time.Time
	at    int    // line that is being read
	rest  []byte // of it

	mu   sync.Mutex
	sent []time.Time // guarded by mu: the transport reads, whoever reads answers asks
}

func (l *lineReader) Read(room []byte) (n int, err error) {
	for n < len(room) {
		if len(l.rest) == 0 {
			if l.at == len(l.list) {
				return n, io.EOF
			}
			if n > 0 && l.rate > 0 {
				return n, nil // what is due goes out before the next is waited for
			}
			at := l.due(l.begun, l.at)
			l.mu.Lock()
			l.sent[l.at] = at
			l.mu.Unlock()
			l.rest = append(l.list[l.at].raw, '\n')
			l.at++
		}
		copied := copy(room[n:], l.rest)
		n, l.rest = n+copied, l.rest[copied:]
	}
	return n, nil
}

// sentAt answers for lines that an answer came for; a server that answers
// more lines than it got is found out later.
func (l *lineReader) sentAt(i int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent[min(i, len(l.sent)-1)]
}

// batchLine is an answer's line.
type batchLine struct {
	Line    int             `json:"line"`
	Status  int             `json:"status"`
	Answer  json.RawMessage `json:"answer"`
	Problem json.RawMessage `json:"problem"`
}

// span is where a receipt's events stand in the log.
type span struct{ first, end uint64 }

// judge checks that each answer acknowledges what was sent, and gives where.
func judge(list []prepared, answers []answer, endpoint string) (spans []span, problems []ledger.Problem) {
	if len(answers) != len(list) {
		return nil, []ledger.Problem{{Code: "answers_missing", Where: endpoint, Expected: fmt.Sprint(len(list)), Found: fmt.Sprint(len(answers))}}
	}
	for i, a := range answers {
		line := batchLine{Line: i + 1, Status: a.status, Answer: a.body, Problem: a.body}
		where := fmt.Sprintf("receipt %d", i+1)
		if endpoint == "batch" && (json.Unmarshal(a.body, &line) != nil || line.Line != i+1) {
			problems = append(problems, ledger.Problem{Code: "bad_answer", Where: where, Expected: "its line", Found: "something else"})
			continue
		}
		if line.Status != http.StatusCreated {
			problems = append(problems, refusal(where, line))
			continue
		}
		got, err := ledger.ParseAnswer(line.Answer)
		if err != nil || got.ReceiptID != list[i].id || got.Count != list[i].events {
			problems = append(problems, ledger.Problem{Code: "bad_answer", Where: where, Expected: fmt.Sprintf("an answer with %d entries", list[i].events), Found: "another"})
			continue
		}
		spans = append(spans, span{got.FirstIndex, got.FirstIndex + uint64(got.Count)})
	}
	return spans, problems
}

func refusal(where string, line batchLine) ledger.Problem {
	var p ledger.Problem
	if json.Unmarshal(line.Problem, &p) != nil {
		p.Code = "refused"
	}
	p.Where = where + " " + p.Where
	p.Found = fmt.Sprintf("%s (status %d)", p.Found, line.Status)
	return p
}
