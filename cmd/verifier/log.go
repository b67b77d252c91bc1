// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/registry"
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
	Final   bool           `json:"final,omitempty"`  // the log has ended
	Next    *nextLog       `json:"next,omitempty"`   // what a log that has ended announced
	Before  *pastLog       `json:"before,omitempty"` // the log that this run rolled forward from

	stateFile string
}

type nextLog struct {
	Origin string `json:"origin"`
	VKey   string `json:"vkey"`
}

type pastLog struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   string `json:"root"`
	State  string `json:"state"` // the file that keeps its last checkpoint
	Next   string `json:"next"`  // the verifier key that it announced for the log after it
}

func logCommand() *cobra.Command {
	var keyFile, stateFile string
	cmd := &cobra.Command{
		Use:   "log URL --key FILE --state FILE",
		Short: "Check that a log only grows",
		Long: `log fetches the checkpoint of a log, checks its signature and, from the log's
tiles, that it extends the one seen the last time, which the state file holds.
Run it now and then, one run at a time for each state file.

URL is that of a ledger, or of one log: https://registro.example/log/2026. Plain
http is for this machine. Of a ledger it begins with the log of the latest year in
the key file; when that has ended, with a final head, it rolls forward: the key of
the next year's log is the one that the old log announced, and the new log must
follow on the old one. FILE then remembers the new log, and FILE.2026 the old.

Alarms:
  fork           the log's key signed two histories. The state file then holds both
                 signed checkpoints, the evidence, and the alarm stays: keep the file
  rollback       the log shows less than before; perhaps a copy that is late
  bad_signature  what the log shows isn't signed by its key

The state file is one line of JSON: {"schema":"traccia/verifier-log-state/1",
"checkpoint":"…","fork":"…","key":"…"}, the signed checkpoints as they came, "fork"
only after one, "key" where the year before announced it. It is replaced as a whole, and only after every check.`,
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
	l, err := parseLedger(where, keyFile)
	if err != nil {
		return nil, err
	}
	old, err := readState(stateFile)
	if err != nil {
		return nil, err
	}
	epoch, roll := l.epoch, !l.one
	if old != nil && roll {
		origin, _, _ := strings.Cut(string(old.Checkpoint), "\n")
		if _, epoch, err = ledger.ParseOrigin(origin); err != nil {
			return nil, fmt.Errorf("%s isn't as verifier log wrote it: %w", stateFile, err)
		}
	}
	if len(l.keys[epoch]) == 0 && (old == nil || old.Key == "") {
		return nil, cli.Usagef("--key %s has no key for the log of %d", keyFile, epoch)
	}
	report, err := verifier.Log(cmd.Context(), l.year(epoch), l.keys[epoch], old)
	if err != nil {
		return nil, fmt.Errorf("couldn't check %s against %s: %w", l.url(epoch), stateFile, err)
	}
	if report.State != old {
		if err := writeState(stateFile, report.State); err != nil {
			return nil, err
		}
	}
	a := &logAnswer{stateFile: stateFile, Origin: report.Old.Origin}
	if old == nil {
		a.Origin = l.keys[epoch][0].Name()
	}
	a.fill(report)
	if report.Alarm != verifier.AlarmNone {
		return a, nil
	}
	progress := cli.NewProgress(cmd, "looking for the next year's key", 0)
	defer progress.Close()
	end, err := verifier.End(cmd.Context(), l.year(epoch), report.New, func(n int) { progress.Add(int64(n)) })
	if err != nil {
		return nil, fmt.Errorf("couldn't check %s: %w", l.url(epoch), err)
	}
	if a.Final = end.Final; end.Next == nil {
		return a, nil
	}
	a.Next = &nextLog{end.Next.Origin, end.Next.VKey}
	if !roll {
		return a, nil
	}
	return a, a.roll(cmd, l, epoch, report)
}

// roll goes on with the next year's log, once that is open.
func (a *logAnswer) roll(cmd *cobra.Command, l *ledgerURL, epoch uint32, old *verifier.LogReport) error {
	next, err := verifier.Roll(cmd.Context(), l.year(epoch+1), old.New, &registry.LogKey{Origin: a.Next.Origin, VKey: a.Next.VKey})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("couldn't check %s, the year after: %w", l.url(epoch+1), err)
	}
	if next.Alarm == verifier.AlarmNone {
		kept := fmt.Sprintf("%s.%d", a.stateFile, epoch)
		if err := writeState(kept, old.State); err != nil {
			return err
		}
		if err := writeState(a.stateFile, next.State); err != nil {
			return err
		}
		a.Before = &pastLog{old.New.Origin, old.New.Size, hex.EncodeToString(old.New.Root[:]), kept, a.Next.VKey}
		a.Final = false
	}
	a.Origin, a.Next = a.Next.Origin, nil
	a.fill(next)
	return nil
}

func (a *logAnswer) fill(r *verifier.LogReport) {
	a.OldSize, a.NewSize, a.Alarm, a.Root = r.Old.Size, r.New.Size, r.Alarm, ""
	if r.Alarm != verifier.AlarmBadSignature {
		a.Origin, a.Root = r.New.Origin, hex.EncodeToString(r.New.Root[:])
	}
	a.Result, a.Problems = cli.Proven, nil
	if r.Problem != nil {
		a.Result, a.Problems = cli.Unproven, []ledger.Problem{*r.Problem}
	}
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
		if a.OldSize == 0 {
			fmt.Fprintf(w, "FORK: %s doesn't follow on the log before it, whose last checkpoint %s holds.\n", a.Origin, a.stateFile)
			fmt.Fprintln(w, "Keep it and show it to the log's witnesses and to the authority.")
			return
		}
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
	case a.Before != nil:
		fmt.Fprintf(w, "%s has %s, root %s.\n", a.Origin, plural64(a.NewSize), a.Root)
	case a.OldSize == 0:
		fmt.Fprintf(w, "%s has %s, root %s.\n", a.Origin, plural64(a.NewSize), a.Root)
		fmt.Fprintf(w, "Its key signed them. Nothing was seen of it before; from now on %s remembers.\n", a.stateFile)
	case a.NewSize == a.OldSize:
		fmt.Fprintf(w, "%s still has %s, root %s.\n", a.Origin, plural64(a.NewSize), a.Root)
	default:
		fmt.Fprintf(w, "%s grew from %d to %s, root %s.\n", a.Origin, a.OldSize, plural64(a.NewSize), a.Root)
		fmt.Fprintf(w, "Its key signed them, and the first %d are those seen before.\n", a.OldSize)
	}
	switch {
	case a.Final && a.Next == nil:
		fmt.Fprintln(w, "It has ended with its final head, and announced no log of the year after: get that one's key elsewhere.")
	case a.Final:
		fmt.Fprintf(w, "It has ended with its final head. The log after it is %s, with the key\n  %s\n", a.Next.Origin, a.Next.VKey)
	case a.Before != nil:
		fmt.Fprintf(w, "It follows on %s, which ended at %s and announced its key; %s keeps that log's last checkpoint.\n", a.Before.Origin, plural64(a.Before.Size), a.Before.State)
		fmt.Fprintf(w, "For commands that see the new log alone, add the key to the file of keys:\n  %s\n", a.Before.Next)
	}
	fmt.Fprintln(w, "Not proven: that others are shown the same log, which takes witnesses, and that its leaves are right.")
}

func plural64(leaves uint64) string {
	if leaves == 1 {
		return "1 leaf"
	}
	return fmt.Sprintf("%d leaves", leaves)
}
