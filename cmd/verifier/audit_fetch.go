// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/agencylist"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/cmd/internal/provider"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// auditFetch says where lists are fetched before they are audited, as agency list does.
type auditFetch struct {
	url, key, passphraseFile, ledger, operator string
}

func (f *auditFetch) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "the ledger's address: fetch the lists first, or what is new of them, into the files of --list")
	flags.StringVar(&f.key, "key", "", "the body's key file, made by agency key new, to sign the requests with")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "file with that key's passphrase")
	flags.StringVar(&f.ledger, "ledger", "", "the ledger's name, such as registro.example")
	flags.StringVar(&f.operator, "operator", "", "who audits, for the private part of the look-ups")
	cmd.MarkFlagsRequiredTogether("url", "key", "ledger")
	cmd.MarkFlagFilename("key", "key")
}

// fetch brings the lists up to date, one file a year from the period's first year on. Whoever looks leaves a trace: citizens
// see that their body looked, once a month.
func (f *auditFetch) fetch(cmd *cobra.Command, c *verifier.AuditConfig, lists []string) error {
	if f.url == "" {
		return nil
	}
	if err := ledger.CheckName(f.ledger); err != nil {
		return cli.WrongFlag("--ledger", "a ledger's name, such as registro.example", strconv.Quote(f.ledger))
	}
	base, err := fetch.ParseURL(f.url)
	if err != nil {
		return err
	}
	key, err := agencykey.Read(f.key, f.passphraseFile)
	if err != nil {
		return err
	}
	if key.Body != c.Body {
		return cli.WrongFlag("--key", "a key of "+c.Body, "one of "+key.Body)
	}
	first := ledger.EpochOf(time.Now()) - uint32(len(lists)) + 1
	if !c.From.IsZero() {
		first = ledger.EpochOf(c.From)
	}
	from := provider.NewLedger(base, key, time.Now)
	for n, path := range lists {
		if err := f.list(cmd, from, key, path, first+uint32(n)); err != nil {
			return fmt.Errorf("couldn't fetch the list of %d: %w", first+uint32(n), err)
		}
	}
	return nil
}

func (f *auditFetch) list(cmd *cobra.Command, from *provider.Ledger, key *agencykey.Key, path string, epoch uint32) error {
	file, err := agencylist.Open(path, key.Body, ledger.Origin(f.ledger, epoch))
	if err != nil {
		return err
	}
	defer file.Close()
	l := &agencylist.Fetch{
		Key: key, Path: path, File: file, Ledger: f.ledger, Epoch: epoch, Count: 1000, Private: true, Operator: f.operator, Purpose: agencylist.Purpose,
		Progress: cli.NewProgress(cmd, "fetching", 0),
		Post: func(ctx context.Context, path string, content []byte) ([]byte, error) {
			data, err := from.Agency(ctx, f.ledger, path, content)
			if p := (*ledger.Problem)(nil); errors.As(err, &p) {
				return nil, &agencylist.Refused{Code: p.Code, Err: &cli.CouldNotCheck{Err: p}}
			}
			return data, err
		},
	}
	err = l.Run(cmd.Context())
	l.Progress.Close()
	return err
}
