// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
)

// relations are the kinds of delegate, as --relation takes them.
var relations = []string{consent.RelationParent, consent.RelationGuardian, consent.RelationAdministrator, consent.RelationProxy}

func consentMandateCommand() *cobra.Command {
	var f consentFlags
	var delegateFile, deed, relation, until string
	cmd := &cobra.Command{
		Use:   "mandate --delegate-file F --relation R --deed TEXT --until T --key F --ledger NAME --subject-file F --voucher F --document TEXT --url U --out proof.json",
		Short: "Record that someone may act for a citizen",
		Long: `mandate records that a parent, guardian, support administrator or proxy may act for a
citizen. Whoever it names can see the citizen's list on the ledger's pages, after a
login of their own, until the mandate ends. The citizen sees that it was recorded,
and each month in which it is used; the delegate's code is sealed, for the body and
the authority alone.

The body attests the deed with its signature.`,
		Example: `  agency consent mandate --delegate-file guardian.txt --relation guardian --deed "Decreto del Tribunale di Bologna n. 12/2026" \
    --until 2027-11-22T00:00:00Z --key c_a944.key --ledger registro.example --subject-file person.txt --voucher voucher.jwt \
    --document "carta d'identità; decreto prot. 2026/1301" --url https://registro.example --out proof.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			delegates, err := readSubjects(delegateFile)
			if err != nil {
				return err
			}
			d, err := f.open(cmd)
			if err != nil {
				return err
			}
			if len(delegates) != 1 || delegates[0] == d.subject {
				return cli.WrongFlag("--delegate-file", "the code of one person, who isn't the citizen", "another")
			}
			ends, err := time.Parse(wholeSeconds, until)
			if err != nil {
				return cli.WrongFlag("--until", "whole seconds in UTC, as 2027-11-22T00:00:00Z", strconv.Quote(until))
			}
			d.delegate = delegates[0]
			a, err := d.record(cmd.Context(), &consent.Record{
				Kind: ledger.KindMandateGiven, Validity: &consent.Validity{From: d.now, Until: ends}, Relation: &consent.Relation{Kind: relation, Deed: deed},
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	f.add(cmd, true)
	flags := cmd.Flags()
	flags.StringVar(&delegateFile, "delegate-file", "", "file with the code of who may act for the citizen")
	flags.StringVar(&relation, "relation", "", "one of "+strings.Join(relations, ", "))
	flags.StringVar(&deed, "deed", "", "the act on which it rests, and who issued it")
	flags.StringVar(&until, "until", "", "its end, as 2027-11-22T00:00:00Z")
	for _, name := range []string{"delegate-file", "relation", "deed", "until"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

func consentMandateEndCommand() *cobra.Command {
	var f consentFlags
	var id string
	cmd := &cobra.Command{
		Use:   "mandate-end --mandate-id ID --key F --ledger NAME --subject-file F --voucher F --document TEXT --url U --out proof.json",
		Short: "Record that a mandate ended",
		Long: `mandate-end ends a mandate before its time. Whoever it named sees nothing of the citizen
any more from their next page on.`,
		Example: `  agency consent mandate-end --mandate-id 6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11 --key c_a944.key --ledger registro.example \
    --subject-file person.txt --voucher voucher.jwt --document "revoca prot. 2026/1400" --url https://registro.example --out proof.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := f.open(cmd)
			if err != nil {
				return err
			}
			a, err := d.record(cmd.Context(), &consent.Record{Kind: ledger.KindMandateEnded, Ends: id})
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	f.add(cmd, true)
	cmd.Flags().StringVar(&id, "mandate-id", "", "id of the mandate")
	cmd.MarkFlagRequired("mandate-id")
	return cmd
}
