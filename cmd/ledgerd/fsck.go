// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/pebble"
)

type fsckAnswer struct {
	cli.Verdict
	Size uint64 `json:"size"`
	Root string `json:"root"`
}

func (a *fsckAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%d leaves, root %s\n", a.Size, a.Root)
}

func fsckCommand() *cobra.Command {
	var flags ledgerFlags
	cmd := &cobra.Command{
		Use:     "fsck --data DIR",
		Short:   "Verify everything that a ledger keeps",
		Example: "  ledgerd fsck --data /var/lib/traccia --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, err := pebble.Open(filepath.Join(flags.data, "store"), pebble.Options{Logger: logger(cmd)})
			if err != nil {
				return err
			}
			defer db.Close()
			e, err := engine.New(db)
			if err != nil {
				return err
			}
			epochs, err := e.Epochs(cmd.Context())
			if err != nil || len(epochs) == 0 {
				return fmt.Errorf("couldn't find a log in %s: %w", flags.data, err)
			}
			shard, err := e.OpenShard(cmd.Context(), epochs[len(epochs)-1])
			if err != nil {
				return err
			}
			root := shard.Root()
			return cli.Print(cmd, &fsckAnswer{Size: root.Size, Root: hex.EncodeToString(root.Hash[:])})
		},
	}
	flags.add(cmd)
	return cmd
}
