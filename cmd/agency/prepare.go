// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// prepared is a submission whose receipt the body's own gateway signs on its way
// (docs/formats.md §9), one line:
//
//	{"claims":"eyJhdWQi…","content":{"private":{"salt":"UVAx…","content":"eyJ2…"},"voucher":"eyJ…","subjects":[…]}}
type prepared struct {
	Claims  string          `json:"claims"`  // ledger.FormatClaims
	Content json.RawMessage `json:"content"` // ledger.FormatContent, sent as it stands
}

// parsePrepared returns nil for a file that is another's.
func parsePrepared(raw []byte) (*prepared, *ledger.Receipt, error) {
	if !bytes.HasPrefix(raw, []byte(`{"claims":`)) {
		return nil, nil, nil
	}
	p := new(prepared)
	if err := ijson.Unmarshal(raw, p); err != nil {
		return nil, nil, cli.Usagef("no file of agency receipt prepare: %w", err)
	}
	receipt, err := ledger.ParseClaims(p.Claims)
	if err != nil {
		return nil, nil, err
	}
	return p, receipt, nil
}

type prepareAnswer struct {
	cli.Done
	ReceiptID  string `json:"receipt_id"`
	Count      int    `json:"count"` // of subjects
	Submission string `json:"submission_file"`
}

func (a *prepareAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "receipt %s about %d subjects, to be signed by the body's gateway\n", a.ReceiptID, a.Count)
	fmt.Fprintf(w, "submission: %s (it names the subjects: keep it to yourself)\n", a.Submission)
}

func receiptPrepareCommand() *cobra.Command {
	var in inputs
	var body, out string
	cmd := &cobra.Command{
		Use:   "prepare --body ID --claims F --voucher F --subjects F --out submission.json",
		Short: "Make a submission of one access that the body's gateway on PDND signs",
		Long: `prepare makes what receipt sign makes, but for the signature, for a body whose
gateway signs requests by INTEGRITY_REST_02, as GovWay does, and that has no key
of its own here. Sent through that gateway with

  agency receipt submit submission.json --url https://govway.example/rest/out/Ente/Registro/traccia

its token is the receipt's signature: the claims travel in the header
Traccia-Claims, which the gateway has to sign too. In GovWay's consumer of the
ledger's e-service, pattern INTEGRITY_REST_02 with KID, the field "HTTP Headers da
firmare" then reads

  Digest,Content-Type,Content-Encoding,Traccia-Claims

The operator of the ledger has to have registered the key that the gateway signs
with for the body, under the kid that PDND gave it. --body is the body's id; for
the files see receipt sign --help.`,
		Example: `  agency receipt prepare --body c_a944 --claims claims.json --voucher voucher.jwt \
    --evidence evidence.jwt --subjects subjects.txt --out submission.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.CheckID("--body", body); err != nil {
				return err
			}
			// Nobody looks at this key: sealing with it checks that all fits together.
			k, err := agencykey.New(body, "EdDSA")
			if err != nil {
				return err
			}
			a, err := in.read(k)
			if err != nil {
				return err
			}
			receipt, s, err := a.submission(time.Now())
			if err != nil {
				return in.locate(err)
			}
			p := &prepared{}
			if p.Claims, err = ledger.FormatClaims(receipt); err != nil {
				return err
			}
			if p.Content, err = ledger.FormatContent(s); err != nil {
				return err
			}
			data, err := json.Marshal(p)
			if err != nil {
				return err
			}
			if err := durable.Replace(out, append(data, '\n'), 0o600); err != nil {
				return fmt.Errorf("couldn't write the submission: %w", err)
			}
			return cli.Print(cmd, &prepareAnswer{ReceiptID: receipt.ReceiptID(), Count: len(a.subjects), Submission: out})
		},
	}
	in.add(cmd)
	cmd.Flags().StringVar(&body, "body", "", "id of the body whose access it is")
	cmd.Flags().StringVar(&out, "out", "", "file for the submission")
	cmd.MarkFlagRequired("body")
	cmd.MarkFlagRequired("out")
	return cmd
}
