// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
)

// A run has rounds of some thousand receipts, at most maxRounds, or more if
// the answers of one wouldn't fit into memory; with a rate it is one.
const (
	perRound       = 5_000
	maxRounds      = 10
	eventsPerRound = 250_000
)

func rounds(s settings) int {
	n := min(max(s.receipts/perRound, 1), maxRounds)
	if s.rate > 0 {
		n = 1
	}
	return min(max(n, s.receipts*s.perReceipt/eventsPerRound), s.receipts)
}

// measure is the whole run.
func measure(cmd *cobra.Command, s settings) (r *report, err error) {
	t, end, err := open(cmd, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	l, err := openLog(cmd.Context(), t)
	if err != nil {
		return nil, err
	}
	before, err := warm(t.dir, t.name, s)
	if err != nil {
		return nil, err
	}
	src, err := openSource(t.dir, t.name, s)
	if err != nil {
		return nil, err
	}
	list, err := src.prepare(cmd, s.receipts)
	if err != nil {
		return nil, err
	}
	d := newDriver(t.url, s)
	if err := d.heat(cmd.Context(), l, before); err != nil {
		return nil, err
	}
	run := &run{settings: s, target: t, driver: d, report: &report{LogSizeBefore: l.at.Size}}
	if err := run.all(cmd, list); err != nil {
		return nil, err
	}
	r = run.report
	r.Problems = append(r.Problems, run.problems...)
	if len(r.Problems) == 0 {
		if r.Problems, err = l.account(cmd, run.spans); err != nil {
			return nil, err
		}
		r.LogSize = l.at.Size
	}
	r.Result = cli.Proven
	r.Problems = r.Problems[:min(len(r.Problems), 20)]
	return r, nil
}

// heat submits the warming receipts and waits until the public log has them.
func (d *driver) heat(ctx context.Context, l *publicLog, list []prepared) error {
	rate := d.rate
	d.rate = 0
	defer func() { d.rate = rate }()
	answers, err := d.single(ctx, list)
	if err != nil {
		return err
	}
	spans, problems := judge(list, answers, "single")
	if len(problems) > 0 {
		return &problems[0]
	}
	return l.wait(ctx, last(spans))
}

func last(spans []span) (end uint64) {
	for _, s := range spans {
		end = max(end, s.end)
	}
	return end
}

// run is the measured part.
type run struct {
	settings
	*target
	*driver
	report    *report
	spans     []span
	problems  []ledger.Problem
	latencies []time.Duration
	clientCPU time.Duration
}

func (r *run) all(cmd *cobra.Command, list []prepared) error {
	progress := cli.NewProgress(cmd, "submitting", int64(len(list)))
	defer progress.Close()
	r.driver.progress = progress.Add
	watch := watch(cmd.Context(), r.target.metricsURL)
	var verified, ingesting time.Duration
	var receipts int // verified
	var verifyCPU time.Duration
	n := rounds(r.settings)
	for i := range n {
		part := list[i*len(list)/n : (i+1)*len(list)/n]
		half := len(part) / 2
		if half == 0 {
			half = len(part)
		}
		v := verification{}
		if err := v.add(part[:half]); err != nil {
			return err
		}
		took, err := r.ingest(cmd.Context(), part)
		if err != nil {
			return err
		}
		if err := v.add(part[len(part)-half:]); err != nil {
			return err
		}
		verified, receipts, verifyCPU, ingesting = verified+v.took, receipts+v.receipts, verifyCPU+v.cpu, ingesting+took
		one := round{VerifyOnly: rate(v.receipts, v.took), Ingest: rate(len(part), took)}
		one.Ratio = tidy(one.Ingest/one.VerifyOnly, 3)
		r.report.Rounds = append(r.report.Rounds, one)
	}
	// The ledger's CPU from the first round to the last: what it does after
	// an answer is part of what the receipt cost.
	cpu, series, err := watch()
	if err != nil {
		return err
	}
	out := r.report
	out.Receipts, out.Memory = len(list), series
	for _, s := range r.spans {
		out.Events += int(s.end - s.first)
	}
	out.VerifyOnly, out.Ingest, out.EventRate = rate(receipts, verified), rate(len(list), ingesting), rate(out.Events, ingesting)
	out.Ratio = tidy(out.Ingest/out.VerifyOnly, 3)
	out.VerifyCPU = tidy(verifyCPU.Seconds()*1e6/float64(receipts), 1)
	out.ClientCPU = tidy(r.clientCPU.Seconds()*1e6/float64(len(list)), 1)
	if r.target.metricsURL != "" {
		each := tidy(cpu*1e6/float64(len(list)), 1)
		out.CPU = &each
	}
	slices.Sort(r.latencies)
	out.P50, out.P99 = percentile(r.latencies, 50), percentile(r.latencies, 99)
	return nil
}

func (r *run) ingest(ctx context.Context, part []prepared) (time.Duration, error) {
	send := r.single
	if r.endpoint == "batch" {
		send = r.batch
	}
	before, err := ownCPU()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	answers, err := send(ctx, part)
	took := time.Since(begun)
	if err != nil {
		return 0, err
	}
	after, err := ownCPU()
	if err != nil {
		return 0, err
	}
	r.clientCPU += after - before
	for _, a := range answers {
		r.latencies = append(r.latencies, a.latency)
	}
	spans, problems := judge(part, answers, r.endpoint)
	r.spans, r.problems = append(r.spans, spans...), append(r.problems, problems...)
	return took, nil
}

// verification adds up what verifying alone took.
type verification struct {
	receipts  int
	took, cpu time.Duration
}

func (v *verification) add(list []prepared) error {
	before, err := ownCPU()
	if err != nil {
		return err
	}
	n, took, err := verify(list)
	if err != nil {
		return err
	}
	after, err := ownCPU()
	v.receipts, v.took, v.cpu = v.receipts+n, v.took+took, v.cpu+after-before
	return err
}

// ownCPU is this process's, of user and system.
func ownCPU() (time.Duration, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

func rate(n int, took time.Duration) float64 { return tidy(float64(n)/took.Seconds(), 1) }

func tidy(x float64, decimals int) float64 {
	scale := math.Pow10(decimals)
	return math.Round(x*scale) / scale
}

// percentile of sorted latencies, exact, in milliseconds.
func percentile(sorted []time.Duration, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return tidy(sorted[(len(sorted)*p+99)/100-1].Seconds()*1e3, 2)
}
