// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

type statusAnswer struct {
	cli.Verdict
	node.State
}

func (a *statusAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s: %d leaves, %d public", a.Origin, a.Size, a.Published)
	if a.Witnesses > 0 {
		fmt.Fprintf(w, ", %d of them witnessed as the policy asks\n", a.Cosigned)
	} else {
		fmt.Fprintln(w, "; no witness is asked")
	}
	fmt.Fprintf(w, "last head %s; %d leaves wait to be recorded\n", a.LastHead.Format(time.RFC3339), a.Queued)
	if a.FinalLacks > 0 {
		fmt.Fprintf(w, "%d cosignatures are missing on the last checkpoints of past years\n", a.FinalLacks)
	}
}

func statusCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "status --data DIR",
		Short: "Ask the process that serves a ledger how it is",
		Long: `Asks the process that serves the ledger in DIR, by its socket there, whether it
records, and how far publication and witnesses are behind. It ends with 0 while
accesses are recorded, with 1 while they aren't, with 3 when no process serves the
ledger: for people, and for those who watch over a container.`,
		Example: `  ledgerd status --data /var/lib/traccia
  ledgerd status --data /var/lib/traccia --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := socketPath(data)
			if err != nil {
				return err
			}
			reply, err := adminPost(cmd.Context(), path, adminCall{Status: true})
			var nobody *net.OpError
			switch {
			case errors.As(err, &nobody):
				return fmt.Errorf("no process serves the ledger in %s: %w", data, nobody.Err)
			case err != nil:
				return err
			}
			if reply.Status == nil {
				return errors.New("the ledger that serves this directory is of another version: it doesn't know this question")
			}
			a := &statusAnswer{State: *reply.Status}
			a.Result = cli.Proven
			if a.Trouble != "" {
				a.Problems = []ledger.Problem{{Code: "not_recording", Expected: "accesses to be recorded", Found: a.Trouble}}
			}
			return cli.Print(cmd, a)
		},
	}
	cmd.Flags().StringVar(&data, "data", "traccia-data", "the ledger's directory")
	cmd.MarkFlagDirname("data")
	return cmd
}
