// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/history"
)

// What is no access: statements on receipts, citizens' requests, orders. None of
// them rests on a call over PDND.

// What a statement says of itself.
const (
	correctionPurpose  = "Rettifica di una registrazione"
	undeliveredPurpose = "Mancata consegna"
	disputePurpose     = "Contestazione di una registrazione"
	statementBasis     = "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c"
	statementNorm      = "Regolamento (UE) 2016/679, art. 5, par. 1, lett. d)"
	statementCategory  = "https://w3id.org/dpv#ObservedPersonalData"
	statementPath      = "/statements"
)

// signing is what all of them take.
type signing struct {
	key, passphraseFile, ledger, subjects, out string
}

func (f *signing) add(cmd *cobra.Command, subjects bool) {
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "key file made by agency key new")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "file with the key's passphrase")
	flags.StringVar(&f.ledger, "ledger", "", "the ledger's name, e.g. registro.example")
	flags.StringVar(&f.out, "out", "", "file to write, mode 0600, in place of one of that name")
	required := []string{"key", "ledger", "out"}
	if subjects {
		flags.StringVar(&f.subjects, "subjects", "", "file with the codes of the persons concerned, one a line")
		required = append(required, "subjects")
	}
	for _, name := range required {
		cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagFilename("key", "key")
}

// write seals and writes a submission of no call.
func (f *signing) write(k *agencykey.Key, receipt *ledger.Receipt) (*signAnswer, error) {
	subjects, err := readSubjects(f.subjects)
	if err != nil {
		return nil, err
	}
	s, err := k.Seal(receipt, new(ledger.Private), subjects, "")
	if err != nil {
		return nil, &cli.Usage{Err: err}
	}
	data, err := ledger.FormatSubmission(s)
	if err != nil {
		return nil, err
	}
	if err := durable.Replace(f.out, append(data, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("couldn't write the submission: %w", err)
	}
	return &signAnswer{ReceiptID: receipt.ReceiptID(), Kid: k.Kid, Count: len(subjects), Submission: f.out}, nil
}

type statementFlags struct {
	signing
	kind, receipt, provider, consumer, role, text string
}

func receiptStatementCommand() *cobra.Command {
	var f statementFlags
	cmd := &cobra.Command{
		Use:   "statement --key F --ledger NAME --kind K --receipt ISS/JTI --provider ID --consumer ID --subjects F --out submission.json",
		Short: "Make a signed statement on a receipt that is recorded already",
		Long: `statement makes a submission that says something of an access which is in the ledger:

  recorded-in-error  the body that signed its receipt recorded it in error
  undelivered        that body released nothing of what the receipt authorised
  not-asked          the consumer that the receipt names did not ask for it

Nothing that is recorded is taken out. The statement becomes an event of its own,
which the persons in --subjects see beside the first; they are some or all of those
in the receipt. Provider and consumer are those of the receipt.

Submit it with agency receipt submit. What is said of an access whose notice is
deferred is deferred with it.`,
		Example: `  agency receipt statement --key inps.key --ledger registro.example --kind recorded-in-error \
    --receipt inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11 --provider inps --consumer c_a944 \
    --text "Registrato due volte" --subjects subjects.txt --out statement.json
  agency receipt submit statement.json --url https://registro.example --out receipt.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.run(time.Now())
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	f.add(cmd, true)
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "kind", "", ledger.StatementError+", "+ledger.StatementUndelivered+" or "+ledger.StatementNotAsked)
	flags.StringVar(&f.receipt, "receipt", "", "the receipt that it is about, ISS/JTI")
	flags.StringVar(&f.provider, "provider", "", "the provider that the receipt names")
	flags.StringVar(&f.consumer, "consumer", "", "the consumer that the receipt names; with "+ledger.StatementNotAsked+" the key's body")
	flags.StringVar(&f.role, "role", "", "the receipt's role; consumer where the consumer signs, else provider")
	flags.StringVar(&f.text, "text", "", "plain words for the citizen, at most 200 characters, naming nobody")
	for _, name := range []string{"kind", "receipt", "provider"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (f *statementFlags) run(now time.Time) (*signAnswer, error) {
	k, err := agencykey.Read(f.key, f.passphraseFile)
	if err != nil {
		return nil, err
	}
	purpose := correctionPurpose
	if f.kind == ledger.StatementUndelivered {
		purpose = undeliveredPurpose
	}
	if f.kind == ledger.StatementNotAsked {
		purpose = disputePurpose
		setDefault(&f.consumer, k.Body)
	}
	if f.consumer == k.Body {
		setDefault(&f.role, ledger.RoleConsumer)
	}
	setDefault(&f.role, ledger.RoleProvider)
	return f.write(k, &ledger.Receipt{
		Aud: f.ledger, Iss: k.Body, JTI: uuid.NewString(), IssuedAt: now.Unix(), Role: f.role, Provider: f.provider, Consumer: f.consumer,
		Purpose: purpose, LegalBasis: statementBasis, LegalReference: statementNorm, DataCategories: []string{statementCategory},
		Actor: ledger.ActorOperator, Operation: ledger.Operation{Method: "POST", Path: statementPath}, OccurredAt: now.UTC().Format(time.RFC3339),
		Statement: &ledger.Statement{Kind: f.kind, Receipt: f.receipt, Text: f.text},
	})
}

func requestCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "request", Short: "Requests of citizens whom the body identified"}
	cmd.AddCommand(requestErasureCommand())
	return cmd
}

var monthForm = regexp.MustCompile(`^[1-9][0-9]{3}-(0[1-9]|1[0-2])$`)

func requestErasureCommand() *cobra.Command {
	var f signing
	var month string
	cmd := &cobra.Command{
		Use:   "erasure --key F --ledger NAME --month YYYY-MM --subjects F --out request.json",
		Short: "Sign that citizens asked to erase what is recorded about them",
		Long: `erasure makes the request of the persons in --subjects, whom the body identified, to
erase what a ledger recorded about them in a month. It goes to the ledger's
operator, who erases with

  ledgerd erase --request request.json --apply

and records the request once the keys are destroyed. Each person reads in their
history that the body signed it. Without it they would read that the ledger hides
something, and rightly so.`,
		Example: `  agency request erasure --key c_a944.key --ledger registro.example --month 2026-11 --subjects person.txt --out request.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !monthForm.MatchString(month) {
				return cli.WrongFlag("--month", "a month like 2026-11", strconv.Quote(month))
			}
			k, err := agencykey.Read(f.key, f.passphraseFile)
			if err != nil {
				return err
			}
			a, err := f.write(k, history.Erasure{Month: month}.Receipt(f.ledger, k.Body, uuid.NewString(), time.Now()))
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	f.add(cmd, true)
	cmd.Flags().StringVar(&month, "month", "", "the month of the events, e.g. 2026-11")
	cmd.MarkFlagRequired("month")
	return cmd
}

type deferralAnswer struct {
	cli.Done
	Kid   string `json:"kid"`
	Until string `json:"until"`
	File  string `json:"deferral_file"`
}

func (a *deferralAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "order until %s, signed with kid %s: %s\n", a.Until, a.Kid, a.File)
}

func deferralCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "deferral", Short: "Orders that put off the notice of an access"}
	cmd.AddCommand(deferralSignCommand())
	return cmd
}

func deferralSignCommand() *cobra.Command {
	var f signing
	var reference, until string
	cmd := &cobra.Command{
		Use:   "sign --key F --ledger NAME --reference R --until TIME --out order.jwt",
		Short: "Sign that citizens are told of an access later",
		Long: `sign makes the order of a body, a judicial office for one, by which the notice of
accesses to the persons concerned is put off until an instant: at most two years
after the year in which they are recorded. Who recorded the access hands it in with
the receipt (agency receipt sign --deferral).

The citizen then sees nothing until the year's last order has ended, and afterwards
the access with the order: its reference, its end, and which body signed it. That
the body was entitled to it no ledger can prove.`,
		Example: `  agency deferral sign --key procura.key --ledger registro.example \
    --reference "art. 329 c.p.p., decreto 17/2026" --until 2027-06-30T00:00:00Z --out order.jwt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := agencykey.Read(f.key, f.passphraseFile)
			if err != nil {
				return err
			}
			order := &ledger.Deferral{Aud: f.ledger, Iss: k.Body, JTI: uuid.NewString(), Reference: reference, Until: until}
			compact, err := ledger.SignDeferral(order, k.Kid, k.Signer)
			if err != nil {
				return &cli.Usage{Err: err}
			}
			if err := durable.Replace(f.out, []byte(compact+"\n"), 0o600); err != nil {
				return fmt.Errorf("couldn't write the order: %w", err)
			}
			return cli.Print(cmd, &deferralAnswer{Kid: k.Kid, Until: until, File: f.out})
		},
	}
	f.add(cmd, false)
	cmd.Flags().StringVar(&reference, "reference", "", "norm, office and number of the order, naming no person")
	cmd.Flags().StringVar(&until, "until", "", "when it ends, in UTC, e.g. 2027-06-30T00:00:00Z")
	cmd.MarkFlagRequired("reference")
	cmd.MarkFlagRequired("until")
	return cmd
}
