// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
	"github.com/traccia-ledger/traccia/ledger"
)

// attestAnswer is what the comparison of memory and log came to, a check for each year that there is something to check of:
//
//	{"schema":"traccia/gateway-attest/1","result":"proven","problems":[],
//	 "checks":[{"origin":"registro.example/2026","until":"2026-11-22T02:30:00Z","head":69998,"size":70000,"entries":4711,…,"record_index":70123}]}
type attestAnswer struct {
	cli.Verdict
	Checks []memory.Check `json:"checks"`
}

func (a *attestAnswer) Text(w io.Writer) { writeChecks(w, a.Checks) }

func writeChecks(w io.Writer, list []memory.Check) {
	for _, c := range list {
		fmt.Fprintf(w, "%s: %d leaves, compared with the memory up to %s (leaf %d)\n", c.Origin, c.Size, c.Until.UTC().Format(time.RFC3339), c.Head)
		fmt.Fprintf(w, "  %d events of %d citizens, %d aggregates; %d too young to be judged\n", c.Entries, c.Subjects, c.Cohorts, c.Pending)
		switch {
		case c.Index != nil:
			fmt.Fprintf(w, "  the statement is recorded at leaf %d\n", *c.Index)
		case c.Note != "":
			fmt.Fprintf(w, "  %s\n", c.Note)
		default:
			fmt.Fprintf(w, "  %d problems; KEEP the memory and the log as they are now (docs/provider-check.md)\n", c.Found)
		}
	}
}

func attestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "attest CONFIG",
		Short: "Compare the memory with the log now, as each night",
		Long: `attest compares every event of the gateway's memory with the ledger's log: numbers, tags,
leaves, heads, the keys that the log has for the body, for whom its scope speaks. When
all agrees it signs a statement and has the ledger record it: citizens' histories then
show the scope as checked up to that head. A gateway that serves does so each night, at
the hour that check/at says; asked by this command, it does it now.

Whatever is found is told here and kept as an alarm. Nothing of that is published:
verifier provider --alarm, with the records of gateway records, does.`,
		Example: `  gateway attest /etc/traccia-gateway/gateway.yaml
  gateway attest /etc/traccia-gateway/gateway.yaml --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(args[0])
			if err != nil {
				return err
			}
			a := new(attestAnswer)
			a.Checks, err = attest(cmd.Context(), c, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})))
			if err != nil {
				return &cli.CouldNotCheck{Err: err}
			}
			a.Result, a.Problems = verdict(a.Checks)
			return cli.Print(cmd, a)
		},
	}
}

// verdict is what checks come to: proven is what is recorded.
func verdict(list []memory.Check) (cli.Result, []ledger.Problem) {
	result, problems := cli.Proven, []ledger.Problem{}
	for _, c := range list {
		problems = append(problems, c.Problems...)
		switch {
		case c.Found > 0:
			result = cli.Unproven
		case c.Index == nil && result == cli.Proven:
			result = cli.Unchecked
		}
	}
	return result, problems
}

func attest(ctx context.Context, c *config.Config, log *slog.Logger) (list []memory.Check, err error) {
	if c.Check == nil {
		return nil, gateway.ErrNoCheck
	}
	err = service.AskFor(ctx, c, http.MethodPost, "/attest", &list)
	if !errors.Is(err, service.ErrNobody) {
		return list, err
	}
	o, problems := service.Open(c, false)
	if len(problems) > 0 {
		return nil, &config.Refused{Problems: problems}
	}
	m, err := service.OpenMemory(c, true, log)
	if err != nil {
		return nil, err
	}
	list, err = gateway.Attest(ctx, &gateway.Parts{Config: c, Key: o.Key, Policy: o.Policy, Ledger: o.Ledger}, m, log)
	return list, errors.Join(err, m.Close())
}

// statusAnswer is how a gateway stands to the ledger:
//
//	{"schema":"traccia/gateway-status/1","result":"proven","problems":[],"serving":true,"unsettled":0,"missing_numbers":0,
//	 "unwitnessed_since":"2026-11-22T09:30:00Z","checks":[…]}
type statusAnswer struct {
	cli.Verdict
	Serving     bool           `json:"serving"`
	Unsettled   int            `json:"unsettled"`
	Missing     uint64         `json:"missing_numbers"`
	BreakGlass  bool           `json:"break_glass"`                 // a session is open
	Spooled     int            `json:"spooled"`                     // receipts of break-glass that wait to be recorded
	Policies    string         `json:"policies,omitempty"`          // digest of those that break-glass would decide by
	Unwitnessed *time.Time     `json:"unwitnessed_since,omitempty"` // of the oldest checkpoint that waits for witnesses
	Checks      []memory.Check `json:"checks"`
}

func (a *statusAnswer) Text(w io.Writer) {
	serving := "serves"
	if !a.Serving {
		serving = "doesn't serve"
	}
	fmt.Fprintf(w, "the gateway %s; %d submissions whose outcome isn't known\n", serving, a.Unsettled)
	if a.BreakGlass {
		fmt.Fprintln(w, "BREAK-GLASS is open: vital answers are released while the ledger is down")
	}
	if a.Spooled > 0 {
		fmt.Fprintf(w, "%d receipts of break-glass wait to be recorded\n", a.Spooled)
	}
	if a.Policies != "" {
		fmt.Fprintf(w, "policies that break-glass would decide by: %s\n", a.Policies)
	} else {
		fmt.Fprintln(w, "no policies are known yet that break-glass could decide by")
	}
	if a.Unwitnessed != nil {
		fmt.Fprintf(w, "the oldest acknowledged checkpoint that witnesses haven't seen is of %s\n", a.Unwitnessed.UTC().Format(time.RFC3339))
	}
	if len(a.Checks) == 0 {
		fmt.Fprintln(w, "the memory was never compared with the log")
	}
	writeChecks(w, a.Checks)
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status CONFIG",
		Short: "Say how a gateway stands to the ledger",
		Long: `status says, of a gateway that serves or doesn't: submissions whose outcome isn't known,
numbers that the ledger left out, since when acknowledged checkpoints wait for the
policy's witnesses, and what the last checks of the log came to. It ends with 1 where
one of these is an alarm.`,
		Example: `  gateway status /etc/traccia-gateway/gateway.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(args[0])
			if err != nil {
				return err
			}
			a, err := status(cmd.Context(), c)
			if err != nil {
				return &cli.CouldNotCheck{Err: err}
			}
			return cli.Print(cmd, a)
		},
	}
}

func status(ctx context.Context, c *config.Config) (*statusAnswer, error) {
	a, s := &statusAnswer{Serving: true}, new(service.State)
	err := service.AskFor(ctx, c, http.MethodGet, "/status", s)
	if errors.Is(err, service.ErrNobody) {
		a.Serving = false
		var m *memory.Memory
		if m, err = service.OpenMemory(c, true, slog.New(slog.DiscardHandler)); err != nil {
			return nil, err
		}
		s, err = service.StateOf(m)
		err = errors.Join(err, m.Close())
	}
	if err != nil {
		return nil, err
	}
	a.BreakGlass, a.Spooled, a.Policies = s.BreakGlass, s.Spooled, s.Policies
	a.Unsettled, a.Missing, a.Checks = s.Unsettled, s.Missing, append([]memory.Check{}, s.Checks...)
	a.Result, a.Problems = cli.Proven, []ledger.Problem{}
	alarm := func(code, expected, found string) {
		a.Result = cli.Unproven
		a.Problems = append(a.Problems, ledger.Problem{Code: code, Where: "memory", Expected: expected, Found: found})
	}
	if a.Missing > 0 {
		alarm("missing_numbers", "every number of a person's events", fmt.Sprintf("%d that the ledger left out", a.Missing))
	}
	if s.Lacking > 0 {
		alarm("break_glass_missing", "every receipt of break-glass in the ledger, or on its way there", fmt.Sprintf("%d that it refuses, or that are gone", s.Lacking))
	}
	if !s.Waiting.IsZero() {
		a.Unwitnessed = &s.Waiting
		if waits := time.Since(s.Waiting); waits > gateway.WitnessPatience {
			alarm("unwitnessed", "witnesses that saw what was acknowledged within 10 minutes", fmt.Sprintf("none for %d minutes", int(waits.Minutes())))
		}
	}
	for _, check := range a.Checks {
		if check.Found > 0 {
			a.Result, a.Problems = cli.Unproven, append(a.Problems, check.Problems...)
		}
	}
	return a, nil
}
