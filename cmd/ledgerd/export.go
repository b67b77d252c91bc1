// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/node"
)

type exportAnswer struct {
	cli.Done
	Out string `json:"out"`
}

func (a *exportAnswer) Text(w io.Writer) { fmt.Fprintf(w, "Exported to %s\n", a.Out) }

func exportCommand() *cobra.Command {
	var flags ledgerFlags
	var out string
	cmd := &cobra.Command{
		Use:     "export --data DIR --out FOLDER",
		Short:   "Write a ledger as a folder of plain files",
		Example: "  ledgerd export --data /var/lib/traccia --out export-2026",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return cli.Usagef("--out is needed: a new folder")
			}
			opt, err := flags.options(cmd)
			if err != nil {
				return err
			}
			n, err := node.Open(cmd.Context(), flags.data, opt)
			if err != nil {
				return err
			}
			published, err := n.Published(n.Epoch)
			if err := errors.Join(err, n.Close()); err != nil {
				return err
			}
			dir := filepath.Join(out, "log", fmt.Sprint(n.Epoch))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, "checkpoint"), published.Checkpoint, 0o644); err != nil {
				return err
			}
			return cli.Print(cmd, &exportAnswer{Out: out})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "new folder")
	return cmd
}
