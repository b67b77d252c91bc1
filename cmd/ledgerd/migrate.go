// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/place"
)

type migrateAnswer struct {
	cli.Done
	From   string           `json:"from"`
	To     string           `json:"to"`
	Rows   uint64           `json:"rows"`
	Digest string           `json:"sha256"` // over all rows, found the same in both places
	Logs   []node.BackedLog `json:"logs"`
}

func (a *migrateAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%d rows moved from %s to %s, and found the same there\n", a.Rows, a.From, a.To)
	writeLogs(w, a.Logs)
	fmt.Fprintf(w, "%s is as it was: keep it until the ledger runs, and don't serve it again.\n", a.From)
}

func migrateCommand() *cobra.Command {
	var flags ledgerFlags
	var to string
	cmd := &cobra.Command{
		Use:   "migrate --data DIR --to postgres://…|cockroach://…|DIR2",
		Short: "Move a ledger's rows into a database, or back into a directory",
		Long: `Copies every row of a ledger that nobody serves to another place, reads both and
compares them, opens the logs there and compares them with what was published,
and then lets DIR/config.json name the new place. Nothing in the log changes:
every proof, number and checkpoint is what it was. Keys stay in DIR/keys.

It may be stopped at any moment and run again: it goes on from what is there,
and until its end the ledger is where it was.

The database must be empty, or hold what an earlier run copied. Passwords are
not part of its URL: they come from the file that PGPASSFILE names.`,
		Example: `  ledgerd migrate --data /var/lib/traccia --to 'postgres://traccia@db.example/traccia?sslrootcert=/etc/traccia/ca.crt'
  ledgerd migrate --data /var/lib/traccia --to /var/lib/traccia/rows`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return cli.WrongFlag("--to", "a database's URL, or a new directory", "nothing")
			}
			where, err := place.Parse(to, ".")
			if err != nil {
				return cli.Usagef("--to: %w", err)
			}
			if where.Dir() != "" {
				if to, err = filepath.Abs(where.Dir()); err != nil {
					return err
				}
			}
			opt, err := flags.place(cmd)
			if err != nil {
				return err
			}
			var progress *cli.Progress
			defer func() { progress.Close() }()
			m, err := node.Migrate(cmd.Context(), flags.data, to, opt, func(rows int64) func(int) {
				progress = cli.NewProgress(cmd, "migrating", rows)
				return func(n int) { progress.Add(int64(n)) }
			})
			if err != nil {
				return err
			}
			progress.Close()
			return cli.Print(cmd, &migrateAnswer{From: m.From, To: m.To, Rows: m.Sum.Rows, Digest: hex.EncodeToString(m.Sum.Digest[:]), Logs: m.Logs})
		},
	}
	flags.addPlace(cmd)
	cmd.Flags().StringVar(&to, "to", "", "where the rows go: a database's URL or a directory")
	return cmd
}
