// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/node"
)

type restoreAnswer struct {
	cli.Done
	Size uint64 `json:"size"`
}

func (a *restoreAnswer) Text(w io.Writer) { fmt.Fprintf(w, "Restored, %d leaves\n", a.Size) }

func restoreCommand() *cobra.Command {
	var flags ledgerFlags
	var from string
	cmd := &cobra.Command{
		Use:     "restore --from DIR2 --data DIR",
		Short:   "Put a backup in the place of a lost store",
		Example: "  ledgerd restore --from /backup/2026-11-22 --data /var/lib/traccia",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return cli.Usagef("--from is needed: the directory of a backup")
			}
			opt, err := flags.options(cmd)
			if err != nil {
				return err
			}
			if err := os.CopyFS(filepath.Join(flags.data, "store"), os.DirFS(from)); err != nil {
				return err
			}
			n, err := node.Open(cmd.Context(), flags.data, opt)
			if err != nil {
				return err
			}
			size := n.Latest().Root.Size
			if err := n.Close(); err != nil {
				return err
			}
			return cli.Print(cmd, &restoreAnswer{Size: size})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "directory of the backup")
	return cmd
}
