// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/provider"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
)

const (
	duePause       = time.Minute      // between two looks at the clock
	againPause     = 15 * time.Minute // after a check that couldn't be made
	cosignPatience = 2 * time.Minute  // for a checkpoint that a monitor cosigned too
	toldProblems   = 20               // of a check, a line of the log each
)

// ErrNoCheck: the configuration has no block check.
var ErrNoCheck = errors.New("the configuration has no check: it doesn't say which keys are the party's own")

// errUnsettled: a check would take for planted what a submission on its way may be.
var errUnsettled = errors.New("there are submissions whose outcome isn't known; they are settled once the ledger answers")

// Attest compares the memory of a gateway that doesn't serve with the ledger's logs
// (docs/provider-check.md), and has the ledger record that they agree. One that
// serves does it by itself.
func Attest(ctx context.Context, p *Parts, m *memory.Memory, log *slog.Logger) ([]memory.Check, error) {
	s, err := m.Status()
	if err != nil {
		return nil, err
	}
	if s.Unsettled+s.Spooled > 0 {
		return nil, fmt.Errorf("%w: gateway serve", errUnsettled)
	}
	y, err := newYears(ctx, p.Ledger, p.Config.Ledger.Name, p.Policy, m, log)
	if err != nil {
		return nil, err
	}
	return (&attester{p, m, y, log}).attest(ctx)
}

// Attest is the nightly check, now.
func (g *Gateway) Attest(ctx context.Context) ([]memory.Check, error) {
	g.attesting.Lock()
	defer g.attesting.Unlock()
	g.recorder.mu.Lock()
	left := len(g.recorder.left)
	g.recorder.mu.Unlock()
	s, err := g.memory.Status()
	if err != nil {
		return nil, err
	}
	if left+s.Spooled+s.Elsewhere > 0 {
		return nil, errUnsettled
	}
	return (&attester{g.parts.Load(), g.memory, g.years, g.log}).attest(ctx)
}

// nightly makes the check when its hour has come, and when it was missed.
func (g *Gateway) nightly() {
	c := g.parts.Load().Config.Check
	now := time.Now()
	if c == nil || now.Sub(g.tried) < againPause || !g.memory.IsEldest() {
		return
	}
	list, err := g.memory.Checks()
	if err != nil {
		g.log.Error("couldn't tell whether a check is due", "error", err)
		return
	}
	for _, done := range list {
		if !done.At.Before(c.Last(now)) {
			return
		}
	}
	g.tried = now
	if _, err := g.Attest(g.ctx); err != nil && g.ctx.Err() == nil {
		g.log.Warn("couldn't compare the memory with the log; it is tried again", "after", againPause, "error", err)
	}
}

// attester makes one check.
type attester struct {
	*Parts
	memory *memory.Memory
	years  *years
	log    *slog.Logger
}

func (a *attester) attest(ctx context.Context) (list []memory.Check, err error) {
	if a.Config.Check == nil {
		return nil, ErrNoCheck
	}
	latest, err := a.years.latest(ctx)
	if err != nil {
		return nil, err
	}
	// The last events of a year can only be checked when it is over.
	if before, err := a.before(ctx, latest-1); err != nil {
		return nil, err
	} else if before {
		done, err := a.year(ctx, latest-1)
		if err != nil {
			return nil, fmt.Errorf("couldn't check the log of %d: %w", latest-1, err)
		}
		list = append(list, *done)
	}
	done, err := a.year(ctx, latest)
	if err != nil {
		return list, fmt.Errorf("couldn't check the log of %d: %w", latest, err)
	}
	return append(list, *done), nil
}

// before says whether there is something to check in last year's log.
func (a *attester) before(ctx context.Context, epoch uint32) (bool, error) {
	keys, _ := a.years.of(epoch)
	has, err := a.memory.Has(epoch)
	if err != nil || !has || len(keys) == 0 {
		return false, err
	}
	last, err := a.memory.Checks()
	if err != nil {
		return false, err
	}
	for _, c := range last {
		if c.Origin != keys[0].Name() || !c.Whole() {
			continue
		}
		signed, err := a.years.year(epoch).Fetch(ctx, verifier.CheckpointPath)
		if err != nil {
			return false, fmt.Errorf("couldn't fetch the checkpoint of %s: %w", c.Origin, err)
		}
		now, err := checkpoint.Open(signed, keys...)
		return err != nil || now.Size != c.Size, nil // a bad one is for the check to tell
	}
	return true, nil
}

// year checks one year's log, notes what came out, and has it recorded if all is
// well.
func (a *attester) year(ctx context.Context, epoch uint32) (*memory.Check, error) {
	dir := filepath.Join(a.Config.Memory, "tiles", strconv.FormatUint(uint64(epoch), 10))
	tiles, err := fetch.NewCache(dir, a.years.year(epoch))
	if err != nil {
		return nil, err
	}
	keys, err := a.Config.Check.OwnKeys()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	registrar := provider.NewLedger(a.Ledger, a.Key, time.Now)
	check := provider.Check{
		Scope: a.Config.Identity.Body, Log: tiles, Policy: a.years.trusted(), Now: time.Now, Patience: cosignPatience,
		Records: a.memory, Proofs: a.memory, Ledger: registrar,
		Keys: keys, Providers: a.Config.Check.Providers, Others: a.Config.Check.Others, InFlight: a.Config.Check.InFlight,
	}
	report, err := check.Run(ctx)
	if errors.Is(err, checkpoint.ErrTiles) {
		err = errors.Join(err, os.RemoveAll(dir)) // the next check fetches them anew
	}
	if err != nil {
		return nil, err
	}
	if report.Head == 0 && report.Found == 1 {
		return nil, fmt.Errorf("the log has no head yet that is older than %s", a.Config.Check.InFlight)
	}
	done := &memory.Check{
		Origin: report.Checkpoint.Origin, At: began, Until: report.Until, Head: report.Head, Size: report.Checkpoint.Size,
		Entries: report.Entries, Subjects: report.Subjects, Cohorts: report.Cohorts, Pending: report.Pending, Found: report.Found, Problems: report.Problems,
	}
	if done.Origin == "" { // no checkpoint that can be trusted
		done.Origin = ledger.Origin(a.Config.Ledger.Name, epoch)
	}
	if len(done.Problems) > toldProblems {
		done.Problems = done.Problems[:toldProblems]
	}
	if report.Proven() {
		err = a.record(ctx, report, registrar, done)
	} else {
		a.alarm(done)
	}
	return done, errors.Join(err, a.memory.Checked(done))
}

// record signs a check that found nothing, and has the ledger record it.
func (a *attester) record(ctx context.Context, report *verifier.ProviderReport, registrar *provider.Ledger, done *memory.Check) error {
	statement, err := provider.Sign(report, a.Config.Identity.Body, a.Key, time.Now())
	if err != nil {
		return err
	}
	index, err := registrar.Record(ctx, statement)
	var p *ledger.Problem
	switch {
	case errors.As(err, &p):
		done.Note = "the ledger didn't record it: " + p.Error()
	case err != nil:
		return fmt.Errorf("couldn't have the check recorded: %w", err)
	default:
		done.Index = &index
	}
	a.log.Info("the memory and the log agree", "origin", done.Origin, "until", done.Until.UTC().Format(time.RFC3339), "entries", done.Entries, "cohorts", done.Cohorts, "record", done.Index != nil, "note", done.Note)
	return nil
}

func (a *attester) alarm(done *memory.Check) {
	a.log.Error("ALARM: the memory and the log don't agree; keep both as they are, and tell who audits the ledger (docs/provider-check.md)",
		"origin", done.Origin, "problems", done.Found)
	for _, p := range done.Problems {
		a.log.Error("what the check found", "code", p.Code, "where", p.Where, "expected", p.Expected, "found", p.Found)
	}
}
