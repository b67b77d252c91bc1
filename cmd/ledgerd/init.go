// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

type initAnswer struct {
	cli.Done
	Name       string `json:"name"`
	Data       string `json:"data"`
	LogKeyFile string `json:"log_key_file"`
	LogKey     string `json:"log_key"`
}

func (a *initAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "A new ledger %s in %s\n  its verifier key: %s\n", a.Name, a.Data, a.LogKey)
	fmt.Fprintf(w, "Keep %s apart from backups of the store: month keys are what erasure destroys.\n", filepath.Join(a.Data, "keys"))
}

func initCommand() *cobra.Command {
	var flags ledgerFlags
	var name, operator string
	var settings node.PDNDSettings
	cmd := &cobra.Command{
		Use:   "init --data DIR [--name NAME]",
		Short: "Make a new, empty ledger",
		Long: `Makes a new ledger: its keys, its store, and the first log with its preamble.
The directory must not hold a ledger. What it believes of PDND's tokens can be
changed later in DIR/config.json.`,
		Example: `  ledgerd init --data /var/lib/traccia --name registro.example \
    --voucher-issuer interop.pagopa.it \
    --voucher-keys https://interop.pagopa.it/.well-known/jwks.json \
    --client-keys pdnd-clients.jwks`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" {
				var err error
				if name, err = os.Hostname(); err != nil {
					return cli.WrongFlag("--name", "what the ledger is called, e.g. registro.example", "nothing")
				}
			}
			if err := ledger.CheckName(name); err != nil {
				return cli.Usagef("--name: %w", err)
			}
			opt, err := flags.options(cmd)
			if err != nil {
				return err
			}
			if err := node.Create(cmd.Context(), flags.data, node.Settings{Name: name, Operator: operator, Store: opt.Place, PDND: settings}, opt); err != nil {
				return err
			}
			path := filepath.Join(flags.data, "log.vkey")
			key, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return cli.Print(cmd, &initAnswer{Name: name, Data: flags.data, LogKeyFile: path, LogKey: strings.TrimSpace(string(key))})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&name, "name", "", "the ledger's name, the same in all its years (default: this machine's name)")
	cmd.Flags().StringVar(&operator, "operator", "gestore", "body id of who runs the ledger: its look-ups are signed and recorded")
	cmd.Flags().StringSliceVar(&settings.Issuers, "voucher-issuer", []string{"interop.pagopa.it"}, "iss of the vouchers that are believed")
	cmd.Flags().StringSliceVar(&settings.VoucherKeys, "voucher-keys", nil, "JWKS files or URLs of PDND's keys")
	cmd.Flags().StringSliceVar(&settings.ClientKeys, "client-keys", nil, "JWKS files or URLs of the keys of PDND's clients")
	return cmd
}
