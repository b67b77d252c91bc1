// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

func receiptFetchCommand() *cobra.Command {
	var f clientFlags
	var key, passphraseFile, name, out string
	cmd := &cobra.Command{
		Use:   "fetch ISS/JTI --key F --ledger NAME --url U --out receipt.json",
		Short: "Fetch the ledger's answer to a submission of the body's own once more",
		Long: `fetch asks the ledger, with a request that the body signs, for its answer to a submission
that the body sent before: the entries with their proofs, as receipt submit keeps them. A
gateway names the receipt of each answer that it releases in the header Traccia-Receipt.

Only the body that signed the receipt gets it. Of those whose events were erased there is
no answer any more.`,
		Example: `  agency receipt fetch inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11 --key inps.key \
    --ledger registro.example --url https://registro.example --out receipt.json
  verifier receipt receipt.json --key log.vkey`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client(cmd)
			if err != nil {
				return err
			}
			k, err := agencykey.Read(key, passphraseFile)
			if err != nil {
				return err
			}
			iss, jti, ok := strings.Cut(args[0], "/")
			if !ok || strings.Contains(jti, "/") || iss != k.Body {
				return cli.Usagef("expected a receipt of the key's body, such as %s/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", k.Body)
			}
			ctx := cmd.Context()
			raw, err := patiently(ctx, c, func() ([]byte, error) {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.JoinPath("v1", "access-receipts", iss, jti).String(), nil)
				if err != nil {
					return nil, fmt.Errorf("couldn't make a request: %w", err)
				}
				if err := k.SignRequest(r, nil, name, time.Now()); err != nil {
					return nil, err
				}
				_, data, err := c.ask(r)
				return data, err
			})
			if err != nil {
				var refused *refusal
				if errors.As(err, &refused) {
					err = refused.verdict()
				}
				return fmt.Errorf("couldn't fetch the answer: %w", err)
			}
			a, err := ledger.ParseAnswer(raw)
			if err != nil || a.ReceiptID != args[0] {
				return &cli.CouldNotCheck{Err: fmt.Errorf("couldn't read the ledger's answer: expected one about %s", args[0])}
			}
			if err := durable.Replace(out, raw, 0o600); err != nil {
				return fmt.Errorf("couldn't keep the answer: %w", err)
			}
			return cli.Print(cmd, &receiptSubmitAnswer{ReceiptID: a.ReceiptID, FirstIndex: a.FirstIndex, Count: a.Count, Replayed: true, Origin: a.Origin, Receipt: out})
		},
	}
	f.add(cmd, time.Minute)
	flags := cmd.Flags()
	flags.StringVar(&key, "key", "", "key file of the body that submitted it")
	flags.StringVar(&passphraseFile, "passphrase-file", "", "file with the key's passphrase")
	flags.StringVar(&name, "ledger", "", "the ledger's name, e.g. registro.example")
	flags.StringVar(&out, "out", "", "file for the ledger's answer")
	for _, name := range []string{"key", "ledger", "out"} {
		cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagFilename("key", "key")
	cmd.MarkFlagFilename("out", "json")
	return cmd
}
