// SPDX-License-Identifier: EUPL-1.2

// Package gateway stands at a provider's edge: no receipt, no data (docs/gateway.md).
//
// A call goes one way: its tokens are judged, the persons of its request found,
// what the policies surely deny isn't asked for, the provider is called, its answer
// kept until it is whole, the persons in it found, and one submission for all of
// them recorded in the ledger. The answer is released when the ledger's proof was
// verified and the provider's own memory has it on disk; or, in a session of
// break-glass, when the memory has the signed receipt itself.
//
// What must always hold: of an answer about a person not one byte leaves before
// that. Whatever breaks, the consumer gets a problem and nothing else. No code, no
// operator and no token reaches a log line, a metric, an error or a file that
// isn't encrypted.
package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/subjects"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/traces"
	"github.com/traccia-ledger/traccia/cmd/internal/serving"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// Judge says whose call it is. An error that is a *ledger.Problem is the call's
// fault.
type Judge interface {
	Check(ctx context.Context, r *http.Request, body []byte, route *config.Route) (*checks.Call, error)
}

// Parts are what a configuration names, opened.
type Parts struct {
	Config *config.Config
	Judge  Judge
	Key    *agencykey.Key     // of Config.Identity
	Policy *checkpoint.Policy // of Config.Ledger
	Ledger *url.URL           // the same's
	Traces *os.File           // to append to; nil for none. The gateway that uses these parts closes it
}

// Gateway serves calls. Close ends it.
type Gateway struct {
	parts    atomic.Pointer[Parts]
	memory   *memory.Memory
	years    *years
	recorder *recorder
	lessons  *lessons
	ask      *ledgerClient
	store    *store
	upstream *http.Transport
	traces   *traces.Writer
	log      *slog.Logger
	metrics  *metrics

	patience time.Duration // of a call with the ledger

	waiting, missing, lacking alarm // of watch alone

	attesting sync.Mutex // held for a check of the memory
	tried     time.Time  // when nightly last began one; its own

	background sync.WaitGroup
	ctx        context.Context // of what goes on without a call
	stop       func()
}

const (
	// recordPatience is how long a call waits for the ledger.
	recordPatience = 10 * time.Second
	settlePause    = 2 * time.Second
)

// New returns a gateway over its memory, which it doesn't close.
func New(p *Parts, m *memory.Memory, log *slog.Logger, r prometheus.Registerer) (*Gateway, error) {
	g := &Gateway{memory: m, log: log, metrics: newMetrics(m, log, r), patience: recordPatience}
	g.parts.Store(p)
	g.ctx, g.stop = context.WithCancel(context.Background())
	var err error
	if g.years, err = newYears(g.ctx, p.Ledger, p.Config.Ledger.Name, p.Policy, m, log); err != nil {
		return nil, err
	}
	g.recorder = newRecorder(p.Ledger, g.years, m, log, g.statement)
	if g.lessons, err = newLessons(p.Ledger, m, log); err != nil {
		return nil, err
	}
	g.ask = &ledgerClient{p.Ledger, p.Config.Ledger.Name, g.recorder.client}
	if g.store, err = openStore(filepath.Join(p.Config.Memory, "answers")); err != nil {
		return nil, fmt.Errorf("couldn't prepare a place for answers: %w", err)
	}
	g.upstream = http.DefaultTransport.(*http.Transport).Clone()
	g.upstream.Proxy, g.upstream.MaxIdleConnsPerHost, g.upstream.MaxIdleConns = nil, 256, 1024
	g.upstream.DisableCompression = true // the digest is of what the provider sent
	g.traces = traces.New(log, r)
	g.traces.Use(p.Traces)
	g.background.Go(func() { g.every(settlePause, g.settle) })
	g.background.Go(func() { g.every(settlePause, g.deliver) })
	g.background.Go(func() { g.every(watchPause, g.watch) })
	g.background.Go(func() { g.every(duePause, g.nightly) })
	return g, nil
}

// Close ends what goes on without a call. Calls have ended before.
func (g *Gateway) Close() {
	g.stop()
	g.background.Wait()
	g.lessons.background.Wait()
	g.upstream.CloseIdleConnections()
	g.traces.Close()
}

// Reload goes on with another configuration; calls under way end with the old one.
// On an error the old one stays.
func (g *Gateway) Reload(p *Parts) error {
	a, b := g.parts.Load().Config, p.Config
	for _, part := range []struct {
		name    string
		changed bool
	}{
		{"listen", a.Listen != b.Listen}, {"tls, there or not,", (a.TLS == nil) != (b.TLS == nil)}, {"metrics", a.Metrics != b.Metrics},
		{"memory", a.Memory != b.Memory}, {"database", a.Database != b.Database}, {"identity/body", a.Identity.Body != b.Identity.Body},
		{"ledger/name", a.Ledger.Name != b.Ledger.Name}, {"ledger/url", a.Ledger.URL != b.Ledger.URL},
	} {
		if part.changed {
			return errors.New(part.name + " changes with a restart alone")
		}
	}
	if err := g.years.use(p.Policy); err != nil {
		return err
	}
	g.parts.Store(p)
	g.traces.Use(p.Traces)
	g.memory.Retry()
	return nil
}

func (g *Gateway) every(pause time.Duration, do func()) {
	for {
		do()
		select {
		case <-g.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// settle finds out what became of submissions that no call waits for. What is
// recorded of them was never released, and a statement says so.
func (g *Gateway) settle() {
	list, err := g.recorder.settle(g.ctx)
	if err != nil && !errors.Is(err, errUnknown) {
		g.log.Error("couldn't settle a submission", "error", err)
	}
	for _, done := range list {
		g.metrics.outcome("settled")
		g.undelivered(done)
	}
}

// undelivered states of an access that nothing of it was released. A statement
// that the ledger doesn't answer to is settled as any submission.
func (g *Gateway) undelivered(done *recorded) {
	err := g.tellUndelivered(done)
	if err != nil {
		g.log.Error("couldn't state that an access wasn't released", "receipt", done.receipt.ReceiptID(), "error", err)
		return
	}
	g.metrics.outcome("undelivered")
}

func (g *Gateway) tellUndelivered(done *recorded) (err error) {
	if done.owed == nil {
		if done.owed, err = g.recorder.owe(done); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.ctx), g.patience)
	defer cancel()
	_, err = g.recorder.record(ctx, done.owed)
	if no := new(refused); errors.As(err, &no) && no.problem.Code == codeConflict {
		return nil // it was stated before a crash
	}
	return err
}

// codeConflict is the ledger's for another payload under a receipt's jti (docs/api.md).
const codeConflict = "conflict"

// statement makes the one that nothing was released of a receipt.
func (g *Gateway) statement(about *ledger.Receipt, list []ledger.SaltedSubject) (jti string, s *ledger.Submission, err error) {
	subjects := make([]ledger.Subject, len(list))
	for i, s := range list {
		subjects[i] = s.Subject
	}
	receipt := undelivered(about)
	s, err = g.parts.Load().Key.Seal(receipt, new(ledger.Private), subjects, "")
	return receipt.JTI, s, err
}

// ServeHTTP serves one call.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	c := &call{Gateway: g, Parts: g.parts.Load(), w: &serving.Recorder{ResponseWriter: w}, r: r}
	outcome := c.serve()
	c.trace(began, outcome)
	g.metrics.outcome(outcome)
	g.metrics.seconds.WithLabelValues("call").Observe(time.Since(began).Seconds())
	if outcome == outcomeGone {
		panic(http.ErrAbortHandler) // or net/http would answer 200
	}
}

// Outcomes that are asked for.
const (
	outcomeGone   = "gone"       // the consumer left, and nothing was sent
	outcomeBroken = "broken_off" // it left while the answer was sent
	outcomePassed = "passed"     // the answer is about nobody
)

// call is one call on its way.
type call struct {
	*Gateway
	*Parts
	w     *serving.Recorder
	r     *http.Request
	route *config.Route
	body  []byte // of the request
	who   *checks.Call
}

// serve returns the outcome, a word for the metrics.
func (c *call) serve() string {
	var problem *ledger.Problem
	if c.route, problem = c.Config.Route(c.r); problem != nil {
		return c.reject(problem)
	}
	var err error
	rc := http.NewResponseController(c.w)
	rc.SetReadDeadline(time.Now().Add(sendPatience))
	c.body, err = io.ReadAll(http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, c.route.Service.MaxRequest))
	if errors.As(err, new(*http.MaxBytesError)) {
		return c.refuse(http.StatusRequestEntityTooLarge, &ledger.Problem{
			Code: ledger.CodeTooLong, Where: "body", Expected: fmt.Sprintf("at most %d bytes", c.route.Service.MaxRequest), Found: "more",
		})
	} else if err != nil {
		return outcomeGone
	}
	rc.SetReadDeadline(time.Time{})
	if c.who, err = c.Judge.Check(c.r.Context(), c.r, c.body, c.route); err != nil {
		return c.reject(err)
	}
	c.metrics.reused(c.who)
	if c.route.Operation.NoPersons {
		return c.pass()
	}
	if c.route.Operation.Cohort != nil {
		return c.aggregate()
	}
	asked, err := subjects.OfRequest(c.route, c.r, bytes.NewReader(c.body))
	if err != nil {
		return c.reject(err)
	}
	return c.guarded(asked)
}

// guarded is the path of a call about persons.
func (c *call) guarded(asked []ledger.Subject) string {
	receipt := receiptOf(c.Config.Ledger.Name, c.Config.Identity.Body, c.route, c.who)
	private := c.who.Private
	if len(asked) > 0 {
		receipt.Subjects.Count = len(asked)
		if outcome := c.consent(receipt, asked); outcome != "" {
			return outcome
		}
		if c.lessons.denies(receipt, &c.who.Assurance) {
			return c.denyEarly(receipt, &private, asked)
		}
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.route.Service.Timeout)
	defer cancel()
	began := time.Now()
	resp, err := c.call(ctx)
	if err != nil {
		return c.noAnswer(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode < http.StatusOK {
		// What it says isn't released, so there is nothing to record.
		return c.refuse(http.StatusBadGateway, providerProblem(fmt.Sprintf("status %d", resp.StatusCode)))
	}
	content, err := c.store.hold(resp.Body, c.route.Service.MaxAnswer)
	if err != nil {
		return c.noAnswer(err)
	}
	defer content.close()
	c.metrics.seconds.WithLabelValues("provider").Observe(time.Since(began).Seconds())

	all, err := subjects.OfAnswer(c.route.Operation, resp.StatusCode, resp.Header, content.reader(), asked)
	if err != nil {
		return c.fault(err, http.StatusBadGateway)
	}
	if len(all) == 0 { // the operation may be about nobody
		if err := subjects.NamesNobody(resp.Header, content.reader()); err != nil {
			return c.fault(err, http.StatusBadGateway)
		}
		return c.release(resp, content, nil)
	}
	if outcome := c.consent(receipt, all); outcome != "" {
		return outcome
	}
	private.ResponseDigest = content.digest()
	done, outcome := c.record(receipt, &private, all, false)
	if done == nil {
		return outcome
	}
	if done.denied {
		return c.deny(done)
	}
	return c.release(resp, content, done)
}

// denyEarly has an access recorded that the policies deny. Had they changed just
// then, it would stand as authorised: the consumer may call again.
func (c *call) denyEarly(receipt *ledger.Receipt, private *ledger.Private, asked []ledger.Subject) string {
	done, outcome := c.record(receipt, private, asked, true)
	if done == nil {
		return outcome
	}
	if done.denied {
		return c.deny(done)
	}
	c.undelivered(done)
	return c.later(&ledger.Problem{Code: "policies_changed", Expected: "the same call again", Found: "policies that changed during this one"})
}

// record has the call recorded, or spooled where break-glass allows. Without either
// it answers the consumer itself, and returns nil and the outcome. It goes on when
// the consumer is gone: the outcome has to be known. withheld says that nothing is
// released on it in any case.
func (c *call) record(receipt *ledger.Receipt, private *ledger.Private, list []ledger.Subject, withheld bool) (*recorded, string) {
	began := time.Now()
	receipt.Subjects.Count = len(list)
	vital, why := c.vital(receipt)
	if vital && c.recorder.down.Load() {
		return c.spooled(receipt, private, list)
	}
	patience := c.patience
	if vital {
		patience = min(patience, vitalPatience)
	}
	submission, err := c.Key.Seal(receipt, private, list, "")
	if err != nil {
		return nil, c.fault(err, http.StatusInternalServerError)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), patience)
	defer cancel()
	sent, err := c.recorder.begin(receipt.JTI, submission, withheld)
	if err != nil {
		return nil, c.fault(err, http.StatusInternalServerError)
	}
	done, err := c.recorder.record(ctx, sent)
	c.metrics.seconds.WithLabelValues("ledger").Observe(time.Since(began).Seconds())
	var no *refused
	switch {
	case err == nil:
		c.lessons.learn(c.ctx, done.body)
		return done, ""
	case errors.As(err, &no):
		c.log.Error("the ledger refused a receipt", "code", no.problem.Code, "where", no.problem.Where, "expected", no.problem.Expected)
		return nil, c.refuse(http.StatusBadGateway, &ledger.Problem{
			Code: "not_recorded", Where: "ledger", Expected: "an access that can be recorded", Found: "a refusal by the ledger, " + no.problem.Code,
		})
	case errors.Is(err, errUnknown) && vital:
		// Should the ledger have it all the same, a statement says that nothing was
		// released on that receipt.
		return c.spooled(receipt, private, list)
	case errors.Is(err, errUnknown):
		return nil, c.unavailable(why)
	case errors.Is(err, memory.ErrUnavailable), errors.Is(err, memory.ErrTaken):
		return nil, c.fault(err, http.StatusServiceUnavailable)
	}
	c.log.Error("nothing is released", "error", err)
	return nil, c.refuse(http.StatusBadGateway, &ledger.Problem{Code: "not_proven", Where: "ledger", Expected: "a proof that the access is recorded", Found: "none that holds"})
}

// spooled is record where the ledger is down.
func (c *call) spooled(receipt *ledger.Receipt, private *ledger.Private, list []ledger.Subject) (*recorded, string) {
	done, err := c.spool(receipt, private, list)
	switch {
	case err == nil:
		return done, ""
	case errors.Is(err, memory.ErrSession): // it ended just now
		return nil, c.unavailable("no session of break-glass any more")
	}
	return nil, c.fault(err, http.StatusInternalServerError)
}

// unavailable answers a call that can't be recorded now. why is about break-glass,
// or "".
func (c *call) unavailable(why string) string {
	found := "a ledger that doesn't answer"
	if why != "" {
		found += ", and " + why
	}
	return c.later(&ledger.Problem{Code: "ledger_unavailable", Where: "ledger", Expected: "the same call again, later", Found: found})
}
