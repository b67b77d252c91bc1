// SPDX-License-Identifier: EUPL-1.2

// Command gateway stands at a provider's edge: no receipt, no data (docs/gateway.md).
package main

import (
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
)

func main() { cli.Main(newRoot()) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "gateway",
		Short: "A provider's edge: no receipt, no data",
		Long: `gateway stands before a provider's e-services on PDND. It judges a call's tokens as the
provider must, finds whose data the call is about, and lets an answer out only when
the ledger has recorded it. One YAML file says all; deploy/gateway.example.yaml shows it.`,
		Example: `  gateway check gateway.yaml
  gateway init gateway.yaml
  gateway serve gateway.yaml`,
	}
	root.AddCommand(checkCommand(), initCommand(), shareCommand(), serveCommand(), statusCommand(), attestCommand(), recordsCommand(), breakGlassCommand())
	return root
}
