// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/store"
)

func consentsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "consents", Short: "The citizens' lists of consents"}
	cmd.AddCommand(consentsListCommand(), consentsRebuildCommand())
	return cmd
}

// consentsCall asks for a citizen's consents.
type consentsCall struct {
	Subject ledger.Subject `json:"subject"`
}

type consentsAnswer struct {
	cli.Done
	Consents []ledger.ConsentSummary `json:"consents"`
}

func (a *consentsAnswer) Text(w io.Writer) {
	for _, c := range a.Consents {
		fmt.Fprintf(w, "%d/%d  %s %s: %s, %s to %s, recorded by %s (%s)\n", c.Epoch, c.Index, c.Kind, c.ID, c.State,
			c.From.Format(time.DateOnly), c.Until.Format(time.DateOnly), c.Collector, c.Evidence)
		if len(c.Recipients) > 0 {
			fmt.Fprintf(w, "    to %s\n    for %s\n    of %s\n", strings.Join(c.Recipients, ", "), strings.Join(c.Purposes, "; "), strings.Join(c.Categories, ", "))
		}
	}
	if len(a.Consents) == 0 {
		fmt.Fprintln(w, "none")
	}
}

func consentsListCommand() *cobra.Command {
	var flags ledgerFlags
	var subjectFile string
	cmd := &cobra.Command{
		Use:   "list --subject-file F",
		Short: "Show a citizen's consents, passkeys and mandates, and what became of them",
		Long: `Shows what the events of a citizen's list in +consent come to now. The look-up
leaves an event of its own, signed with the operator's key, at most one a month.`,
		Example: `  ledgerd consents list --subject-file person.txt
  ledgerd consents list --subject-file person.txt --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			subject, err := readSubject(subjectFile)
			if err != nil {
				return err
			}
			reply, err := adminDo(cmd, &flags, adminCall{Consents: &consentsCall{Subject: subject}})
			if err != nil {
				return err
			}
			a := &consentsAnswer{Consents: reply.Consents}
			if a.Consents == nil {
				a.Consents = []ledger.ConsentSummary{}
			}
			return cli.Print(cmd, a)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&subjectFile, "subject-file", "", "file with the citizen's code")
	cmd.MarkFlagRequired("subject-file")
	cmd.MarkFlagFilename("subject-file")
	return cmd
}

// doConsents records the look-up and folds the list.
func doConsents(ctx context.Context, n *node.Node, call *consentsCall) ([]ledger.ConsentSummary, error) {
	subject, err := ledger.ParseSubject(string(call.Subject))
	if err != nil {
		return nil, err
	}
	if err := n.LookUpFor(ctx, subject); err != nil {
		return nil, fmt.Errorf("couldn't record the look-up: %w", err)
	}
	return n.Consents(ctx, subject)
}

type rebuildAnswer struct {
	cli.Done
	Lists  int `json:"lists"`
	Events int `json:"events"`
	Wrong  int `json:"rows_wrong"`
}

func (a *rebuildAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%d events in %d lists; %d rows were missing or wrong, and are right now\n", a.Events, a.Lists, a.Wrong)
}

func consentsRebuildCommand() *cobra.Command {
	var flags ledgerFlags
	cmd := &cobra.Command{
		Use:   "rebuild --data DIR",
		Short: "Make the rows that lead to the lists again from the events",
		Long: `Opens every event, and makes the rows that lead to the citizens' lists in +consent
again. What is in force is a fold over those events: nothing else is kept of it. It
works on a ledger that nobody serves.`,
		Example: `  ledgerd consents rebuild --data /var/lib/traccia
  ledgerd consents rebuild --data /var/lib/traccia --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt, err := flags.options(cmd)
			if err != nil {
				return err
			}
			var progress *cli.Progress
			defer func() { progress.Close() }()
			found, err := node.RebuildConsents(cmd.Context(), flags.data, opt, func(origin string, leaves uint64) func(uint64) {
				progress.Close()
				progress = cli.NewProgress(cmd, "reading "+origin, int64(leaves))
				last := uint64(0)
				return func(at uint64) { progress.Add(int64(at - last)); last = at }
			})
			if errors.Is(err, store.ErrLocked) {
				return fmt.Errorf("rebuild works on a ledger that nobody serves: %w", err)
			} else if err != nil {
				return err
			}
			return cli.Print(cmd, &rebuildAnswer{Lists: found.Lists, Events: found.Events, Wrong: found.Wrong})
		},
	}
	flags.add(cmd)
	return cmd
}
