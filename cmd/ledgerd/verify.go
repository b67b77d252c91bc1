// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/verifier"
)

// devSummary is what dev --once found by reading the public log.
type devSummary struct {
	cli.Verdict
	Receipts   int     `json:"receipts"` // recorded by this run
	Events     uint64  `json:"events"`   // type-1 leaves
	LogSize    uint64  `json:"log_size"` // all leaves
	Heads      int     `json:"heads"`
	Root       string  `json:"root"`
	Origin     string  `json:"origin"`
	LogKeyFile string  `json:"log_key_file"`
	Seconds    float64 `json:"seconds"`
}

func (s *devSummary) Text(w io.Writer) {
	fmt.Fprintf(w, "%s: %d leaves, %d of them events, %d heads, root %s\n", s.Origin, s.LogSize, s.Events, s.Heads, s.Root)
	fmt.Fprintf(w, "%d accesses recorded and the whole log verified from outside in %.1f s\n", s.Receipts, s.Seconds)
}

// verifyDev reads the whole log over HTTP, knowing nothing but its key file:
// the checkpoint's signature, every leaf and tile against its root, every head
// against the index and scopes recomputed.
func verifyDev(ctx context.Context, cmd *cobra.Command, r ready) (*devSummary, error) {
	s := &devSummary{LogKeyFile: r.LogKeyFile}
	vkeys, err := os.ReadFile(r.LogKeyFile)
	if err != nil {
		return nil, err
	}
	logs, err := checkpoint.ParseKeys(vkeys)
	if err != nil {
		return nil, err
	}
	base, err := fetch.ParseURL(r.URL)
	if err != nil {
		return nil, err
	}
	log := fetch.NewLog(base.JoinPath("log", strconv.FormatUint(uint64(r.node.Epoch), 10)))
	signed, err := log.Fetch(ctx, verifier.CheckpointPath)
	if err != nil {
		return nil, err
	}
	cp, err := checkpoint.Open(signed, logs...)
	if err != nil {
		return nil, err
	}
	s.Origin, s.LogSize, s.Root = cp.Origin, cp.Size, hex.EncodeToString(cp.Root[:])
	follow, err := replay.New(cp.Origin)
	if err != nil {
		return nil, err
	}
	progress := cli.NewProgress(cmd, "verifying the log", int64(cp.Size))
	defer progress.Close()
	reader := checkpoint.NewReader(log)
	reader.Tiles = true
	err = reader.Read(ctx, cp, func(_ uint64, leaf []byte) error {
		follow.Add(leaf)
		progress.Add(1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	report := follow.Report()
	s.Events, s.Heads = report.Events, len(report.Heads)
	s.Problems = alarms(&report)
	if report.OK() && report.LogRoot == cp.Root {
		s.Result = cli.Proven
	} else {
		s.Result = cli.Unproven
	}
	return s, nil
}

// alarms says what a reader of the log found wrong.
func alarms(report *replay.Report) (problems []ledger.Problem) {
	for _, p := range report.Problems {
		problems = append(problems, ledger.Problem{Code: p.Code, Where: fmt.Sprintf("leaf %d", p.Leaf), Expected: "a leaf that the formats allow here", Found: p.What})
	}
	for _, d := range report.Duplicates {
		problems = append(problems, ledger.Problem{Code: "duplicate_tag", Where: fmt.Sprintf("leaf %d", d.Again), Expected: "a tag not used before", Found: fmt.Sprintf("the %s tag of leaf %d", d.Tag, d.First)})
	}
	for _, h := range report.Heads {
		if wrong := h.Wrong(); len(wrong) > 0 {
			problems = append(problems, ledger.Problem{Code: "wrong_head", Where: fmt.Sprintf("leaf %d", h.Leaf), Expected: "what the leaves before it give", Found: "another " + strings.Join(wrong, ", ")})
		}
	}
	return problems
}
