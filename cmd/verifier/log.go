// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/verifier"
)

// logAnswer is the verdict on a log.
type logAnswer struct {
	cli.Verdict
	Origin  string         `json:"origin"`
	OldSize uint64         `json:"old_size"` // 0 the first time
	NewSize uint64         `json:"new_size"` // 0 without a signed checkpoint
	Root    string         `json:"root"`     // at new_size
	Alarm   verifier.Alarm `json:"alarm"`

	stateFile string
}

func logCommand() *cobra.Command {
	var keyFile, stateFile string
	cmd := &cobra.Command{
		Use:   "log URL --key FILE --state FILE",
		Short: "Check that a log only grows",
		Long: `log fetches the checkpoint of a log, checks its signature and, from the log's
tiles, that it extends the one seen the last time, which the state file holds.
Run it now and then, one run at a time for each state file.

URL is that of a ledger, and means the log of the latest year in the key file, or
of one log: https://registro.example/log/2026. Plain http is for this machine.

Alarms:
  fork           the log's key signed two histories. The state file then holds both
                 signed checkpoints, the evidence, and the alarm stays: keep the file
  rollback       the log shows less than before; perhaps a copy that is late
  bad_signature  what the log shows isn't signed by its key

The state file is one line of JSON: {"schema":"traccia/verifier-log-state/1",
"checkpoint":"…","fork":"…"}, the signed checkpoints as they came, "fork" only
after one. It is replaced as a whole, and only after every check.`,
		Example: `  verifier log https://registro.example --key log.vkey --state log.state
  verifier log http://127.0.0.1:8080/log/2026 --key log.vkey --state log.state --json`,
		Args: oneArgument("the URL of a ledger or log"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := checkLog(cmd, args[0], keyFile, stateFile)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the log's verifier key (log.vkey), one or more lines")
	cmd.Flags().StringVar(&stateFile, "state", "", "file that remembers the log, made the first time")
	cmd.MarkFlagRequired("key")
	cmd.MarkFlagRequired("state")
	cmd.MarkFlagFilename("key", "vkey")
	cmd.MarkFlagFilename("state", "state")
	return cmd
}

func checkLog(cmd *cobra.Command, where, keyFile, stateFile string) (*logAnswer, error) {
	base, err := fetch.ParseURL(where)
	if err != nil {
		return nil, err
	}
	logs, err := readKeys(keyFile)
	if err != nil {
		return nil, err
	}
	prefix, logs, err := chooseLog(base, logs, keyFile)
	if err != nil {
		return nil, err
	}
	old, err := readState(stateFile)
	if err != nil {
		return nil, err
	}
	report, err := verifier.Log(cmd.Context(), fetch.NewLog(prefix), logs, old)
	if err != nil {
		return nil, fmt.Errorf("couldn't check %s against %s: %w", prefix, stateFile, err)
	}
	if report.State != old {
		if err := writeState(stateFile, report.State); err != nil {
			return nil, err
		}
	}
	a := &logAnswer{OldSize: report.Old.Size, NewSize: report.New.Size, Alarm: report.Alarm, stateFile: stateFile}
	a.Origin = logs[0].Name()
	if old != nil {
		a.Origin = report.Old.Origin
	}
	if report.Alarm != verifier.AlarmBadSignature {
		a.Origin, a.Root = report.New.Origin, hex.EncodeToString(report.New.Root[:])
	}
	a.Result = cli.Proven
	if report.Problem != nil {
		a.Result, a.Problems = cli.Unproven, []ledger.Problem{*report.Problem}
	}
	return a, nil
}

var logPath = regexp.MustCompile(`/log/([0-9]+)$`)

// chooseLog returns the prefix of the log that a URL means, and the keys of its
// year.
func chooseLog(base *url.URL, logs []note.Verifier, keyFile string) (*url.URL, []note.Verifier, error) {
	years := make(map[uint32][]note.Verifier)
	var latest uint32
	for _, l := range logs {
		if _, epoch, err := ledger.ParseOrigin(l.Name()); err == nil {
			years[epoch] = append(years[epoch], l)
			latest = max(latest, epoch)
		}
	}
	prefix, epoch := base, latest
	if m := logPath.FindStringSubmatch(base.Path); m != nil {
		n, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			return nil, nil, cli.Usagef("%s: no year has the number %s", base, m[1])
		}
		epoch = uint32(n)
	} else {
		prefix = base.JoinPath("log", strconv.FormatUint(uint64(latest), 10))
	}
	if len(years[epoch]) == 0 {
		return nil, nil, cli.Usagef("--key %s has no key for the log of %d", keyFile, epoch)
	}
	return prefix, years[epoch], nil
}

func readState(path string) (*verifier.LogState, error) {
	data, err := cli.ReadFile(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read the state: %w", err)
	}
	state, err := verifier.ParseLogState(data)
	if err != nil {
		return nil, fmt.Errorf("%s isn't as verifier log wrote it: %w", path, err)
	}
	return state, nil
}

func writeState(path string, state *verifier.LogState) error {
	data, err := verifier.FormatLogState(state)
	if err == nil {
		err = durable.Replace(path, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("couldn't keep the state: %w", err)
	}
	return nil
}

// Text says how the log stands to people.
func (a *logAnswer) Text(w io.Writer) {
	switch a.Alarm {
	case verifier.AlarmFork:
		fmt.Fprintf(w, "FORK: the key of %s signed two histories, of sizes %d and %d.\n", a.Origin, a.OldSize, a.NewSize)
		fmt.Fprintf(w, "%s holds both signed checkpoints. Keep it and show it to the log's witnesses and to the authority.\n", a.stateFile)
		return
	case verifier.AlarmRollback:
		fmt.Fprintf(w, "ROLLBACK: %s shows %s, and showed %d before.\n", a.Origin, plural64(a.NewSize), a.OldSize)
		fmt.Fprintln(w, "It may be a copy that is late: if it stays so, show it to the log's witnesses and to the authority.")
		return
	case verifier.AlarmBadSignature:
		fmt.Fprintf(w, "BAD SIGNATURE: what is shown as the checkpoint of %s isn't signed by its key.\n", a.Origin)
		fmt.Fprintln(w, "Something between may answer in the log's place; is the URL the log's?")
		return
	}
	switch {
	case a.OldSize == 0:
		fmt.Fprintf(w, "%s has %s, root %s.\n", a.Origin, plural64(a.NewSize), a.Root)
		fmt.Fprintf(w, "Its key signed them. Nothing was seen of it before; from now on %s remembers.\n", a.stateFile)
	case a.NewSize == a.OldSize:
		fmt.Fprintf(w, "%s still has %s, root %s.\n", a.Origin, plural64(a.NewSize), a.Root)
	default:
		fmt.Fprintf(w, "%s grew from %d to %s, root %s.\n", a.Origin, a.OldSize, plural64(a.NewSize), a.Root)
		fmt.Fprintf(w, "Its key signed them, and the first %d are those seen before.\n", a.OldSize)
	}
	fmt.Fprintln(w, "Not proven: that others are shown the same log, which takes witnesses, and that its leaves are right.")
}

func plural64(leaves uint64) string {
	if leaves == 1 {
		return "1 leaf"
	}
	return fmt.Sprintf("%d leaves", leaves)
}
