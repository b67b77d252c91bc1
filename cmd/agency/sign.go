// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

type signFlags struct {
	key, passphraseFile string
	inputs
	out string
}

// inputs are the files that say what a receipt is to say.
type inputs struct {
	claims, voucher, evidence, subjects, private, deferral string
}

func (f *inputs) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.claims, "claims", "", "JSON file that says what was done")
	flags.StringVar(&f.voucher, "voucher", "", "file with the PDND voucher, compact")
	flags.StringVar(&f.evidence, "evidence", "", "file with the Agid-JWT-TrackingEvidence, compact")
	flags.StringVar(&f.subjects, "subjects", "", "file with the codes of the persons concerned, one a line")
	flags.StringVar(&f.private, "private", "", "JSON file with operator, case and digests")
	flags.StringVar(&f.deferral, "deferral", "", "file with the order that puts off the notice, compact")
	for _, name := range []string{"claims", "voucher", "subjects"} {
		cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagFilename("claims", "json")
	cmd.MarkFlagFilename("private", "json")
}

type signAnswer struct {
	cli.Done
	ReceiptID  string `json:"receipt_id"`
	Kid        string `json:"kid"`
	Count      int    `json:"count"` // of subjects
	Submission string `json:"submission_file"`
}

func (a *signAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "receipt %s about %d subjects, signed with kid %s\n", a.ReceiptID, a.Count, a.Kid)
	fmt.Fprintf(w, "submission: %s (it names the subjects: keep it to yourself)\n", a.Submission)
}

func receiptSignCommand() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign --key F --claims F --voucher F --subjects F --out submission.json",
		Short: "Make a signed submission of one access",
		Long: `sign makes the receipt of one access, signs it and writes the submission that the
ledger takes: one line of JSON, mode 0600, in place of a file of that name. Many
such files one after the other are what agency submit takes:

  cat submissions/*.json > november.ndjson

The claims file says what was done. All that may be said, in one example:

` + indent(exampleClaims) + `
May be left out, and is then
  iss          the body of the key
  jti          a random uuid: each signing is another access
  iat          now
  role         consumer where the consumer signs, else provider
  eservice     the voucher's eserviceId
  purpose_id   the voucher's purposeId
  occurred_at  now; the voucher must be in force at that instant
  pair         computed of voucher, evidence and request_digest
legal_reference and consent_id are optional. private_digest and subjects are
always computed. No value may hold a citizen's code: give the path's template.

The subjects file has one code a line; blank lines and lines with # are passed
over. The voucher's and the evidence's file hold the compact token as it was sent.

The private file, for what the citizen doesn't see, may say any of

` + indent(examplePrivate) + `
as well as identity_headers, an object of header names and values, and integrity,
the Agid-JWT-Signature. Digests are SHA-256 of the content as sent, in hex.

With --deferral the citizen reads of the access when the order in that file has
ended (agency deferral sign), and not before; only the provider's side can sign
such a receipt.`,
		Example: `  agency receipt sign --key keys/c_a944-NzbLsXh8.key --claims claims.json \
    --voucher voucher.jwt --evidence evidence.jwt --subjects subjects.txt \
    --private private.json --out submission.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.run(time.Now())
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "key file made by agency key new")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "file with the key's passphrase")
	f.inputs.add(cmd)
	flags.StringVar(&f.out, "out", "", "file for the submission")
	cmd.MarkFlagRequired("key")
	cmd.MarkFlagRequired("out")
	cmd.MarkFlagFilename("key", "key")
	return cmd
}

const exampleClaims = `{
  "aud": "registro.example",
  "iss": "c_a944",
  "jti": "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11",
  "iat": 1795339800,
  "role": "consumer",
  "provider": "inps",
  "consumer": "c_a944",
  "eservice": "843ac013-941a-4afe-8243-e668142e73e6",
  "purpose_id": "9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e",
  "purpose": "Verifica ISEE per prestazione sociale",
  "legal_basis": "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e",
  "legal_reference": "D.P.C.M. 159/2013, art. 11",
  "data_categories": ["https://w3id.org/dpv/pd#Income"],
  "actor": "operator",
  "operation": {"method": "POST", "path": "/isee/attestazioni/{id}"},
  "occurred_at": "2026-11-22T09:30:00Z",
  "consent_id": "c-2026-17"
}
`

const examplePrivate = `{
  "operator": {"id": "m.rossi", "office": "Servizi sociali"},
  "case": "2026/00123",
  "request_digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  "response_digest": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
}
`

func indent(text string) string {
	return "  " + strings.TrimSuffix(strings.ReplaceAll(text, "\n", "\n  "), "  ")
}

func (f *signFlags) run(now time.Time) (*signAnswer, error) {
	k, err := agencykey.Read(f.key, f.passphraseFile)
	if err != nil {
		return nil, err
	}
	a, err := f.inputs.read(k)
	if err != nil {
		return nil, err
	}
	receipt, s, err := a.submission(now)
	if err != nil {
		return nil, f.locate(err)
	}
	data, err := ledger.FormatSubmission(s)
	if err != nil {
		return nil, err
	}
	if err := durable.Replace(f.out, append(data, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("couldn't write the submission: %w", err)
	}
	return &signAnswer{ReceiptID: receipt.ReceiptID(), Kid: k.Kid, Count: len(a.subjects), Submission: f.out}, nil
}

// read takes the inputs of an access that k's body signs.
func (f *inputs) read(k *agencykey.Key) (*access, error) {
	a := &access{key: k}
	var err error
	if a.claims, err = readClaims(f.claims); err != nil {
		return nil, err
	}
	if a.private, err = readPrivate(f.private); err != nil {
		return nil, err
	}
	if a.private.Voucher, err = readToken(f.voucher); err != nil {
		return nil, err
	}
	if f.evidence != "" {
		if a.private.Evidence, err = readToken(f.evidence); err != nil {
			return nil, err
		}
	}
	if a.voucher, err = parseVoucher(f.voucher, a.private.Voucher); err != nil {
		return nil, err
	}
	if f.deferral != "" {
		if a.deferral, err = readToken(f.deferral); err != nil {
			return nil, err
		}
	}
	if a.subjects, err = readSubjects(f.subjects); err != nil {
		return nil, err
	}
	return a, nil
}

// locate makes a problem of the receipt or the private part one of the file
// that it came from.
func (f *inputs) locate(err error) error {
	var p *ledger.Problem
	if !errors.As(err, &p) {
		return err
	}
	part, path, _ := strings.Cut(p.Where, "#")
	where := p.Where
	switch {
	case part == "receipt":
		where = in(f.claims, path)
	case p.Where == "private#voucher":
		where = f.voucher
	case p.Where == "private#evidence":
		where = f.evidence
	case part == "private":
		where = in(f.private, path)
	case part == "deferral", part == "/deferral":
		where = in(f.deferral, path)
	}
	return inputProblem(p.Code, where, p.Expected, p.Found)
}

// access is what a submission is made of.
type access struct {
	key      *agencykey.Key
	claims   *claims
	voucher  *voucherClaims
	private  *ledger.Private // with the tokens
	deferral string          // compact, "" for none
	subjects []ledger.Subject
}

// submission makes the receipt and the submission. Problems are at receipt#… and private#….
func (a *access) submission(now time.Time) (*ledger.Receipt, *ledger.Submission, error) {
	receipt, err := a.receipt(now)
	if err != nil {
		return nil, nil, err
	}
	s, err := a.key.Seal(receipt, a.private, a.subjects, a.deferral)
	return receipt, s, err
}

// receipt fills in what the claims left out.
func (a *access) receipt(now time.Time) (*ledger.Receipt, error) {
	c := a.claims
	r := &ledger.Receipt{
		Aud: c.Aud, Iss: c.Iss, JTI: c.JTI, IssuedAt: c.IssuedAt, Role: c.Role, Provider: c.Provider, Consumer: c.Consumer,
		EService: c.EService, PurposeID: c.PurposeID, Purpose: c.Purpose, LegalBasis: c.LegalBasis, LegalReference: c.LegalReference,
		DataCategories: c.DataCategories, Actor: c.Actor, Operation: c.Operation, OccurredAt: c.OccurredAt, ConsentID: c.ConsentID,
		Pair: ledger.Hex(a.pair()),
	}
	setDefault(&r.Iss, a.key.Body)
	if r.Iss != a.key.Body {
		return nil, &ledger.Problem{Code: ledger.CodeBadValue, Where: "receipt#iss", Expected: "the key's body, " + a.key.Body, Found: "another"}
	}
	if c.Pair != nil && *c.Pair != r.Pair {
		return nil, &ledger.Problem{Code: ledger.CodeDigestMismatch, Where: "receipt#pair", Expected: fmt.Sprintf("%x, of voucher, evidence and request_digest, or nothing", r.Pair), Found: fmt.Sprintf("%x", *c.Pair)}
	}
	role := ledger.RoleProvider
	if r.Consumer == r.Iss {
		role = ledger.RoleConsumer
	}
	setDefault(&r.Role, role)
	setDefault(&r.EService, a.voucher.eserviceID)
	setDefault(&r.PurposeID, a.voucher.purposeID)
	setDefault(&r.OccurredAt, now.UTC().Format(time.RFC3339))
	if r.IssuedAt == 0 {
		r.IssuedAt = now.Unix()
	}
	if r.JTI == "" {
		id, err := uuid.NewRandom()
		if err != nil {
			return nil, fmt.Errorf("couldn't make a jti: %w", err)
		}
		r.JTI = id.String()
	}
	return r, nil
}

func setDefault(value *string, otherwise string) {
	if *value == "" {
		*value = otherwise
	}
}

func (a *access) pair() ledger.Hash {
	evidence := ""
	if a.private.Evidence != "" {
		sum := sha256.Sum256([]byte(a.private.Evidence))
		evidence = hex.EncodeToString(sum[:])
	}
	return ledger.Pair(a.voucher.jti, evidence, a.private.RequestDigest)
}
