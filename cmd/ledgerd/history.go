// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// historyCall asks for a citizen's history, or for an excerpt of it.
type historyCall struct {
	Subject ledger.Subject `json:"subject"`
	Excerpt []string       `json:"excerpt,omitempty"` // YEAR/INDEX, or INDEX in the year of now
}

type historyAnswer struct {
	cli.Done
	File     string   `json:"file"`
	Bytes    int      `json:"bytes"`
	Events   int      `json:"events"`
	Scopes   int      `json:"scopes"`
	Head     uint64   `json:"head_index"`
	Excerpt  bool     `json:"excerpt"`
	Cosigned int      `json:"cosignatures"` // of the last year's checkpoint
	Years    int      `json:"years"`
	Gone     []uint32 `json:"years_gone,omitempty"` // that nobody can show any more
	Warning  string   `json:"warning,omitempty"`
}

func (a *historyAnswer) Text(w io.Writer) {
	what := "history"
	if a.Excerpt {
		what = "excerpt"
	}
	fmt.Fprintf(w, "%s: %s of %d events, %d bytes. The look-up is recorded, once a month.\n", a.File, what, a.Events, a.Bytes)
	fmt.Fprintf(w, "Check it with: verifier history %s --policy POLICY\n", a.File)
	if a.Cosigned == 0 {
		fmt.Fprintln(w, "No witness cosigned it yet, so it isn't complete: ask again where the ledger is served, or once its witnesses answer.")
	}
	if len(a.Gone) > 0 {
		fmt.Fprintf(w, "Not in it: %s, whose retention is over. The ledger destroyed the keys by which a person's events could be found.\n", strings.Trim(fmt.Sprint(a.Gone), "[]"))
	}
	if a.Warning != "" {
		fmt.Fprintf(w, "WARNING: %s\n", a.Warning)
	}
}

func historyCommand() *cobra.Command {
	var flags ledgerFlags
	var subjectFile, out, excerpt string
	cmd := &cobra.Command{
		Use:   "history --subject-file F --out FILE",
		Short: "Write all that the ledger holds about a citizen, with proofs",
		Long: `Writes a citizen's history to a file: every event about them, opened, with the proof
that nothing is left out. They check it offline with verifier history; see
docs/history.md.

The look-up leaves an event of its own in the citizen's list, signed with the
operator's key, at most one a month. The command waits until the ledger has
published a state that witnesses saw; start it where the ledger is served.

The code comes from a file, so that it stands in no process list.

WARNING: whoever has the whole file can recognise each further event of its citizen
in the public log until the year ends. Hand it to the citizen alone. --excerpt
writes chosen events alone, which is fit to be shown to others.`,
		Example: `  ledgerd history --subject-file person.txt --out person.history
  ledgerd history --subject-file person.txt --out to-show.history --excerpt 2026/69990,2026/70120`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			subject, err := readSubject(subjectFile)
			if err != nil {
				return err
			}
			call := &historyCall{Subject: subject}
			if excerpt != "" {
				call.Excerpt = strings.Split(excerpt, ",")
			}
			reply, err := adminDo(cmd, &flags, adminCall{History: call})
			if err != nil {
				return err
			}
			a, err := writeHistory(out, reply.File)
			if err != nil {
				return err
			}
			a.Gone = reply.Gone
			return cli.Print(cmd, a)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&subjectFile, "subject-file", "", "file with the citizen's code")
	cmd.Flags().StringVar(&out, "out", "", "the file to write")
	cmd.Flags().StringVar(&excerpt, "excerpt", "", "only these events: YEAR/INDEX, …")
	cmd.MarkFlagRequired("subject-file")
	cmd.MarkFlagRequired("out")
	cmd.MarkFlagFilename("subject-file")
	cmd.MarkFlagFilename("out")
	return cmd
}

// doHistory records the look-up and makes the file.
func doHistory(ctx context.Context, n *node.Node, call *historyCall) ([]byte, error) {
	subject, err := ledger.ParseSubject(string(call.Subject))
	if err != nil {
		return nil, err
	}
	if err := n.LookUpFor(ctx, subject); err != nil {
		return nil, fmt.Errorf("couldn't record the look-up: %w", err)
	}
	b, err := n.History(ctx, subject)
	if err != nil {
		return nil, err
	}
	if len(call.Excerpt) > 0 {
		chosen, err := parseChosen(n.Epoch(), call.Excerpt)
		if err != nil {
			return nil, err
		}
		if b, err = b.Choose(chosen); err != nil {
			return nil, err
		}
	}
	return history.Format(b)
}

// parseChosen reads YEAR/INDEX, or INDEX alone in the year of now.
func parseChosen(now uint32, words []string) (map[uint32][]uint64, error) {
	chosen := map[uint32][]uint64{}
	for _, word := range words {
		year, at, found := strings.Cut(strings.TrimSpace(word), "/")
		if !found {
			year, at = fmt.Sprint(now), year
		}
		epoch, err := strconv.ParseUint(year, 10, 32)
		index, wrong := strconv.ParseUint(at, 10, 64)
		if err != nil || wrong != nil {
			return nil, &ledger.Problem{Code: ledger.CodeBadValue, Where: "--excerpt", Expected: "YEAR/INDEX, …", Found: "something else"}
		}
		chosen[uint32(epoch)] = append(chosen[uint32(epoch)], index)
	}
	return chosen, nil
}

// writeHistory writes the file for its owner alone, and says what is in it.
func writeHistory(path string, file []byte) (*historyAnswer, error) {
	b, err := history.Parse(file)
	if err != nil {
		return nil, fmt.Errorf("the ledger gave something else than a history: %w", err)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return nil, fmt.Errorf("couldn't write the history: %w", err)
	}
	a := &historyAnswer{File: path, Bytes: len(file), Excerpt: b.Excerpt}
	for _, s := range b.Shards {
		a.Events += len(s.Events)
		a.Years++
		a.Scopes, a.Head = len(s.Lists), s.Head
		// Behind the text and the log's own signature there is a line for each.
		a.Cosigned = strings.Count(string(s.Checkpoint), "\n\u2014 ") - 1
	}
	if !b.Excerpt {
		a.Warning = "whoever has this file can recognise each further event of its citizen in the public log until the year ends; hand it to them alone"
	}
	return a, nil
}
