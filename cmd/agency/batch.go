// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
)

type submitFlags struct {
	client   clientFlags
	state    string
	receipts string
	own      ownFlags
}

type submitAnswer struct {
	cli.Done
	Sent        int64  `json:"sent"`         // lines of the file answered so far, in this run and those before
	Accepted    int64  `json:"accepted"`     // recorded
	Replayed    int64  `json:"replayed"`     // had been recorded before
	Refused     int64  `json:"refused"`      // see refused_file
	RefusedFile string `json:"refused_file"` // "" when nothing is refused
	Complete    bool   `json:"complete"`     // to the end of the file
}

func (a *submitAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%d lines answered: %d recorded, %d recorded before, %d refused\n", a.Sent, a.Accepted, a.Replayed, a.Refused)
	if a.Refused > 0 {
		fmt.Fprintf(w, "refused, with the reasons: %s\n", a.RefusedFile)
	}
	if !a.Complete {
		fmt.Fprintln(w, "not at the end of the file yet: run the same command again to go on")
	}
}

func submitCommand() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit FILE.ndjson --url U --state F",
		Short: "Submit a file of many signed submissions, resumable",
		Long: `submit sends a file of submissions, one JSON object a line, and remembers in the
state file up to which line they are answered. Stopped by whatever, the same
command goes on from there; when all is answered it only says so again. Lines
added to the file later are sent by the next run. One run at a time.

A line that the ledger refuses doesn't stop the rest. It goes, with its number and
the problem, to FILE.refused.ndjson (november.refused.ndjson for november.ndjson;
mode 0600: it names the subjects):

  {"line":12,"status":422,"problem":{"code":"expired","where":"voucher#exp",…},"submission":{…}}

An access that the ledger's policies deny goes there too, and is recorded all the
same: its answer is kept as any other.

When what was wrong is mended at the ledger, the same lines can be sent again:

  jq -c '.submission // empty' november.refused.ndjson > again.ndjson

With --receipts each answer is kept as DIR/<jti>.json, for verifier receipt.

A party that keeps a scope's numbers gives --records: each answer to it is checked
with the log's --log-key, and a line for each event added to that file, which
verifier provider compares with the log. The file names citizens: keep it where the
ledger's operator can't reach it. An answer that isn't proven ends the run.

While the ledger is busy, restarting or out of reach it is asked again, for as
long as --patience says without any progress. A line may then be sent twice: the
ledger records it once and answers that it had it (replayed).

Ends with 0 when every line is recorded, 1 when some are refused, 3 when it
couldn't come to the end.`,
		Example: `  agency submit november.ndjson --url https://registro.example --state november.state.json
  agency submit november.ndjson --url https://registro.example --state november.state.json --receipts receipts
  agency submit november.ndjson --url https://registro.example --state november.state.json \
    --records own.ndjson --log-key log.vkey`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.client.add(cmd, 10*time.Minute)
	cmd.Flags().StringVar(&f.state, "state", "", "file that remembers how far the ledger has answered")
	cmd.Flags().StringVar(&f.receipts, "receipts", "", "directory to keep the ledger's answers in")
	f.own.add(cmd)
	cmd.MarkFlagRequired("state")
	cmd.MarkFlagFilename("state", "json")
	cmd.MarkFlagDirname("receipts")
	return cmd
}

func (f *submitFlags) run(cmd *cobra.Command, path string) error {
	c, err := f.client.client(cmd)
	if err != nil {
		return err
	}
	s, err := f.open(c, path)
	if err != nil {
		return err
	}
	defer s.close()
	left, err := countLines(s.file, s.state)
	if err != nil {
		return fmt.Errorf("couldn't read the submissions: %w", err)
	}
	s.progress = cli.NewProgress(cmd, "submitting", left)
	err = s.run(cmd.Context())
	s.progress.Close()
	a := &submitAnswer{
		Sent: s.state.Accepted + s.state.Replayed + s.state.Refused, Accepted: s.state.Accepted,
		Replayed: s.state.Replayed, Refused: s.state.Refused, Complete: err == nil,
	}
	if a.Refused > 0 {
		a.RefusedFile = s.refusedPath
	}
	if printErr := cli.Print(cmd, a); err == nil {
		err = printErr
	}
	if err == nil && a.Refused > 0 {
		return &cli.NotProven{}
	}
	return err
}
