// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

// What the look-ups at consents say of themselves unless the caller says more.
const (
	consentPurpose   = "Consenso dell'interessato: verifica e registrazione"
	consentBasis     = "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c"
	consentReference = "Regolamento (UE) 2016/679, art. 7"
	consentCategory  = "https://w3id.org/dpv#ConsentRecord"
	consentPath      = "/v1/agencies/{agency}/consents/look-up"
)

// consentSeen is what the ledger tells of a citizen's consents.
type consentSeen struct {
	cli.Done
	Epoch    uint32                  `json:"epoch"`
	Previous ledger.Hex              `json:"previous,omitzero"`
	Covered  *bool                   `json:"covered,omitempty"`
	Why      *ledger.Problem         `json:"why,omitempty"`
	Consents []ledger.ConsentSummary `json:"consents"`
}

func (a *consentSeen) Text(w io.Writer) {
	if a.Covered != nil && *a.Covered {
		fmt.Fprintln(w, "The consent covers the body for this purpose and these data.")
	} else if a.Covered != nil {
		fmt.Fprintf(w, "The consent doesn't cover this: expected %s, found %s (%s).\n", a.Why.Expected, a.Why.Found, a.Why.Code)
	}
	for _, c := range a.Consents {
		fmt.Fprintf(w, "%s  %s, %s (%s)", c.ID, c.Kind, c.State, c.Evidence)
		if len(c.Recipients) > 0 {
			fmt.Fprintf(w, ": to %s for %s", strings.Join(c.Recipients, ", "), strings.Join(c.Purposes, "; "))
		}
		fmt.Fprintf(w, ", %s to %s\n", c.From.Format(time.DateOnly), c.Until.Format(time.DateOnly))
	}
	if len(a.Consents) == 0 {
		fmt.Fprintln(w, "No consent of this citizen concerns the body.")
	}
}

type consentAnswer struct {
	cli.Done
	Consent    string `json:"consent_id"`
	ReceiptID  string `json:"receipt_id"`
	FirstIndex uint64 `json:"first_index"`
	File       string `json:"proof_file"`
	kind       string
}

func (a *consentAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s %s, entry %d of the log.\n", a.kind, a.Consent, a.FirstIndex)
	fmt.Fprintf(w, "%s is the proof: give the citizen a copy (verifier receipt %s --key log.vkey).\n", a.File, a.File)
}

// consentFlags are common to the commands at a desk.
type consentFlags struct {
	client                   clientFlags
	key, passphraseFile, of  string
	subjectFile, voucherFile string
	operator, document, out  string
	language, mandate        string
}

func (f *consentFlags) add(cmd *cobra.Command, writes bool) {
	f.client.add(cmd, time.Minute)
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "the body's key file, made by agency key new")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "file with the key's passphrase")
	flags.StringVar(&f.of, "ledger", "", "the ledger's name, such as registro.example")
	flags.StringVar(&f.subjectFile, "subject-file", "", "file with the citizen's code")
	flags.StringVar(&f.voucherFile, "voucher", "", "file with a voucher of PDND that is good now")
	flags.StringVar(&f.operator, "operator", "", "who is at the desk, for the private part")
	required := []string{"key", "ledger", "subject-file", "voucher"}
	if writes {
		flags.StringVar(&f.document, "document", "", "what the citizen showed and signed, e.g. \"carta d'identità; modulo prot. 2026/1234\"")
		flags.StringVar(&f.language, "language", "it", "of what was shown to the citizen")
		flags.StringVar(&f.mandate, "mandate", "", "id of the recorded mandate under which a delegate acts")
		flags.StringVar(&f.out, "out", "", "file for the proof")
		required = append(required, "document", "out")
	}
	for _, name := range required {
		cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagFilename("key", "key")
}

func consentCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "consent", Short: "Consents that citizens give and withdraw, at a desk or asked for by a link"}
	cmd.AddCommand(consentListCommand(), consentRequestCommand(), consentGiveCommand(), consentWithdrawCommand(), consentMandateCommand(), consentMandateEndCommand())
	return cmd
}

func consentListCommand() *cobra.Command {
	var f consentFlags
	var id, purpose string
	var categories []string
	cmd := &cobra.Command{
		Use:   "list --key F --ledger NAME --subject-file F --voucher F --url U",
		Short: "Ask which consents of a citizen concern the body, and whether one covers it",
		Long: `list asks the ledger for the consents of a citizen that the body collected, asked
for or receives data by. With --consent it also asks whether that one covers the
body for a purpose and categories of data, in the words that the receipt will have.

WHO LOOKS LEAVES A TRACE: the citizen sees the look-up in their history, once a
month. It takes a voucher of PDND that is good now.`,
		Example: `  agency consent list --key c_a944.key --ledger registro.example --subject-file person.txt --voucher voucher.jwt --url https://registro.example
  agency consent list … --consent 6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11 --purpose "Verifica ISEE" --category https://w3id.org/dpv/pd#Income`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (id == "") != (purpose == "") || (id == "") != (len(categories) == 0) {
				return cli.Usagef("--consent, --purpose and --category belong together")
			}
			d, err := f.open(cmd)
			if err != nil {
				return err
			}
			seen, err := d.lookUp(cmd.Context(), func(r *ledger.Receipt) {
				if id != "" {
					r.ConsentID, r.Purpose, r.DataCategories = id, purpose, categories
				}
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, seen)
		},
	}
	f.add(cmd, false)
	cmd.Flags().StringVar(&id, "consent", "", "id of the consent to ask about")
	cmd.Flags().StringVar(&purpose, "purpose", "", "the purpose, as the receipt will have it")
	cmd.Flags().StringArrayVar(&categories, "category", nil, "a category of data, as the receipt will have it; may be repeated")
	return cmd
}

// termsFile is what --terms names.
type termsFile struct {
	LegalBasis []string `json:"legal_basis"`
	Recipients []string `json:"recipients"`
	Purposes   []string `json:"purposes"`
	Categories []string `json:"categories"`
	From       string   `json:"from,omitempty"` // now
	Until      string   `json:"until"`
	Version    string   `json:"notice_version"`
	Withdrawal string   `json:"withdrawal"`
}

func consentGiveCommand() *cobra.Command {
	var f consentFlags
	var termsPath, notice string
	var refused bool
	cmd := &cobra.Command{
		Use:   "give --key F --ledger NAME --subject-file F --voucher F --terms terms.json --notice F --document TEXT --url U --out proof.json",
		Short: "Record that a citizen consents, or refuses, at the desk",
		Long: `give records what a citizen said at the desk: the body attests it with its signature,
and names the evidence in --document. That is a lower assurance than a passkey of
the citizen, and it is shown so. --notice is the text that the citizen was shown;
its SHA-256 is recorded. What was really shown, nobody can prove.

terms.json, with words as receipts write them:
  {"legal_basis":["eu-gdpr:A6-1-a"],"recipients":["c_a944"],"purposes":["Verifica ISEE"],
   "categories":["https://w3id.org/dpv/pd#Income"],"until":"2027-11-22T00:00:00Z",
   "notice_version":"3","withdrawal":"Allo sportello, o sul sito del registro"}

The command looks at the citizen's list first, which leaves its trace: the record
names the event that it follows on.`,
		Example: `  agency consent give --key c_a944.key --ledger registro.example --subject-file person.txt --voucher voucher.jwt \
    --terms terms.json --notice informativa.txt --document "carta d'identità; modulo prot. 2026/1234" --url https://registro.example --out proof.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var t termsFile
			if err := readObject(termsPath, &t); err != nil {
				return err
			}
			text, err := cli.ReadFile(notice, 1<<20)
			if err != nil {
				return err
			}
			d, err := f.open(cmd)
			if err != nil {
				return err
			}
			kind := ledger.KindConsentGiven
			if refused {
				kind = ledger.KindConsentRefused
			}
			validity, err := t.validity(d.now)
			if err != nil {
				return err
			}
			a, err := d.record(cmd.Context(), &consent.Record{
				Kind: kind, Validity: validity,
				Terms: &consent.Terms{
					Controller: d.key.Body, LegalBasis: t.LegalBasis, Recipients: t.Recipients, Purposes: t.Purposes, Categories: t.Categories,
					Notice: consent.Notice{Digest: sha256.Sum256(text), Version: t.Version}, Withdrawal: t.Withdrawal,
				},
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	f.add(cmd, true)
	cmd.Flags().StringVar(&termsPath, "terms", "", "file with what is consented to")
	cmd.Flags().StringVar(&notice, "notice", "", "file with the text that the citizen was shown")
	cmd.Flags().BoolVar(&refused, "refused", false, "the citizen refused")
	cmd.MarkFlagRequired("terms")
	cmd.MarkFlagRequired("notice")
	return cmd
}

// wholeSeconds is how instants are written in records.
const wholeSeconds = "2006-01-02T15:04:05Z"

func (t *termsFile) validity(now time.Time) (*consent.Validity, error) {
	v := &consent.Validity{From: now}
	for _, m := range []struct {
		where, text string
		into        *time.Time
	}{{"from", t.From, &v.From}, {"until", t.Until, &v.Until}} {
		if m.text == "" {
			continue
		}
		at, err := time.Parse(wholeSeconds, m.text)
		if err != nil {
			return nil, cli.Usagef("--terms: %s: expected whole seconds in UTC, as 2027-11-22T00:00:00Z", m.where)
		}
		*m.into = at
	}
	return v, nil
}

func consentWithdrawCommand() *cobra.Command {
	var f consentFlags
	var id string
	cmd := &cobra.Command{
		Use:   "withdraw --consent ID --key F --ledger NAME --subject-file F --voucher F --document TEXT --url U --out proof.json",
		Short: "Record that a citizen withdraws a consent, at the desk",
		Long: `withdraw ends a consent. Once the command has its answer, no access that names the
consent is recorded as allowed any more, whatever was under way.`,
		Example: `  agency consent withdraw --consent 6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11 --key c_a944.key --ledger registro.example \
    --subject-file person.txt --voucher voucher.jwt --document "carta d'identità; modulo prot. 2026/1300" --url https://registro.example --out proof.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := f.open(cmd)
			if err != nil {
				return err
			}
			a, err := d.record(cmd.Context(), &consent.Record{Kind: ledger.KindConsentWithdrawn, Ends: id})
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	f.add(cmd, true)
	cmd.Flags().StringVar(&id, "consent", "", "id of the consent")
	cmd.MarkFlagRequired("consent")
	return cmd
}

// desk is a body's desk with one citizen at it.
type desk struct {
	signedClient
	flags    *consentFlags
	subject  ledger.Subject
	delegate ledger.Subject // whom the next record's private part names; "" of others
	voucher  string
	now      time.Time
}

func (f *consentFlags) open(cmd *cobra.Command) (*desk, error) {
	if err := ledger.CheckName(f.of); err != nil {
		return nil, cli.WrongFlag("--ledger", "a ledger's name, such as registro.example", strconv.Quote(f.of))
	}
	subjects, err := readSubjects(f.subjectFile)
	if err != nil {
		return nil, err
	}
	if len(subjects) != 1 {
		return nil, cli.WrongFlag("--subject-file", "the code of one person", strconv.Itoa(len(subjects)))
	}
	voucher, err := readToken(f.voucherFile)
	if err != nil {
		return nil, err
	}
	k, err := agencykey.Read(f.key, f.passphraseFile)
	if err != nil {
		return nil, err
	}
	c, err := f.client.client(cmd)
	if err != nil {
		return nil, err
	}
	return &desk{signedClient{c, k, f.of}, f, subjects[0], "", voucher, time.Now().UTC().Truncate(time.Second)}, nil
}

// sealed are fresh salts for one receipt about the citizen, and its private part.
func (d *desk) sealed(voucher string) (*ledger.ConsentSubmission, ledger.Hash, error) {
	s := &ledger.ConsentSubmission{Subject: ledger.SaltedSubject{Subject: d.subject}}
	rand.Read(s.Subject.Salt[:])
	rand.Read(s.Private.Salt[:])
	private := &ledger.Private{Voucher: voucher}
	if voucher == "" { // of the record, not of the look-up before it
		private.Delegate = d.delegate
	}
	if d.flags.operator != "" {
		private.Operator = &ledger.Operator{ID: d.flags.operator}
	}
	var err error
	if s.Private.Content, err = ledger.FormatPrivate(private); err != nil {
		return nil, ledger.Hash{}, cli.Usagef("--operator: %w", err)
	}
	tree, err := ledger.NewSubjectTree([]ledger.SaltedSubject{s.Subject})
	if err != nil {
		return nil, ledger.Hash{}, err
	}
	return s, tree.Root(), nil
}

func (d *desk) sign(s *ledger.ConsentSubmission, r *ledger.Receipt) ([]byte, error) {
	r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&s.Private.Salt, s.Private.Content))
	var err error
	if s.Receipt, err = ledger.SignReceipt(r, d.key.Kid, d.key.Signer); err != nil {
		return nil, &cli.Usage{Err: err}
	}
	return ledger.FormatConsentSubmission(s)
}

// lookUp asks what concerns the body, under a receipt with what change says.
func (d *desk) lookUp(ctx context.Context, change func(*ledger.Receipt)) (*consentSeen, error) {
	s, root, err := d.sealed(d.voucher)
	if err != nil {
		return nil, err
	}
	r := &ledger.Receipt{
		Aud: d.ledger, Iss: d.key.Body, JTI: uuid.NewString(), IssuedAt: d.now.Unix(), Role: ledger.RoleRequester,
		Provider: d.key.Body, Consumer: d.key.Body, Purpose: consentPurpose, LegalBasis: consentBasis, LegalReference: consentReference,
		DataCategories: []string{consentCategory}, Actor: ledger.ActorOperator,
		Operation:  ledger.Operation{Method: http.MethodPost, Path: consentPath},
		OccurredAt: d.now.Format(time.RFC3339), Subjects: ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(root)},
	}
	change(r)
	content, err := d.sign(s, r)
	if err != nil {
		return nil, err
	}
	data, err := d.post(ctx, "consents/look-up", content)
	if err != nil {
		return nil, err
	}
	seen := new(consentSeen)
	if err := json.Unmarshal(data, seen); err != nil {
		return nil, errors.New("the ledger's answer isn't one")
	}
	return seen, nil
}

// record completes a record with its place in the citizen's list, has it recorded, and keeps the proof.
func (d *desk) record(ctx context.Context, r *consent.Record) (*consentAnswer, error) {
	seen, err := d.lookUp(ctx, func(*ledger.Receipt) {})
	if err != nil {
		return nil, err
	}
	s, root, err := d.sealed("")
	if err != nil {
		return nil, err
	}
	r.ID, r.Created, r.Language, r.Ledger, r.Epoch, r.Subject, r.Mandate = consent.NewID(), d.now, d.flags.language, d.ledger, seen.Epoch, root, d.flags.mandate
	if seen.Previous != (ledger.Hex{}) {
		previous := ledger.Hash(seen.Previous)
		r.Previous = &previous
	}
	record, err := consent.FormatRecord(r)
	if err != nil {
		return nil, &cli.Usage{Err: err}
	}
	if s.Consent, err = consent.FormatStatement(record, consent.Evidence{Type: consent.EvidenceDesk, Document: d.flags.document}); err != nil {
		return nil, &cli.Usage{Err: err}
	}
	statement, err := consent.ParseStatement(s.Consent)
	if err != nil {
		return nil, err
	}
	content, err := d.sign(s, consent.Receipt(statement, s.Consent, d.key.Body, d.now))
	if err != nil {
		return nil, err
	}
	data, err := patiently(ctx, d.c, func() ([]byte, error) {
		request, err := d.c.request(ctx, "v1/consents", "application/json", content)
		if err != nil {
			return nil, err
		}
		_, data, err := d.c.ask(request) // sent again it is the same entry
		return data, err
	})
	if err != nil {
		return nil, err
	}
	answer, err := ledger.ParseAnswer(data)
	if err != nil {
		return nil, fmt.Errorf("the ledger's answer isn't one: %w", err)
	}
	if err := durable.Replace(d.flags.out, data, 0o600); err != nil {
		return nil, fmt.Errorf("couldn't write the proof: %w", err)
	}
	id := r.ID
	if r.Ends != "" {
		id = r.Ends
	}
	return &consentAnswer{Consent: id, ReceiptID: answer.ReceiptID, FirstIndex: answer.FirstIndex, File: d.flags.out, kind: r.Kind}, nil
}
