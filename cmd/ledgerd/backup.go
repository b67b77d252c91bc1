// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
)

type backupAnswer struct {
	cli.Done
	Backup string `json:"backup"`
}

func (a *backupAnswer) Text(w io.Writer) { fmt.Fprintf(w, "A backup in %s\n", a.Backup) }

func backupCommand() *cobra.Command {
	var flags ledgerFlags
	var out string
	cmd := &cobra.Command{
		Use:     "backup --data DIR --out DIR2",
		Short:   "Copy a ledger's store, also while it is served",
		Example: "  ledgerd backup --data /var/lib/traccia --out /backup/2026-11-22",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return cli.Usagef("--out is needed: a new directory for the backup")
			}
			path, err := filepath.Abs(out)
			if err != nil {
				return err
			}
			if _, err := adminDo(cmd, &flags, adminCall{Backup: path}); err != nil {
				return err
			}
			return cli.Print(cmd, &backupAnswer{Backup: path})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "new directory for the backup")
	return cmd
}
