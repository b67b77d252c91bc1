// SPDX-License-Identifier: EUPL-1.2

// Command ledgerd runs a ledger: it takes signed access receipts, records them
// in an append-only log, and serves the log to whoever wants to check it.
package main

import (
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/place"
	"github.com/traccia-ledger/traccia/policies"
)

func main() { cli.Main(newRoot()) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ledgerd",
		Short: "The ledger of who consulted a citizen's welfare file",
		Long: `ledgerd records signed access receipts in an append-only Merkle log and serves
the log, so that anyone can check what it says without trusting who runs it.

Try it with sample data:

  ledgerd dev

Run one of your own:

  ledgerd init --data /var/lib/traccia --name registro.example
  ledgerd serve --data /var/lib/traccia`,
	}
	root.AddCommand(
		devCommand(), initCommand(), serveCommand(), statusCommand(), loginCommand(),
		bodyCommand(), scopeCommand(), policyCommand(), verifierCommand(), eraseCommand(), retentionCommand(), authorityCommand(), historyCommand(), consentsCommand(),
		fsckCommand(), reindexCommand(), backupCommand(), restoreCommand(), migrateCommand(), exportCommand(),
	)
	return root
}

// store is what the commands that work on a ledger have in common.
type ledgerFlags struct {
	data           string
	store          string
	passphraseFile string
}

func (f *ledgerFlags) add(cmd *cobra.Command) {
	f.addPlace(cmd)
	cmd.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "file with the passphrase of the ledger's keys")
}

// addPlace adds what says where a ledger is.
func (f *ledgerFlags) addPlace(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "traccia-data", "the ledger's directory")
	cmd.Flags().StringVar(&f.store, "store", "", "where the rows are: postgres://…, cockroach://… or a directory (default: what config.json says, or DIR/store)")
	cmd.MarkFlagDirname("data")
}

// place returns options that say where the store is, and nothing of keys.
func (f *ledgerFlags) place(cmd *cobra.Command) (node.Options, error) {
	opt := node.Options{Log: logger(cmd), Place: f.store}
	if f.store == "" {
		return opt, nil
	}
	where, err := place.Parse(f.store, ".")
	if err != nil {
		return opt, cli.Usagef("--store: %w", err)
	}
	if where.Dir() != "" {
		opt.Place, err = filepath.Abs(where.Dir())
	}
	return opt, err
}

func (f *ledgerFlags) options(cmd *cobra.Command) (node.Options, error) {
	opt, err := f.place(cmd)
	if err != nil {
		return opt, err
	}
	opt.Policies, opt.Consents = policies.Open, webauthn.Rules{}
	if f.passphraseFile != "" {
		if opt.Passphrase, err = cli.ReadSecret(f.passphraseFile); err != nil {
			return opt, err
		}
	}
	return opt, nil
}

// logger writes structured lines to standard error.
func logger(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
}
