// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
)

type initAnswer struct {
	cli.Done
	Memory string `json:"memory"`
}

func (a *initAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "the gateway's memory was made in %s; who has its memory.key and its files reads whose data were given to whom\n", a.Memory)
}

func initCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "init CONFIG",
		Short: "Make a new gateway's memory",
		Long: `init makes the provider's own memory in the directory that CONFIG names, with a key of its
own. It never replaces one: what a gateway remembers is what the nightly check of the
ledger stands on, and one that starts with nothing raises an alarm for each number that
it wasn't told.

Where CONFIG names a database, several instances of the gateway share what they remember
there. The first init makes the tables and a key; each further instance is given a copy of
the first one's memory.key: --key.`,
		Example: `  gateway init /etc/traccia/gateway.yaml
  gateway init /etc/traccia/gateway.yaml --key /root/memory.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(args[0])
			if err != nil {
				return err
			}
			o, err := service.MemoryOptions(c, slog.New(slog.DiscardHandler))
			switch {
			case err != nil:
			case o.Database != nil:
				err = memory.CreateInstance(cmd.Context(), c.Memory, c.Identity.Body, c.Ledger.Name, key, o)
			case key != "":
				err = cli.Usagef("--key: CONFIG names no database that instances share")
			default:
				err = memory.Create(c.Memory, c.Identity.Body, c.Ledger.Name)
			}
			if err != nil {
				return err
			}
			return cli.Print(cmd, &initAnswer{Memory: c.Memory})
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "copy of the first instance's memory.key")
	return cmd
}

type shareAnswer struct {
	cli.Done
	Database string `json:"database"`
	Rows     int    `json:"rows"`
}

func (a *shareAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%d rows of the memory are in %s; further instances: gateway init --key with a copy of memory.key\n", a.Rows, a.Database)
}

func shareCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "share CONFIG",
		Short: "Move a gateway's memory into a database, for several instances",
		Long: `share moves what a gateway alone remembers into the database that CONFIG names, which is
empty: the provider's own, never the ledger's. The gateway doesn't serve meanwhile, and
every submission's outcome is known. Interrupted, it is run again. From then on the
gateway is the first of several instances.`,
		Example: `  gateway share /etc/traccia/gateway.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(args[0])
			if err != nil {
				return err
			}
			o, err := service.MemoryOptions(c, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			if o.Database == nil {
				return cli.Usagef("CONFIG names no database: expected database: postgres://user@host/database")
			}
			a := &shareAnswer{Database: o.Database.String()}
			if err := memory.Share(cmd.Context(), c.Memory, c.Identity.Body, c.Ledger.Name, o, func(rows int) { a.Rows += rows }); err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
}

func recordsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "records CONFIG",
		Short: "Write what the ledger acknowledged, for the provider's check",
		Long: `records writes the provider's own records, a line for each event, as verifier provider
takes them: all that the gateway's memory has at this instant, whether it serves or not.
They name citizens.`,
		Example: `  umask 077
  gateway records /etc/traccia/gateway.yaml > own.ndjson
  verifier provider --scope inps --records own.ndjson …`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(args[0])
			if err != nil {
				return err
			}
			return exportRecords(cmd.Context(), c, cmd.OutOrStdout())
		},
	}
}

func exportRecords(ctx context.Context, c *config.Config, out io.Writer) error {
	resp, err := service.Ask(ctx, c, http.MethodGet, "/records")
	if errors.Is(err, service.ErrNobody) {
		m, err := service.OpenMemory(c, true, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		return errors.Join(service.WriteRecords(out, m), m.Close())
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("couldn't write the records: %w", err)
	}
	return nil
}
