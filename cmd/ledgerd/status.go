// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

type statusAnswer struct {
	cli.Verdict
	*node.State // nil: only whether it is ready was asked
}

func (a *statusAnswer) Text(w io.Writer) {
	if a.State == nil {
		return
	}
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
	var data, ready string
	cmd := &cobra.Command{
		Use:   "status --data DIR | --ready ADDRESS",
		Short: "Ask the process that serves a ledger how it is",
		Long: `Asks the process that serves the ledger in DIR, by its socket there, whether it
records, and how far publication and witnesses are behind. It ends with 0 while
accesses are recorded, with 1 while they aren't, with 3 when no process serves the
ledger: for people, and for those who watch over a container.

With --ready it asks the process whose --metrics-listen is ADDRESS whether it takes
requests, and nothing else: of several nodes on one ledger each says it for itself.`,
		Example: `  ledgerd status --data /var/lib/traccia
  ledgerd status --data /var/lib/traccia --json
  ledgerd status --ready 127.0.0.1:9090`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ready != "" {
				a, err := askReady(cmd.Context(), ready)
				if err != nil {
					return err
				}
				return cli.Print(cmd, a)
			}
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
			return cli.Print(cmd, newStatus(reply.Status, reply.Status.Trouble))
		},
	}
	cmd.Flags().StringVar(&data, "data", "traccia-data", "the ledger's directory")
	cmd.Flags().StringVar(&ready, "ready", "", "ask whether the process with this --metrics-listen takes requests")
	cmd.MarkFlagDirname("data")
	return cmd
}

// newStatus is the answer about a ledger, or a process of it, with this trouble or
// none.
func newStatus(s *node.State, trouble string) *statusAnswer {
	a := &statusAnswer{State: s}
	a.Result = cli.Proven
	if trouble != "" {
		a.Problems = []ledger.Problem{{Code: "not_recording", Where: "ledger", Expected: "accesses to be recorded", Found: trouble}}
	}
	return a
}

// askReady asks a process's /ready.
func askReady(ctx context.Context, address string) (*statusAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/ready", nil)
	if err != nil {
		return nil, cli.WrongFlag("--ready", "host:port", strconv.Quote(address))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no process answers at %s: %w", address, errors.Unwrap(err))
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	switch {
	case err != nil:
		return nil, fmt.Errorf("couldn't read the answer of %s: %w", address, err)
	case response.StatusCode == http.StatusOK:
		return newStatus(nil, ""), nil
	}
	return newStatus(nil, strings.TrimSpace(string(said))), nil
}
