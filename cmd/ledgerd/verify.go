// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

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
	Witnesses  int     `json:"witnesses"` // that cosigned, of the sample policy
	Monitors   int     `json:"monitors"`
	LogKeyFile string  `json:"log_key_file"`
	Seconds    float64 `json:"seconds"`
}

func (s *devSummary) Text(w io.Writer) {
	fmt.Fprintf(w, "%s: %d leaves, %d of them events, %d heads, root %s\n", s.Origin, s.LogSize, s.Events, s.Heads, s.Root)
	fmt.Fprintf(w, "%d accesses recorded and the whole log verified from outside in %.1f s\n", s.Receipts, s.Seconds)
}

// verifyDev reads the whole log over HTTP, knowing nothing but the policy: the
// signatures of log, witness and monitor on the checkpoint, every leaf and tile
// against its root, every head against the index and scopes recomputed.
func verifyDev(ctx context.Context, cmd *cobra.Command, r ready) (*devSummary, error) {
	s := &devSummary{LogKeyFile: r.LogKeyFile}
	base, err := fetch.ParseURL(r.URL)
	if err != nil {
		return nil, err
	}
	log := fetch.NewLog(base.JoinPath("log", strconv.FormatUint(uint64(r.node.Epoch()), 10)))
	cp, err := cosigned(ctx, log, r.PolicyFile)
	if err != nil {
		return nil, err
	}
	s.Witnesses, s.Monitors = len(cp.Witnesses), len(cp.Monitors)
	s.Origin, s.LogSize, s.Root = cp.Origin, cp.Size, hex.EncodeToString(cp.Root[:])
	follow, err := replay.New(cp.Origin)
	if err != nil {
		return nil, err
	}
	progress := cli.NewProgress(cmd, "verifying the log", int64(cp.Size))
	defer progress.Close()
	reader := checkpoint.NewReader(log)
	reader.Tiles = true
	err = reader.Read(ctx, cp.Checkpoint, func(_ uint64, leaf []byte) error {
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

// cosignPatience is how long the sample monitor may take to read what was loaded.
const cosignPatience = 15 * time.Second

// cosigned returns the published checkpoint once it has all the signatures that
// the policy asks for.
func cosigned(ctx context.Context, log *fetch.Log, policyFile string) (c checkpoint.Cosigned, err error) {
	file, err := os.ReadFile(policyFile)
	if err != nil {
		return c, err
	}
	policy, err := checkpoint.ParsePolicy(file)
	if err != nil {
		return c, fmt.Errorf("couldn't read %s: %w", policyFile, err)
	}
	for end := time.Now().Add(cosignPatience); ; {
		signed, err := log.Fetch(ctx, verifier.CheckpointPath)
		if err != nil {
			return c, err
		}
		c, err = policy.Open(signed)
		switch {
		case err == nil && len(c.Monitors) > 0:
			return c, nil
		case err != nil && !errors.Is(err, checkpoint.ErrQuorum) || time.Now().After(end):
			return c, errors.Join(errors.New("the published checkpoint lacks cosignatures"), err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return c, ctx.Err()
		}
	}
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
