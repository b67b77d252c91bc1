// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/store"
)

type reindexAnswer struct {
	cli.Verdict
	Logs []reindexedLog `json:"logs"`
}

type reindexedLog struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"` // leaves of the log
	Keys   uint64 `json:"keys"`
	Root   string `json:"root"` // of the index over all of them
	Heads  int    `json:"heads_checked"`
	Wrong  int    `json:"heads_wrong"`
}

func (a *reindexAnswer) Text(w io.Writer) {
	for _, l := range a.Logs {
		fmt.Fprintf(w, "%s: %d leaves, %d keys, index root %s\n", l.Origin, l.Size, l.Keys, l.Root)
		fmt.Fprintf(w, "%d heads compared, %d wrong\n", l.Heads, l.Wrong)
		if l.Wrong > 0 {
			fmt.Fprintln(w, "the key file is as it was: the ledger won't serve an index that its own heads deny")
		}
	}
}

func reindexCommand() *cobra.Command {
	var flags ledgerFlags
	cmd := &cobra.Command{
		Use:   "reindex --data DIR",
		Short: "Make the index again from the log",
		Long: `Reads every leaf of every log, makes the index of tags anew, compares each
head of the log with it, and replaces the key files in DIR/index. The index is
derived from the log: nothing is lost by this, and no key is needed. It works
on a ledger that nobody serves.

A head that states another index than the leaves before it give is a fault of
whoever wrote it; the log can't be changed, and the ledger refuses to serve.`,
		Example: `  ledgerd reindex --data /var/lib/traccia
  ledgerd reindex --data /var/lib/traccia --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := runReindex(cmd, flags)
			if err != nil {
				return err
			}
			return cli.Print(cmd, answer)
		},
	}
	flags.addPlace(cmd)
	return cmd
}

func runReindex(cmd *cobra.Command, flags ledgerFlags) (*reindexAnswer, error) {
	opt, err := flags.place(cmd)
	if err != nil {
		return nil, err
	}
	var progress *cli.Progress
	defer func() { progress.Close() }()
	logs, err := node.Reindex(cmd.Context(), flags.data, opt, func(origin string, leaves uint64) func(uint64) {
		progress.Close()
		progress = cli.NewProgress(cmd, "reading "+origin, int64(leaves))
		return func(n uint64) { progress.Add(int64(n)) }
	})
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("reindex works on a ledger that nobody serves: %w", err)
	} else if err != nil {
		return nil, err
	}
	answer := &reindexAnswer{Verdict: cli.Verdict{Result: cli.Proven}}
	for _, l := range logs {
		answer.Logs = append(answer.Logs, reindexedLog{
			Origin: l.Origin, Size: l.Size, Keys: l.Keys, Root: hex.EncodeToString(l.Root[:]), Heads: l.Heads, Wrong: len(l.Wrong),
		})
		for _, wrong := range l.Wrong {
			answer.Problems = append(answer.Problems, ledger.Problem{
				Code: "wrong_head", Where: fmt.Sprintf("log/%s/%d", l.Origin, wrong.Index),
				Expected: fmt.Sprintf("%d keys and root %x", wrong.Keys, wrong.Root),
				Found:    fmt.Sprintf("%d keys and root %x", wrong.Stated.Keys, wrong.Stated.Root),
			})
		}
	}
	return answer, nil
}
