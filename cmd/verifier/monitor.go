// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/monitor"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
)

// monitorAnswer is the verdict on a log's leaves.
type monitorAnswer struct {
	cli.Verdict
	Origin       string           `json:"origin"`
	Size         uint64           `json:"size"` // leaves verified
	Root         string           `json:"root"` // at size
	Events       uint64           `json:"events"`
	HeadsChecked uint64           `json:"heads_checked"`
	Keys         uint64           `json:"keys"`
	LastHead     string           `json:"last_head,omitempty"`
	LastLook     string           `json:"last_look,omitempty"` // that read the log to its end
	Final        bool             `json:"final"`
	Alarm        string           `json:"alarm"`
	AlarmsFound  uint64           `json:"alarms_found"` // of which problems lists the first ones
	Broken       bool             `json:"broken"`
	Notices      []ledger.Problem `json:"notices"` // the first ones
	NoticesFound uint64           `json:"notices_found"`
	Before       *pastMonitored   `json:"before,omitempty"` // the log of the year before, followed to its final head
}

type pastMonitored struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   string `json:"root"`
	Alarm  string `json:"alarm"` // the gravest that stood at its end, or none
}

// fill takes what is known of the log; before is when a run before this one looked
// at it last.
func (a *monitorAnswer) fill(r verifier.MonitorReport, before time.Time) {
	a.Origin, a.Size, a.Root = r.Origin, r.Size, hex.EncodeToString(r.Root[:])
	a.Events, a.HeadsChecked, a.Keys, a.Final = r.Events, r.Heads, r.Keys, r.Final
	a.Alarm, a.Broken = r.Alarm, r.Broken
	a.AlarmsFound, a.NoticesFound = uint64(len(r.Alarms))+r.MoreAlarms, uint64(len(r.Notices))+r.MoreNotices
	if !r.LastHead.IsZero() {
		a.LastHead = instant(r.LastHead)
	}
	for _, f := range r.Alarms {
		a.Problems = append(a.Problems, f.Problem)
	}
	a.Notices = []ledger.Problem{}
	for _, f := range r.Notices {
		a.Notices = append(a.Notices, f.Problem)
	}
	if !r.Looked.IsZero() {
		a.LastLook = instant(r.Looked)
	}
	switch {
	case len(r.Alarms) > 0:
		a.Result = cli.Unproven
	case r.Looked.After(before):
		a.Result = cli.Proven
	default:
		a.Result = cli.Unchecked // this run didn't get to see the log
	}
}

// follows takes what is known of the log before. What this run found of it counts as much as what it found of the log that
// it follows now.
func (a *monitorAnswer) follows(b *monitor.Past) {
	if b == nil {
		return
	}
	a.Before = &pastMonitored{b.Origin, b.Size, hex.EncodeToString(b.Root[:]), b.Alarm}
	for _, f := range b.Alarms {
		f.Where += " of " + b.Origin
		a.Problems = append(a.Problems, f.Problem)
		a.AlarmsFound++
		a.Result = cli.Unproven
	}
	if a.Alarm == string(verifier.AlarmNone) && len(b.Alarms) > 0 {
		a.Alarm = b.Alarms[0].Code
	}
}

// Text says how the log stands to people.
func (a *monitorAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s: %s read and recomputed, root %s.\n", a.Origin, plural64(a.Size), a.Root)
	fmt.Fprintf(w, "  %d events, %d keys in the index, %d heads", a.Events, a.Keys, a.HeadsChecked)
	switch {
	case a.Final:
		fmt.Fprintf(w, ", the last of %s closing the log.\n", a.LastHead)
	case a.LastHead != "":
		fmt.Fprintf(w, ", the last of %s.\n", a.LastHead)
	default:
		fmt.Fprintln(w, ".")
	}
	if a.LastLook != "" {
		fmt.Fprintf(w, "  Looked at last at %s.\n", a.LastLook)
	}
	if b := a.Before; b != nil {
		fmt.Fprintf(w, "  It follows on %s, which ended at %s, alarm %s.\n", b.Origin, plural64(b.Size), b.Alarm)
	}
	for _, p := range a.Notices {
		fmt.Fprintf(w, "  new: %s at %s\n", p.Found, p.Where)
	}
	if more := a.NoticesFound - uint64(len(a.Notices)); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
	if a.Broken {
		fmt.Fprintln(w, "BROKEN: nothing that comes later mends this. Keep the directory, and show it to the log's witnesses and to the authority.")
	}
	if more := a.AlarmsFound - uint64(len(a.Problems)); more > 0 {
		fmt.Fprintf(w, "%d alarms, of which the first %d follow\n", a.AlarmsFound, len(a.Problems))
	}
	fmt.Fprintln(w, "Not proven: what no leaf tells, such as whose events they are, and that a new key or scope is its owner's.")
}

// findingLine is a line of the stream.
type findingLine struct {
	verifier.Finding
	Origin string `json:"origin"`
}

func (f findingLine) Text(w io.Writer) {
	word := map[verifier.Level]string{verifier.LevelNotice: "notice", verifier.LevelAlarm: "ALARM", verifier.LevelBroken: "BROKEN"}[f.Level]
	fmt.Fprintf(w, "%s %s at %s of %s: expected %s, found %s\n", word, f.Code, f.Where, f.Origin, f.Expected, f.Found)
}

// monitorFlags are those of monitor.
type monitorFlags struct {
	log, keyFile, dir, announced string
	once                         bool
	interval                     time.Duration
	serve                        monitorServeFlags
}

func monitorCommand() *cobra.Command {
	var f monitorFlags
	cmd := &cobra.Command{
		Use:   "monitor --log URL --key FILE --state DIR",
		Short: "Follow a log and recompute all that it says",
		Long: `monitor reads a log's leaves from its tiles, which anyone can, and recomputes the
index, every head, the scopes and the records. It tells of

  broken   two histories; a tag in two events; a wrong head; a clock that steps
           back; a malformed leaf, one of another year or after the final head
           a year that doesn't follow on the one before
  alarm    a head more than 60 s out of step with the clock here; no head within
           60 s of an event or for 5 minutes; a log that shrank or isn't signed; a
           record that the rules refuse; a year that isn't closed, names no next
           log, or doesn't repeat what was in force; with --announced a key, scope
           or policy that isn't in the file
  notice   a key revoked; without --announced each new key, scope and policy

It looks at the log now and then until it is stopped, or with --once a single time.
With --listen and --cosign-key it is also a witness (c2sp.org/tlog-witness), which
cosigns what the ledger submits once it verified every leaf up to it, and nothing
after it found the log broken.

It begins with the log of the latest year in the key file, or the one that the URL
names, and goes on with each next year's, whose key the year before announced.

DIR holds for each year the leaves as they were verified (104 bytes an event) and
the last signed checkpoint, and findings.ndjson, all that was ever found. A start
reads the last year's leaves again. An alarm about an instant is told once, any
other in every run.`,
		Example: `  verifier monitor --log https://registro.example --key log.vkey --state monitor --once
  verifier monitor key --name monitor.example --out monitor.key
  verifier monitor --log https://registro.example --key log.vkey --state monitor \
    --announced announced.txt --listen 127.0.0.1:8090 --cosign-key monitor.key --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMonitor(cmd, f) },
	}
	cmd.Flags().StringVar(&f.log, "log", "", "URL of the ledger or log")
	cmd.Flags().StringVar(&f.keyFile, "key", "", "file with the log's verifier key (log.vkey), one or more lines")
	cmd.Flags().StringVar(&f.dir, "state", "", "directory that remembers the log, made the first time")
	cmd.Flags().StringVar(&f.announced, "announced", "", "file of the keys, scopes and policies that their owners announced")
	cmd.Flags().BoolVar(&f.once, "once", false, "read what there is, and end")
	cmd.Flags().DurationVar(&f.interval, "interval", 5*time.Second, "how often to look")
	f.serve.add(cmd)
	for _, name := range []string{"log", "key", "state"} {
		cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagFilename("key", "vkey")
	cmd.MarkFlagFilename("announced")
	cmd.MarkFlagDirname("state")
	cmd.AddCommand(monitorKeyCommand())
	return cmd
}

func runMonitor(cmd *cobra.Command, f monitorFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	c, err := f.config(cmd)
	if err != nil {
		return err
	}
	progress := cli.NewProgress(cmd, "verifying leaves", 0)
	defer progress.Close()
	c.Verified = func(leaves int) { progress.Add(int64(leaves)) }
	stream := make(chan error, 1)
	if !f.once {
		c.Found = func(origin string, found verifier.Finding) {
			progress.Close()
			if err := cli.PrintLine(cmd, findingLine{found, origin}); err != nil {
				select {
				case stream <- err:
				default:
				}
			}
		}
	}
	m, err := monitor.Open(*c)
	if err != nil {
		return err
	}
	before := m.Report().Looked
	if f.once {
		err = m.Look(cmd.Context())
	} else {
		err = f.follow(cmd, m, stream)
	}
	if err = errors.Join(err, m.Close()); err != nil {
		return fmt.Errorf("couldn't check %s against %s: %w", f.log, f.dir, err)
	}
	progress.Close()
	a := &monitorAnswer{}
	a.fill(m.Report(), before)
	a.follows(m.Before())
	return cli.Print(cmd, a)
}

// follow tells what stands, and looks and serves until it is stopped, which is no
// error.
func (f *monitorFlags) follow(cmd *cobra.Command, m *monitor.Monitor, stream <-chan error) error {
	r := m.Report()
	for _, found := range r.Alarms {
		if err := cli.PrintLine(cmd, findingLine{found, r.Origin}); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	servers, err := f.serve.start(m, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer servers.Stop(servePatience)
	go func() {
		select {
		case err := <-servers.Failed():
			cancel(err)
		case err := <-stream:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err = m.Follow(ctx, f.interval, func(err error) { fmt.Fprintf(cmd.ErrOrStderr(), "couldn't look at the log: %v\n", err) })
	if cause := context.Cause(ctx); err == nil && cmd.Context().Err() == nil {
		err = cause
	}
	return err
}

func (f *monitorFlags) check() error {
	if f.interval < 100*time.Millisecond || f.interval > time.Minute {
		return cli.WrongFlag("--interval", "100ms to 1m", f.interval.String())
	}
	if f.once && (f.serve.listen != "" || f.serve.metrics != "") {
		return cli.Usagef("--once ends at once: nothing can listen")
	}
	return f.serve.check()
}

func (f *monitorFlags) config(cmd *cobra.Command) (*monitor.Config, error) {
	l, err := parseLedger(f.log, f.keyFile)
	if err != nil {
		return nil, err
	}
	c := &monitor.Config{
		Dir: f.dir, Origin: l.keys[l.epoch][0].Name(), Logs: l.all(), Log: func(epoch uint32) checkpoint.Fetcher { return l.year(epoch) },
	}
	if f.announced != "" {
		data, err := cli.ReadFile(f.announced, maxAnnounced)
		if err != nil {
			return nil, fmt.Errorf("couldn't read what was announced: %w", err)
		}
		if c.Announced, err = verifier.ParseAnnounced(data); err != nil {
			return nil, cli.Usagef("--announced %s: %w", f.announced, err)
		}
	}
	if f.serve.cosignKey != "" {
		if c.Signer, err = witness.ReadKey(f.serve.cosignKey); err != nil {
			return nil, err
		}
	}
	return c, nil
}

const maxAnnounced = 16 << 20
