// SPDX-License-Identifier: EUPL-1.2

// Command agency is a body's side of the ledger, without writing code: it makes
// the body's signing keys, turns what an office knows of an access into a
// signed submission, submits one or many, and fetches the body's own list.
//
// Private keys stay in files of this machine. Subjects' codes go into the
// submission and to the ledger, and into no message, file name or URL. What the
// ledger answers is kept as it came; package verifier and its command judge it.
//
// A submission may be sent any number of times: the ledger records it once, by
// (iss, jti), and answers with the same entries. All that is retried here rests
// on that.
package main

import (
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
)

func main() { cli.Main(newRoot()) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "agency",
		Short: "A body's side of the ledger: keys, receipts, submissions, its list",
		Long: `agency makes a body's signing keys, signs receipts of accesses to citizens' data,
submits them to a ledger, and fetches the body's own list from it.

From nothing to a recorded access:

  agency key new --body c_a944 --out keys
  (give keys/c_a944-….jwks.json to the ledger's operator, who registers it)
  agency receipt sign --key keys/c_a944-….key --claims claims.json \
    --voucher voucher.jwt --evidence evidence.jwt --subjects subjects.txt \
    --out submission.json
  agency receipt submit submission.json --url https://registro.example --out receipt.json

What happened can then be checked without trusting the ledger:

  verifier receipt receipt.json --key log.vkey

and so can the list of all that the ledger has in the body's name:

  agency list --key keys/c_a944-….key --ledger registro.example \
    --url https://registro.example --out c_a944-2026.list
  verifier agency c_a944-2026.list --policy policy.txt`,
	}
	root.AddCommand(keyCommand(), receiptCommand(), submitCommand(), importCommand(), requestCommand(), deferralCommand(), listCommand(), consentCommand())
	return root
}

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "The body's signing keys"}
	cmd.AddCommand(keyNewCommand())
	return cmd
}

func receiptCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "receipt", Short: "Sign, submit and fetch the receipt of one access, or a statement on it"}
	cmd.AddCommand(receiptSignCommand(), receiptPrepareCommand(), receiptSubmitCommand(), receiptFetchCommand(), receiptStatementCommand())
	return cmd
}
