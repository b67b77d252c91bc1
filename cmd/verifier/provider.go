// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/cmd/internal/provider"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/verifier"
)

// providerAnswer is the verdict on a party's records and the log. It holds no
// person's code.
type providerAnswer struct {
	cli.Verdict
	Scope    string   `json:"scope"`
	Origin   string   `json:"origin"`
	Size     uint64   `json:"size"`
	Root     string   `json:"root"`
	Head     uint64   `json:"head"`            // log index of the head up to which was compared
	Until    string   `json:"until,omitempty"` // its instant
	Entries  uint64   `json:"entries"`         // of the records, up to it
	Subjects uint64   `json:"subjects"`        // of the records
	Cohorts  uint64   `json:"cohorts"`         // records of aggregates, up to it
	Pending  uint64   `json:"pending"`         // entries and cohorts after it
	Others   uint64   `json:"others"`          // lines about other years
	Keys     int      `json:"keys"`            // ever registered for the party
	Found    int      `json:"problems_found"`
	Notes    []string `json:"notes"`

	Statement string  `json:"statement,omitempty"`    // signed
	Index     *uint64 `json:"record_index,omitempty"` // where it was recorded
}

type providerFlags struct {
	scope, records, proofs, keys, providers, others string
	url, folder, tiles, policy, keyFile             string
	inFlight, patience                              time.Duration
	signingKey, passphraseFile, out                 string
	submit, alarm                                   bool
}

func providerCommand() *cobra.Command {
	var f providerFlags
	cmd := &cobra.Command{
		Use:   "provider --scope ID --records FILE --keys FILE",
		Short: "Check the log against a provider's own records",
		Long: `provider is for the party that keeps a scope's numbers: it compares the events that
were acknowledged to it, which agency submit --records wrote down, with the log.

  - the numbers of each citizen are 0, 1, 2 …, and the next one isn't in the log
  - each stands at its leaf, under the tag of its number, and is the first there
  - each came under a head within two minutes
  - every key that the log ever registered for the party is one of --keys
  - the scope speaks for --providers, and no other scope does but --others

The citizens' keys are asked of the ledger with requests signed by --signing-key,
and kept in --proofs; each is proven. Events younger than --in-flight may not be in
the records yet and aren't judged. --tiles keeps what was read of the log, so that
the next check reads only what is new. Memory is bounded, whatever the sizes.

With --signing-key it ends in a signed statement, which --submit has the ledger
record: histories then show the scope as checked up to that head. A check that finds
something is recorded with --alarm alone, for everyone to see.
docs/provider-check.md describes files and statement.`,
		Example: `  verifier provider --scope inps --records own.ndjson --proofs proofs.ndjson --keys inps.jwks \
    --url https://registro.example --policy policy.txt --signing-key inps.key --submit
  verifier provider --scope inps --records own.ndjson --proofs proofs.ndjson --keys inps.jwks \
    --export traccia-2026 --key log.vkey --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.run(cmd)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.scope, "scope", "", "id of the scope, and of the party")
	flags.StringVar(&f.records, "records", "", "file of the party's own records")
	flags.StringVar(&f.proofs, "proofs", "", "file of the proofs of citizens' keys, which is added to")
	flags.StringVar(&f.keys, "keys", "", "JWK set of all keys that are or were the party's own")
	flags.StringVar(&f.providers, "providers", "", "ids of those that the scope speaks for, with commas; left out, that isn't compared")
	flags.StringVar(&f.others, "others", "", "ids of other scopes that may speak for them, with commas")
	flags.StringVar(&f.url, "url", "", "URL of the ledger")
	flags.StringVar(&f.folder, "export", "", "folder of an export, instead of a ledger")
	flags.StringVar(&f.tiles, "tiles", "", "directory that keeps the log's tiles")
	flags.StringVar(&f.policy, "policy", "", "policy file: the log's key, witnesses and monitors")
	flags.StringVar(&f.keyFile, "key", "", "file with the log's verifier key, instead of a policy")
	flags.DurationVar(&f.inFlight, "in-flight", 2*time.Minute, "how long a call may be on its way")
	flags.DurationVar(&f.patience, "patience", 30*time.Second, "how long to wait for cosignatures")
	flags.StringVar(&f.signingKey, "signing-key", "", "the party's key file, as agency key new made it")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "file with that key's passphrase")
	flags.StringVar(&f.out, "out", "", "file for the signed statement, as POST /v1/provider-checks takes it")
	flags.BoolVar(&f.submit, "submit", false, "have the ledger record a statement that all is proven")
	flags.BoolVar(&f.alarm, "alarm", false, "have the ledger record a statement that it isn't")
	for _, name := range []string{"scope", "records", "keys"} {
		cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagsMutuallyExclusive("url", "export")
	cmd.MarkFlagsOneRequired("url", "export")
	cmd.MarkFlagsMutuallyExclusive("policy", "key")
	cmd.MarkFlagsOneRequired("policy", "key")
	cmd.MarkFlagDirname("export")
	cmd.MarkFlagDirname("tiles")
	return cmd
}

func (f *providerFlags) run(cmd *cobra.Command) (*providerAnswer, error) {
	if (f.submit || f.alarm) && (f.signingKey == "" || f.url == "" || f.policy == "") {
		return nil, cli.Usagef("--submit and --alarm take --signing-key, --url and --policy: what is said to everyone is about the log that everyone is shown")
	}
	if err := cli.CheckID("--scope", f.scope); err != nil {
		return nil, err
	}
	c := &provider.Check{
		Scope: f.scope, Now: time.Now, Patience: f.patience, Records: provider.RecordsFile(f.records),
		Providers: ids(f.providers), Others: ids(f.others), InFlight: f.inFlight,
	}
	if f.proofs != "" {
		c.Proofs = provider.ProofsFile(f.proofs)
	}
	var err error
	if c.Keys, err = readOwnKeys(f.keys); err != nil {
		return nil, err
	}
	var key *agencykey.Key
	if f.signingKey != "" {
		if key, err = agencykey.Read(f.signingKey, f.passphraseFile); err != nil {
			return nil, err
		}
		if key.Body != f.scope {
			return nil, cli.WrongFlag("--signing-key", "a key of "+f.scope, "one of "+key.Body)
		}
	}
	if err := f.source(cmd, c, key); err != nil {
		return nil, err
	}
	progress := cli.NewProgress(cmd, "comparing leaves", 0)
	defer progress.Close()
	c.Progress = func(n int) { progress.Add(int64(n)) }
	report, err := c.Run(cmd.Context())
	if err != nil {
		return nil, fmt.Errorf("couldn't check the log: %w", err)
	}
	progress.Close()
	a := newProviderAnswer(f.scope, report)
	if key != nil && report.Head > 0 {
		err = f.conclude(cmd.Context(), a, c, report, key)
	}
	return a, err
}

// source says where the log is read, by whose word, and of whom proofs are asked.
func (f *providerFlags) source(cmd *cobra.Command, c *provider.Check, key *agencykey.Key) error {
	logs, from, err := f.trusted(c)
	if err != nil {
		return err
	}
	if f.folder != "" {
		return f.exported(c)
	}
	base, err := fetch.ParseURL(f.url)
	if err != nil {
		return err
	}
	l, err := ledgerOf(base, logs, from)
	if err != nil {
		return err
	}
	if err := f.roll(cmd, c, l, from); err != nil {
		return err
	}
	c.Log = l.year(l.epoch)
	if f.tiles != "" {
		if c.Log, err = fetch.NewCache(filepath.Join(f.tiles, fmt.Sprint(l.epoch)), c.Log); err != nil {
			return err
		}
	}
	if key != nil {
		c.Ledger = provider.NewLedger(l.base, key, c.Now)
	}
	return nil
}

// roll checks the latest year's log also where its key isn't given, but announced by the one before.
func (f *providerFlags) roll(cmd *cobra.Command, c *provider.Check, l *ledgerURL, from string) error {
	vkey, err := l.roll(cmd.Context())
	if err != nil || vkey == "" {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "going on with the log of %d, whose key the log before announced: add it to %s\n  %s\n", l.epoch, from, vkey)
	if c.Policy != nil {
		c.Policy.Logs = append(c.Policy.Logs, checkpoint.Log{VKey: vkey})
		return nil
	}
	c.Logs = append(c.Logs, l.keys[l.epoch]...)
	return nil
}

// trusted reads the policy, or the keys alone, and says where the logs' keys are from.
func (f *providerFlags) trusted(c *provider.Check) (logs []note.Verifier, from string, err error) {
	if f.policy == "" {
		c.Logs, err = readKeys(f.keyFile)
		return c.Logs, "--key " + f.keyFile, err
	}
	from = "--policy " + f.policy
	file, err := cli.ReadFile(f.policy, maxKeys)
	if err != nil {
		return nil, from, fmt.Errorf("couldn't read the policy: %w", err)
	}
	if c.Policy, err = checkpoint.ParsePolicy(file); err != nil {
		return nil, from, cli.Usagef("%s: %w", from, err)
	}
	if (f.submit || f.alarm) && len(c.Policy.Monitors) == 0 {
		return nil, from, cli.Usagef("%s: --submit and --alarm take a policy that names a monitor (group monitors)", from)
	}
	for _, l := range c.Policy.Logs {
		v, err := note.NewVerifier(l.VKey)
		if err != nil {
			return nil, from, cli.Usagef("%s: %w", from, err)
		}
		logs = append(logs, v)
	}
	return logs, from, nil
}

// exported reads the last log of an export, as it was when that was made.
func (f *providerFlags) exported(c *provider.Check) error {
	data, err := os.ReadFile(filepath.Join(f.folder, export.ManifestFile))
	if err != nil {
		return fmt.Errorf("couldn't read the export: %w", err)
	}
	m, err := export.ParseManifest(data)
	if err != nil {
		return fmt.Errorf("couldn't read the export: %w", err)
	}
	made, err := time.Parse(time.RFC3339, m.MadeAt)
	if err != nil || len(m.Logs) == 0 {
		return errors.New("couldn't read the export: its manifest names no log, or no time")
	}
	made = made.Add(time.Second) // which is to the second, cut off
	c.Now, c.Patience = func() time.Time { return made }, 0
	c.Log = checkpoint.FS{FS: os.DirFS(filepath.Join(f.folder, export.LogPath(m.Logs[len(m.Logs)-1].Epoch)))}
	return nil
}

// conclude signs what was found, keeps it, and has it recorded.
func (f *providerFlags) conclude(ctx context.Context, a *providerAnswer, c *provider.Check, r *verifier.ProviderReport, key *agencykey.Key) error {
	var err error
	if a.Statement, err = provider.Sign(r, f.scope, key, time.Now()); err != nil {
		return err
	}
	if f.out != "" {
		data, err := json.Marshal(map[string]string{"statement": a.Statement})
		if err == nil {
			err = durable.Replace(f.out, append(data, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("couldn't write the statement: %w", err)
		}
	}
	if !(r.Proven() && f.submit || !r.Proven() && f.alarm) {
		return nil
	}
	index, err := c.Ledger.Record(ctx, a.Statement)
	if err != nil {
		return &cli.CouldNotCheck{Err: fmt.Errorf("couldn't have the statement recorded: %w", err)}
	}
	a.Index = &index
	return nil
}

func newProviderAnswer(scope string, r *verifier.ProviderReport) *providerAnswer {
	a := &providerAnswer{
		Scope: scope, Origin: r.Checkpoint.Origin, Size: r.Checkpoint.Size, Root: hex.EncodeToString(r.Checkpoint.Root[:]), Head: r.Head,
		Entries: r.Entries, Subjects: r.Subjects, Cohorts: r.Cohorts, Pending: r.Pending, Others: r.Others, Keys: r.Keys, Found: r.Found, Notes: orEmpty(r.Notes),
	}
	if r.Head > 0 {
		a.Until = instant(r.Until)
	}
	a.Result, a.Problems = cli.Unproven, r.Problems
	switch {
	case r.Proven():
		a.Result = cli.Proven
	case r.Head == 0 && len(r.Problems) == 1: // nothing is old enough to be judged
		a.Result = cli.Unchecked
	}
	return a
}

// Text says how the records and the log stand to people.
func (a *providerAnswer) Text(w io.Writer) {
	if a.Head == 0 {
		fmt.Fprintf(w, "%s: %d leaves, all too young to be compared with the records of %s (--in-flight)\n", a.Origin, a.Size, a.Scope)
	} else {
		fmt.Fprintf(w, "%s: %d leaves, compared with the records of %s up to %s (leaf %d)\n", a.Origin, a.Size, a.Scope, a.Until, a.Head)
	}
	fmt.Fprintf(w, "  %d events of %d citizens, %d aggregates; %d too young to be judged; %d lines about other years\n", a.Entries, a.Subjects, a.Cohorts, a.Pending, a.Others)
	fmt.Fprintf(w, "  %d keys were ever registered for %s\n", a.Keys, a.Scope)
	if a.Found > len(a.Problems) {
		fmt.Fprintf(w, "%d problems, of which the first %d follow\n", a.Found, len(a.Problems))
	}
	switch {
	case a.Index != nil:
		fmt.Fprintf(w, "  the statement is recorded at leaf %d\n", *a.Index)
	case a.Statement != "" && a.Result == cli.Proven:
		fmt.Fprintln(w, "  the statement is signed, and not recorded: --submit has the ledger do that")
	case a.Statement != "":
		fmt.Fprintln(w, "  KEEP the records and the log as they are now. --alarm tells everyone that they don't agree")
	}
	for _, n := range a.Notes {
		fmt.Fprintf(w, "  not proven: %s\n", n)
	}
}

// ids cuts a list with commas; nil where there is none.
func ids(list string) (out []string) {
	for id := range strings.SplitSeq(list, ",") {
		if id = strings.TrimSpace(id); id != "" {
			out = append(out, id)
		}
	}
	return out
}

func readOwnKeys(path string) ([]jws.Key, error) {
	data, err := cli.ReadFile(path, maxKeys)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the party's keys: %w", err)
	}
	keys, err := jws.ParseKeys(data)
	if err != nil {
		return nil, cli.Usagef("--keys %s: %w", path, err)
	}
	return keys, nil
}
