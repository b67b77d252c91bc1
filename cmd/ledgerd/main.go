// SPDX-License-Identifier: EUPL-1.2

// Command ledgerd runs a ledger: it takes signed access receipts, records them
// in an append-only log, and serves the log to whoever wants to check it.
package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger/node"
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
		devCommand(), initCommand(), serveCommand(), loginCommand(),
		bodyCommand(), scopeCommand(), policyCommand(), eraseCommand(), retentionCommand(), historyCommand(), consentsCommand(),
		fsckCommand(), reindexCommand(), backupCommand(), restoreCommand(), exportCommand(),
	)
	return root
}

// store is what the commands that work on a ledger have in common.
type ledgerFlags struct {
	data           string
	passphraseFile string
}

func (f *ledgerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "traccia-data", "the ledger's directory")
	cmd.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "file with the passphrase of the ledger's keys")
	cmd.MarkFlagDirname("data")
}

func (f *ledgerFlags) options(cmd *cobra.Command) (node.Options, error) {
	opt := node.Options{Log: logger(cmd), Policies: policies.Open, Consents: webauthn.Rules{}}
	if f.passphraseFile != "" {
		var err error
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
