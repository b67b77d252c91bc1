// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/agencylist"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
)

type listFlags struct {
	client                        clientFlags
	key, passphraseFile, ledgerOf string
	out, seen, operator, purpose  string
	epoch                         uint32
	count                         int
	proofsOnly, private           bool
}

type listAnswer struct {
	cli.Done
	Body     string `json:"body"`
	Origin   string `json:"origin"`
	Events   uint64 `json:"events"`   // in the file
	Fetched  uint64 `json:"fetched"`  // by this run
	LookUps  int    `json:"look_ups"` // that this run recorded, one a citizen
	Complete bool   `json:"complete"` // to the end of the list
	File     string `json:"file"`
	SeenFile string `json:"seen_file,omitempty"`
}

func (a *listAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s: %d events of %s, %d of them new\n", a.File, a.Events, a.Body, a.Fetched)
	if a.LookUps > 0 {
		fmt.Fprintf(w, "look-ups recorded in the lists of %d citizens\n", a.LookUps)
	}
	if !a.Complete {
		fmt.Fprintln(w, "not at the end of the list yet: run the same command again to go on")
		return
	}
	fmt.Fprintln(w, "check it with verifier agency")
}

func listCommand() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "list --key F --ledger NAME --url U --out FILE",
		Short: "Fetch the body's own list, with its proofs, resumable",
		Long: `list fetches all that the ledger has in the body's name in one year: each event
by its running number, with what opens it and the proofs that nothing is left out.
verifier agency checks the file without asking the ledger. The file names the
citizens whose data were consulted: it has mode 0600, keep it so.

Run again with the same file, list adds what is new. Stopped by whatever, it goes
on where the file ends.

WHO LOOKS LEAVES A TRACE. The events tell about citizens, so before they are opened
the body signs a look-up, which each of these citizens sees in their own history,
once a month. --purpose and --operator say more about it; the operator is seen by
the body's DPO and the authority alone. With --proofs-only nothing is opened, and
no trace is left: that proves how many events there are and which entries of the
log they are, enough to compare with the answers that the body got.

--private fetches the private parts too, which only the body's own DPO is to see:
operators, case references, and the tokens that are over by now. One with a token
that may still be good isn't given yet. verifier audit reads them.

--seen adds the entries that the look-ups made to a file for verifier agency --seen.`,
		Example: `  agency list --key keys/c_a944-NzbLsXh8.key --ledger registro.example --url https://registro.example --out c_a944-2026.list
  agency list --key keys/c_a944-NzbLsXh8.key --ledger registro.example --url https://registro.example --out proofs.list --proofs-only
  agency list --key keys/c_a944-NzbLsXh8.key --ledger registro.example --url https://registro.example --out audit.list --private
  verifier agency c_a944-2026.list --policy policy.txt --seen answers.ndjson`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.client.add(cmd, 10*time.Minute)
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "the body's key file, made by agency key new")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "file with the key's passphrase")
	flags.StringVar(&f.ledgerOf, "ledger", "", "the ledger's name, such as registro.example")
	flags.StringVar(&f.out, "out", "", "file for the list, or one to go on with")
	flags.StringVar(&f.seen, "seen", "", "file to add the entries of the look-ups to, one index a line")
	flags.Uint32Var(&f.epoch, "epoch", ledger.EpochOf(time.Now()), "the year")
	flags.BoolVar(&f.proofsOnly, "proofs-only", false, "don't have the events opened")
	flags.BoolVar(&f.private, "private", false, "with the private parts of the events' receipts")
	flags.IntVar(&f.count, "count", 1000, "events in a part of the file")
	flags.StringVar(&f.operator, "operator", "", "who looks, for the private part of the look-up")
	flags.StringVar(&f.purpose, "purpose", agencylist.Purpose, "why, for the citizens")
	for _, name := range []string{"key", "ledger", "out"} {
		cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagsMutuallyExclusive("proofs-only", "private")
	cmd.MarkFlagFilename("key", "key")
	return cmd
}

func (f *listFlags) run(cmd *cobra.Command) error {
	if err := ledger.CheckName(f.ledgerOf); err != nil {
		return cli.WrongFlag("--ledger", "a ledger's name, such as registro.example", strconv.Quote(f.ledgerOf))
	}
	if f.count < 1 || f.count > history.MaxPartEvents {
		return cli.WrongFlag("--count", fmt.Sprintf("1 to %d", history.MaxPartEvents), strconv.Itoa(f.count))
	}
	k, err := agencykey.Read(f.key, f.passphraseFile)
	if err != nil {
		return err
	}
	c, err := f.client.client(cmd)
	if err != nil {
		return err
	}
	file, err := agencylist.Open(f.out, k.Body, ledger.Origin(f.ledgerOf, f.epoch))
	if err != nil {
		return err
	}
	defer file.Close()
	l := f.fetch(&signedClient{c, k, f.ledgerOf}, file)
	l.Progress = cli.NewProgress(cmd, "fetching", 0)
	err = l.Run(cmd.Context())
	l.Progress.Close()
	a := &listAnswer{
		Body: k.Body, Origin: ledger.Origin(f.ledgerOf, f.epoch), Events: file.Next(), Fetched: l.Fetched, LookUps: l.LookUps,
		Complete: err == nil, File: f.out, SeenFile: f.seen,
	}
	if printErr := cli.Print(cmd, a); err == nil {
		err = printErr
	}
	return err
}

// fetch is what the flags ask for.
func (f *listFlags) fetch(s *signedClient, file *agencylist.File) *agencylist.Fetch {
	return &agencylist.Fetch{
		Key: s.key, Path: f.out, File: file, Seen: f.seen, Ledger: f.ledgerOf, Epoch: f.epoch, Count: f.count, Closed: f.proofsOnly, Private: f.private,
		Operator: f.operator, Purpose: f.purpose,
		Post: func(ctx context.Context, path string, content []byte) ([]byte, error) {
			data, err := s.post(ctx, path, content)
			if r := (*refusal)(nil); errors.As(err, &r) {
				return nil, &agencylist.Refused{Code: r.problem.Code, Err: r.verdict()}
			}
			return data, err
		},
	}
}
