// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
)

type retentionCall struct {
	Term       int        `json:"term"` // 0: as it is
	HoldAdd    *keys.Hold `json:"hold_add"`
	HoldRemove string     `json:"hold_remove"`
	Apply      bool       `json:"apply"`
}

// retentionAnswer says what is kept, until when, and what was destroyed.
type retentionAnswer struct {
	cli.Done
	DryRun      bool        `json:"dry_run"`
	Term        int         `json:"term"`         // in force, in months; 0 if none
	RecordIndex uint64      `json:"record_index"` // of its record
	Kept        []keptMonth `json:"kept"`
	Due         []string    `json:"due"`
	Destroyed   []string    `json:"destroyed"`
	Holds       []keys.Hold `json:"holds"`

	newTerm int // that a dry run was asked for
}

type keptMonth struct {
	Month string `json:"month"`
	Until string `json:"until,omitempty"` // RFC 3339; absent while it isn't known
}

func (a *retentionAnswer) Text(w io.Writer) {
	if a.Term == 0 {
		fmt.Fprintln(w, "No term is in force: nothing can be destroyed.")
	} else {
		fmt.Fprintf(w, "Events are kept for %d months (record %d of the log).\n", a.Term, a.RecordIndex)
	}
	for _, m := range a.Kept {
		until := m.Until
		if until == "" {
			until = "an instant that isn't known yet"
		}
		fmt.Fprintf(w, "  %s until %s\n", m.Month, until)
	}
	for _, h := range a.Holds {
		fmt.Fprintf(w, "  %s is under a legal hold: %s\n", h.Month, h.Reason)
	}
	if len(a.Destroyed) > 0 {
		fmt.Fprintf(w, "Destroyed: %s. Destroy copies of these months' keys too.\n", strings.Join(a.Destroyed, ", "))
	}
	if a.DryRun && len(a.Due) > 0 {
		fmt.Fprintf(w, "Due: %s. Nothing was destroyed: add --apply.\n", strings.Join(a.Due, ", "))
	}
	if a.DryRun && a.newTerm > 0 && a.newTerm != a.Term {
		fmt.Fprintf(w, "The term would become %d months. Nothing was published: add --apply.\n", a.newTerm)
	}
}

func retentionCommand() *cobra.Command {
	var flags ledgerFlags
	var call retentionCall
	var add, reason string
	cmd := &cobra.Command{
		Use:   "retention [--term N] [--hold-add YYYY-MM --reason TEXT | --hold-remove YYYY-MM] [--apply]",
		Short: "Say how long events are kept, and destroy what isn't kept any longer",
		Long: `Lists the months whose events can be opened, and until when they are kept. With
--apply it destroys those whose time is over: their keys, sealed events and
private parts. The log and every published proof stay as they are.

The term is a public record, 24 months in a new ledger. A shorter one is for what
is recorded after it; a longer one for what is already there too. --term publishes
another, with --apply.

A legal hold keeps a month whatever its term, and nobody in it is erased. It is
known to the operator alone and takes effect at once.`,
		Example: `  ledgerd retention --data /var/lib/traccia
  ledgerd retention --apply --json
  ledgerd retention --hold-add 2026-11 --reason "proc. 1234/2026"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case cmd.Flags().Changed("term") && call.Term < 1:
				return cli.WrongFlag("--term", "a number of months from 1 on", strconv.Itoa(call.Term))
			case add != "" && !monthForm.MatchString(add), call.HoldRemove != "" && !monthForm.MatchString(call.HoldRemove):
				return cli.Usagef("--hold-add and --hold-remove take a month like 2026-11")
			case (add != "") != (reason != ""):
				return cli.Usagef("--hold-add and --reason go together")
			case add != "" && call.HoldRemove != "", (add != "" || call.HoldRemove != "") && call.Apply:
				return cli.Usagef("--hold-add, --hold-remove and --apply are separate steps")
			}
			if add != "" {
				call.HoldAdd = &keys.Hold{Month: add, Reason: reason}
			}
			reply, err := adminDo(cmd, &flags, adminCall{Retention: &call})
			if err != nil {
				return err
			}
			return cli.Print(cmd, newRetentionAnswer(reply.Retention, &call))
		},
	}
	flags.add(cmd)
	cmd.Flags().IntVar(&call.Term, "term", 0, "publish another term, in months")
	cmd.Flags().StringVar(&add, "hold-add", "", "put this month under a legal hold")
	cmd.Flags().StringVar(&reason, "reason", "", "why, e.g. the number of the proceedings; name no person")
	cmd.Flags().StringVar(&call.HoldRemove, "hold-remove", "", "end this month's legal hold")
	cmd.Flags().BoolVar(&call.Apply, "apply", false, "destroy the months that are due, and publish --term")
	return cmd
}

func newRetentionAnswer(r *node.Retention, call *retentionCall) *retentionAnswer {
	a := &retentionAnswer{
		DryRun: !call.Apply, Term: r.Term, RecordIndex: r.Record,
		Kept: []keptMonth{}, Due: []string{}, Destroyed: r.Destroyed, Holds: r.Holds, newTerm: call.Term,
	}
	for _, m := range r.Months {
		kept := keptMonth{Month: m.Month}
		if !m.Until.IsZero() {
			kept.Until = m.Until.Format(time.RFC3339)
		}
		a.Kept = append(a.Kept, kept)
		if m.Due {
			a.Due = append(a.Due, m.Month)
		}
	}
	return a
}

func doRetention(ctx context.Context, n *node.Node, call *retentionCall) (*node.Retention, error) {
	if call.HoldAdd != nil {
		if err := n.SetHold(*call.HoldAdd); err != nil {
			return nil, err
		}
	}
	if call.HoldRemove != "" {
		if err := n.EndHold(call.HoldRemove); err != nil {
			return nil, err
		}
	}
	if call.Term > 0 && call.Apply {
		now, err := n.Retention(ctx, false)
		if err == nil && now.Term != call.Term {
			_, err = n.SetTerm(ctx, call.Term)
		}
		if err != nil {
			return nil, err
		}
	}
	return n.Retention(ctx, call.Apply)
}
