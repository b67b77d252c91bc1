// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/consent"
)

// requestFile is what --terms names.
type requestFile struct {
	LegalBasis []string `json:"legal_basis"`
	Recipients []string `json:"recipients"`
	Purposes   []string `json:"purposes"`
	Categories []string `json:"categories"`
	Days       int      `json:"days"` // of validity
}

type consentRequestAnswer struct {
	cli.Done
	Link    string    `json:"link"`
	Request string    `json:"request"` // signed
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
}

func (a *consentRequestAnswer) Text(w io.Writer) {
	fmt.Fprintln(w, a.Link)
	fmt.Fprintf(w, "The same link is for every citizen you ask, until %s. It says nothing of anybody.\n", a.Expires.Format(time.DateOnly))
}

func consentRequestCommand() *cobra.Command {
	var key, passphraseFile, of, terms, pages string
	var open time.Duration
	cmd := &cobra.Command{
		Use:   "request --key F --ledger NAME --terms terms.json --pages URL",
		Short: "Make the link by which citizens are asked for a consent",
		Long: `request signs what the body asks citizens to consent to, and prints a link to the
ledger's pages. There a citizen reads it in plain words, enters with SPID or CIE,
and signs with a passkey, or refuses. The link is the same for everyone and names
nobody: put it on a page, or in a letter. Nothing is sent.

terms.json, with words of the vocabulary of the policies in force, as receipts
write them; special categories (GDPR Art. 9) take "eu-gdpr:A9-2-a":
  {"legal_basis":["eu-gdpr:A6-1-a"],"recipients":["c_a944"],"purposes":["SocialWelfareProvision"],
   "categories":["isee"],"days":365}

An access that rests on the consent names the consent's id (agency consent list),
and the same purpose and categories, word for word.`,
		Example: `  agency consent request --key c_a944.key --ledger registro.example --terms terms.json --pages https://registro.example`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var t requestFile
			if err := readObject(terms, &t); err != nil {
				return err
			}
			at, err := url.Parse(pages)
			if err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" {
				return cli.WrongFlag("--pages", "the address of the ledger's pages, such as https://registro.example", strconv.Quote(pages))
			}
			k, err := agencykey.Read(key, passphraseFile)
			if err != nil {
				return err
			}
			now := time.Now().UTC().Truncate(time.Second)
			r := &consent.Request{
				Ledger: of, Body: k.Body, ID: consent.NewID(), IssuedAt: now.Unix(), Expires: now.Add(open).Unix(),
				LegalBasis: t.LegalBasis, Recipients: t.Recipients, Purposes: t.Purposes, Categories: t.Categories, Days: t.Days,
			}
			compact, err := consent.SignRequest(r, k.Kid, k.Signer)
			if err != nil {
				return &cli.Usage{Err: err}
			}
			return cli.Print(cmd, &consentRequestAnswer{
				Link: consent.RequestLink(at.Scheme+"://"+at.Host, "it", compact), Request: compact, ID: r.ID, Expires: time.Unix(r.Expires, 0).UTC(),
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&key, "key", "", "the body's key file, made by agency key new")
	flags.StringVar(&passphraseFile, "passphrase-file", "", "file with the key's passphrase")
	flags.StringVar(&of, "ledger", "", "the ledger's name, such as registro.example")
	flags.StringVar(&terms, "terms", "", "file with what is asked for")
	flags.StringVar(&pages, "pages", "", "address of the ledger's pages")
	flags.DurationVar(&open, "open", 90*24*time.Hour, "how long citizens can answer; at most 8784h")
	for _, name := range []string{"key", "ledger", "terms", "pages"} {
		cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagFilename("key", "key")
	return cmd
}
