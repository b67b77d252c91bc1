// SPDX-License-Identifier: EUPL-1.2

// Command verifier checks what a ledger hands out, for citizens, DPOs and the
// Garante: it trusts the log's key file that it is given, and no server.
//
// What package verifier proves it says to people and, with --json, to programs.
// It keeps nothing but the state file of verifier log, and prints no person's
// code.
package main

import (
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
)

func main() { cli.Main(newRoot()) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "verifier",
		Short: "Check receipts and the log of a ledger without trusting it",
		Long: `verifier checks what a ledger hands out. It needs the log's verifier key, a file
that the ledger publishes and that others can confirm; get it once, from a place
you trust, and keep it.

A command says what is proven and what isn't. It ends with 0 when all is proven,
1 when it isn't, 2 when it was called wrongly, 3 when nothing could be checked.`,
		Example: `  verifier receipt receipt.json --key log.vkey
  verifier log https://registro.example --key log.vkey --state log.state
  verifier export traccia-2026 --key log.vkey`,
	}
	root.AddCommand(receiptCommand(), logCommand(), exportCommand(), monitorCommand(), statisticsCommand(), historyCommand(), complaintCommand(), providerCommand(), agencyCommand(), reconcileCommand(), auditCommand(), authorityCommand())
	return root
}
