// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/fsck"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/policies"
)

type fsckAnswer struct {
	cli.Verdict
	Size          uint64 `json:"size"` // of the newest log, as its root is
	Root          string `json:"root"`
	Events        uint64 `json:"events"`
	Heads         int    `json:"heads"`
	Records       uint64 `json:"records"`
	Receipts      uint64 `json:"receipts"`
	BodiesChecked uint64 `json:"bodies_checked"`
	BodiesErased  uint64 `json:"bodies_erased"`
	Replayed      uint64 `json:"decisions_replayed"`
	Unreplayed    uint64 `json:"decisions_not_replayed"` // their policies can't be read
	PrivateParts  uint64 `json:"private_parts_opened"`
	WrapsUnused   uint64 `json:"wraps_unused"`
	ProblemsFound uint64 `json:"problems_found"` // of which problems lists the first ones
}

func (a *fsckAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%d leaves, root %s\n", a.Size, a.Root)
	fmt.Fprintf(w, "%d events of %d receipts, %d records, %d heads\n", a.Events, a.Receipts, a.Records, a.Heads)
	fmt.Fprintf(w, "%d bodies and %d private parts opened and verified, %d bodies erased\n", a.BodiesChecked, a.PrivateParts, a.BodiesErased)
	if a.Replayed+a.Unreplayed > 0 {
		fmt.Fprintf(w, "%d decisions replayed, %d not\n", a.Replayed, a.Unreplayed)
	}
	if a.WrapsUnused > 0 {
		fmt.Fprintf(w, "%d wrapped keys that nothing uses: no problem\n", a.WrapsUnused)
	}
	if n := a.ProblemsFound; n > uint64(len(a.Problems)) {
		fmt.Fprintf(w, "%d problems, of which the first %d follow\n", n, len(a.Problems))
	}
}

func fsckCommand() *cobra.Command {
	var flags ledgerFlags
	cmd := &cobra.Command{
		Use:   "fsck --data DIR",
		Short: "Verify again everything that a ledger keeps",
		Long: `Recomputes the log from its leaves (tree, tiles, index, heads), opens every
sealed body and private part and compares it with its leaf, its receipt, its
tags and running numbers, and every other row with what it stands for. It needs
the ledger's keys, works on a ledger that nobody serves, and writes nothing.

Each problem names a table and a place in it. Bodies whose keys were erased on
purpose are counted. Each decision is taken again by the policies that were
active at its place; an outsider's check of the public log needs none of this:
see verifier log and verifier export.`,
		Example: `  ledgerd fsck --data /var/lib/traccia
  ledgerd fsck --data /var/lib/traccia --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := runFsck(cmd, flags)
			if err != nil {
				return err
			}
			return cli.Print(cmd, answer)
		},
	}
	flags.add(cmd)
	return cmd
}

func runFsck(cmd *cobra.Command, flags ledgerFlags) (answer *fsckAnswer, err error) {
	ctx := cmd.Context()
	opt, err := flags.options(cmd)
	if err != nil {
		return nil, err
	}
	l, err := node.OpenAtRest(ctx, flags.data, opt)
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("fsck works on a ledger that nobody serves: %w", err)
	} else if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	snap, err := l.Store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()

	var leaves uint64
	for _, epoch := range l.Keys.Epochs() {
		if root, err := engine.StoredRoot(ctx, snap, epoch); err == nil {
			leaves += root.Size
		}
	}
	progress := cli.NewProgress(cmd, "verifying", int64(2*leaves)) // each is read twice
	defer progress.Close()
	authority, err := l.Settings.Authority()
	if err != nil {
		return nil, err
	}
	report, err := fsck.Check(ctx, fsck.Config{
		Name: l.Settings.Name, Rows: snap, Keys: l.Keys, Policies: policies.Open, Authority: authority,
		Progress: func(n int) { progress.Add(int64(n)) },
	})
	if err != nil {
		return nil, err
	}
	answer = &fsckAnswer{
		Size: report.Size, Root: hex.EncodeToString(report.Root[:]), Events: report.Events, Heads: report.Heads,
		Records: report.Records, Receipts: report.Receipts, BodiesChecked: report.BodiesChecked, BodiesErased: report.BodiesErased,
		Replayed: report.Replayed, Unreplayed: report.Unreplayed,
		PrivateParts: report.PrivateParts, WrapsUnused: report.WrapsUnused, ProblemsFound: report.Found,
	}
	answer.Result, answer.Problems = cli.Proven, report.Problems
	if report.Found > 0 {
		answer.Result = cli.Unproven
	}
	return answer, nil
}
