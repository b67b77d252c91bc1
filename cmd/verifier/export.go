// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/verifier"
)

// exportAnswer is the verdict on the folder of an export.
type exportAnswer struct {
	cli.Verdict
	Ledger        string        `json:"ledger"`
	MadeAt        string        `json:"made_at"` // as the folder says
	Bodies        bool          `json:"bodies"`
	Logs          []exportedLog `json:"logs"`
	ProblemsFound uint64        `json:"problems_found"` // of which problems lists the first ones
	folder        string
}

type exportedLog struct {
	Origin        string `json:"origin"`
	Size          uint64 `json:"size"`
	Root          string `json:"root"`
	Events        uint64 `json:"events"`
	Heads         int    `json:"heads"`
	Records       uint64 `json:"records"`
	BodiesChecked uint64 `json:"bodies_checked"`
	BodiesErased  uint64 `json:"bodies_erased"`
	Replayed      uint64 `json:"decisions_replayed"`
	Unreplayed    uint64 `json:"decisions_not_replayed"` // their policies can't be read
}

func (a *exportAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s: an export of %s, made at %s\n", a.folder, a.Ledger, a.MadeAt)
	for _, l := range a.Logs {
		fmt.Fprintf(w, "  %s: %d leaves, root %s\n", l.Origin, l.Size, l.Root)
		fmt.Fprintf(w, "    %d events, %d records and %d heads read and recomputed\n", l.Events, l.Records, l.Heads)
		if a.Bodies {
			fmt.Fprintf(w, "    %d bodies verified against their leaves and receipts; %d are said to be erased, which is not checked here\n", l.BodiesChecked, l.BodiesErased)
			fmt.Fprintf(w, "    %d decisions replayed, %d not\n", l.Replayed, l.Unreplayed)
		}
	}
	if n := a.ProblemsFound; n > uint64(len(a.Problems)) {
		fmt.Fprintf(w, "%d problems, of which the first %d follow\n", n, len(a.Problems))
	}
}

func exportCommand() *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use:   "export FOLDER --key FILE",
		Short: "Check the folder of an export, offline",
		Long: `export checks what ledgerd export wrote, without the ledger and without its
software: the digests of all files, each log's checkpoint, every leaf and tile
against it, every head and record. Where the export has events, each is compared
with its leaf, its receipt's signature and the records before it.

It can't tell whether a citizen's list is complete, on what ground an event was
erased, or whether everyone sees the same log: see verifier history and verifier
log.`,
		Example: `  verifier export traccia-2026 --key log.vkey
  verifier export traccia-2026 --key log.vkey --json`,
		Args: oneArgument("the folder of an export"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := checkExport(cmd, args[0], keyFile)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the logs' verifier keys (log.vkey), one a line")
	cmd.MarkFlagRequired("key")
	cmd.MarkFlagFilename("key", "vkey")
	return cmd
}

func checkExport(cmd *cobra.Command, folder, keyFile string) (*exportAnswer, error) {
	logs, err := readKeys(keyFile)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(folder); err != nil {
		return nil, fmt.Errorf("couldn't read the export: %w", err)
	} else if !info.IsDir() {
		return nil, cli.Usagef("%s is no folder", folder)
	}
	progress := cli.NewProgress(cmd, "verifying", leavesToRead(folder))
	defer progress.Close()
	found := newBundles()
	if err := found.addFolder(os.DirFS(folder), "log/*/blob/*"); err != nil {
		return nil, err
	}
	report, err := verifier.Export(cmd.Context(), os.DirFS(folder), logs, verifier.Rules{Policies: found.find}, func(n int) { progress.Add(int64(n)) })
	if err != nil {
		return nil, fmt.Errorf("couldn't read the export: %w", err)
	}
	a := &exportAnswer{folder: folder, Logs: []exportedLog{}, ProblemsFound: report.Found}
	a.Result, a.Problems = cli.Proven, report.Problems
	if report.Found > 0 {
		a.Result = cli.Unproven
	}
	if m := report.Manifest; m != nil {
		a.Ledger, a.MadeAt, a.Bodies = m.Ledger, m.MadeAt, m.Bodies
	}
	for _, l := range report.Logs {
		a.Logs = append(a.Logs, exportedLog{
			Origin: l.Origin, Size: l.Size, Root: hex.EncodeToString(l.Root[:]),
			Events: l.Events, Heads: l.Heads, Records: l.Records, BodiesChecked: l.Opened, BodiesErased: l.Erased,
			Replayed: l.Replayed, Unreplayed: l.Unreplayed,
		})
	}
	return a, nil
}

// leavesToRead is how long the bar will be; 0 when the manifest doesn't tell.
func leavesToRead(folder string) (leaves int64) {
	data, err := cli.ReadFile(filepath.Join(folder, export.ManifestFile), maxKeys)
	if err != nil {
		return 0
	}
	m, err := export.ParseManifest(data)
	if err != nil {
		return 0
	}
	for _, l := range m.Logs {
		leaves += int64(l.Size)
	}
	if m.Bodies {
		leaves *= 2
	}
	return leaves
}
