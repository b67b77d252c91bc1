// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/node"
)

type restoreAnswer struct {
	cli.Done
	Data   string           `json:"data"`
	MadeAt string           `json:"made_at"` // of the backup
	Logs   []node.BackedLog `json:"logs"`
}

func (a *restoreAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "The backup of %s is in %s\n", a.MadeAt, a.Data)
	writeLogs(w, a.Logs)
	fmt.Fprintf(w, "Verify all of it with: ledgerd fsck --data %s\n", a.Data)
}

func restoreCommand() *cobra.Command {
	var flags ledgerFlags
	var from, keys string
	cmd := &cobra.Command{
		Use:   "restore --from DIR2 --data DIR [--keys DIR3]",
		Short: "Put a backup in the place of a lost store",
		Long: `Copies the store of a backup into a data directory that has none, and opens the
ledger once. The keys are those in DIR/keys, or the operator's copy of them:
they must be the latest there are, for they hold the journal of what was erased
since the backup, which is erased again, and the last published checkpoint. A
backup that is older than that checkpoint is refused: to go on from it would
show the world two histories. If anything fails, DIR is as it was before.`,
		Example: `  ledgerd restore --from /backup/traccia-2026-11-22 --data /var/lib/traccia
  ledgerd restore --from /backup/traccia-2026-11-22 --data /var/lib/traccia --keys /media/keys`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return cli.WrongFlag("--from", "the folder of a backup", "nothing")
			}
			opt, err := flags.options(cmd)
			if err != nil {
				return err
			}
			note, err := node.Restore(cmd.Context(), from, flags.data, keys, opt)
			if err != nil {
				return err
			}
			return cli.Print(cmd, &restoreAnswer{Data: flags.data, MadeAt: note.MadeAt, Logs: note.Logs})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "folder of the backup")
	cmd.Flags().StringVar(&keys, "keys", "", "the operator's copy of the keys directory, where DIR has none")
	cmd.MarkFlagDirname("from")
	cmd.MarkFlagDirname("keys")
	return cmd
}
