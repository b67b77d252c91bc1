// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/govway"
)

const (
	// maxTraced is the longest line of a trace: a content of 48 MiB in base64.
	maxTraced = 64 << 20
	// maxHeld is how many bytes of traces are held at once: the lines of a call may stand far apart.
	maxHeld = 1 << 30
	// shownProblems is how many are listed; all are counted.
	shownProblems = 1000
)

type importFlags struct {
	key, passphraseFile, of, config, out string
}

type importAnswer struct {
	cli.Verdict
	Calls         int         `json:"calls"`    // in the traces
	Receipts      int         `json:"receipts"` // made
	Skipped       importSkips `json:"skipped"`
	ProblemsFound int         `json:"problems_found"`
	Submissions   string      `json:"submissions_file"`
}

// importSkips are calls that leave no receipt, and should not.
type importSkips struct {
	Other       int `json:"other"`        // of no operation of the configuration
	NoPersons   int `json:"no_persons"`   // of operations that tell of nobody, and answers about nobody
	NotAnswered int `json:"not_answered"` // answered with another status than 2xx
	Recorded    int `json:"recorded"`     // of a provided API, answered with the receipt of a gateway of ours
}

func (a *importAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%d calls: %d receipts in %s (it names the subjects: keep it to yourself)\n", a.Calls, a.Receipts, a.Submissions)
	s := a.Skipped
	fmt.Fprintf(w, "left out: %d of other APIs, %d about nobody, %d not answered with 2xx, %d recorded by a gateway\n", s.Other, s.NoPersons, s.NotAnswered, s.Recorded)
	if a.ProblemsFound > 0 {
		fmt.Fprintf(w, "%d calls can't be made a receipt of:\n", a.ProblemsFound)
	}
}

func importCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Make submissions of what other software recorded"}
	cmd.AddCommand(importGovWayCommand())
	return cmd
}

func importGovWayCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "govway TRACE... --key F --ledger NAME --config F --out FILE.ndjson",
		Short: "Make signed submissions of GovWay's file traces",
		Long: `govway reads the file traces of a GovWay and makes of each call that it answered
with personal data a signed receipt, for agency submit:

  agency import govway fileTrace/*.log --key body.key --ledger registro.example \
    --config apis.yaml --out november.ndjson
  agency submit november.ndjson --url https://registro.example --state november.state.json

Read are the topics request, response, requestBody and responseBody as GovWay 3.3
and 3.4 ship them, of provided APIs (erogazioni: the receipt is the provider's) and
consumed ones (fruizioni: the receipt is the consumer's own, in +reported), in any
order and in any number of files, a call's lines among those given. Headers have to
be traced, and contents where persons are in them. Vouchers have to be whole: the
ledger checks their signatures.

The configuration has the gateway's form (docs/gateway.md), of which e_services are
used (id, provider, url as it stands in the traces, operations; operator, office and
case), and pdnd/tenants and pdnd/consumers for provided APIs.

The same call gives the same receipt each time, byte for byte, as long as key and
configuration are the same: its jti and its salts come from the transaction's id and
the key. So an import can be repeated, whole or in other portions, and the ledger
records each call once.

A call that no receipt can be made of is told by file, line and field, and the
others are written all the same. Exit 0 when there is none, 1 otherwise.`,
		Example: `  agency import govway erogazioni.log --key body.key --ledger registro.example --config apis.yaml --out november.ndjson`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := f.run(cmd, args)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "the body's key file, made by agency key new")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "file with the key's passphrase")
	flags.StringVar(&f.of, "ledger", "", "the ledger's name, such as registro.example")
	flags.StringVar(&f.config, "config", "", "YAML file that says of which e-services and operations the calls are")
	flags.StringVar(&f.out, "out", "", "file for the submissions, one a line")
	for _, name := range []string{"key", "ledger", "config", "out"} {
		cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagFilename("key", "key")
	cmd.MarkFlagFilename("config", "yaml")
	cmd.MarkFlagFilename("out", "ndjson")
	return cmd
}

func (f *importFlags) run(cmd *cobra.Command, traces []string) (*importAnswer, error) {
	if ledger.CheckName(f.of) != nil {
		return nil, cli.WrongFlag("--ledger", "a ledger's name, such as registro.example", strconv.Quote(f.of))
	}
	key, err := agencykey.Read(f.key, f.passphraseFile)
	if err != nil {
		return nil, err
	}
	c, err := config.LoadTraced(f.config)
	if err != nil {
		return nil, &cli.Usage{Err: err}
	}
	consumers, err := checks.LoadConsumers(&c.PDND)
	if err != nil {
		return nil, &cli.Usage{Err: err}
	}
	im := &importer{ledger: f.of, key: key, config: c, consumers: consumers, calls: make(map[string]*tracedCall)}
	for _, path := range traces {
		if err := im.read(path); err != nil {
			return nil, err
		}
	}
	im.progress = cli.NewProgress(cmd, "making receipts", int64(len(im.order)))
	err = im.write(f.out)
	im.progress.Close()
	if err != nil {
		return nil, err
	}
	a := &im.answer
	a.Calls, a.Submissions, a.Result = len(im.order), f.out, cli.Proven
	if a.ProblemsFound > 0 {
		a.Result = cli.Unproven
	}
	return a, nil
}

// importer makes submissions of traced calls.
type importer struct {
	ledger    string
	key       *agencykey.Key
	config    *config.Config
	consumers *checks.Consumers
	progress  *cli.Progress

	calls  map[string]*tracedCall
	order  []*tracedCall // by their first lines
	held   int
	answer importAnswer
}

// tracedCall is what lines tell of one call; nil where a line lacks.
type tracedCall struct {
	transaction           string
	where                 string // its first line
	asked, told           *govway.Line
	askedBody, toldBody   *govway.Line
	askedWhere, toldWhere string
}

// refuse notes a call that no receipt is made of.
func (im *importer) refuse(p *ledger.Problem) {
	im.answer.ProblemsFound++
	if len(im.answer.Problems) < shownProblems {
		im.answer.Problems = append(im.answer.Problems, *p)
	}
}

// read takes the lines of a file. What is no line of a trace is a problem of its own.
func (im *importer) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("couldn't read the traces: %w", err)
	}
	defer file.Close()
	in := bufio.NewScanner(file)
	in.Buffer(make([]byte, 1<<16), maxTraced)
	number := 0
	for in.Scan() {
		number++
		where := filepath.Base(path) + ":" + strconv.Itoa(number)
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		line, ok := govway.Parse(in.Bytes())
		if !ok || line.IsOwn {
			im.refuse(&ledger.Problem{Code: "bad_line", Where: where, Expected: "a line of GovWay's topics request, response, requestBody or responseBody", Found: "another"})
			continue
		}
		if im.held += len(in.Bytes()); im.held > maxHeld {
			return cli.Usagef("%s: the traces are longer than %d bytes: give fewer days at once", path, maxHeld)
		}
		im.take(line, where)
	}
	if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
		return cli.Usagef("%s:%d: a line is longer than %d bytes", path, number+1, maxTraced)
	} else if err != nil {
		return fmt.Errorf("couldn't read the traces: %w", err)
	}
	return nil
}

// take puts a line to those of its call.
func (im *importer) take(line *govway.Line, where string) {
	call := im.calls[line.Transaction]
	if call == nil {
		call = &tracedCall{transaction: line.Transaction, where: where}
		im.calls[line.Transaction] = call
		im.order = append(im.order, call)
	}
	into, at := &call.told, &call.toldWhere
	switch {
	case line.HasContent && line.Asked:
		into, at = &call.askedBody, nil
	case line.HasContent:
		into, at = &call.toldBody, nil
	case line.Asked:
		into, at = &call.asked, &call.askedWhere
	}
	if *into != nil {
		im.refuse(&ledger.Problem{Code: ledger.CodeRepeated, Where: where, Expected: "one line of each topic for a transaction", Found: "a second one"})
		return
	}
	*into = line
	if at != nil {
		*at = where
	}
}

// write makes the submissions, and puts the file in place when it is whole.
func (im *importer) write(path string) error {
	part := path + ".part"
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("couldn't write the submissions: %w", err)
	}
	defer os.Remove(part)
	defer file.Close()
	out := bufio.NewWriter(file)
	for _, call := range im.order {
		data, problem, err := im.submission(call)
		switch {
		case err != nil:
			return err
		case problem != nil:
			im.refuse(problem)
		case data != nil:
			im.answer.Receipts++
			out.Write(data)
			out.WriteByte('\n')
		}
		im.progress.Add(1)
	}
	if err = errors.Join(out.Flush(), file.Sync()); err == nil {
		err = os.Rename(part, path)
	}
	if err == nil {
		err = durable.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("couldn't write the submissions: %w", err)
	}
	return nil
}

// instant writes a time of a trace, which has milliseconds.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
