// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/policies"
)

// policyCall activates a bundle, or asks for the active one.
type policyCall struct {
	Activate []byte `json:"activate,omitempty"` // a bundle's document
}

// doPolicy returns the document of the active bundle, nil where there is none.
func doPolicy(ctx context.Context, n *node.Node, call *policyCall) (index uint64, document []byte, err error) {
	if call.Activate != nil {
		index, err = n.ActivatePolicies(ctx, call.Activate)
		return index, nil, err
	}
	active, ok := n.Registry().Policy(math.MaxUint64)
	if !ok {
		return 0, nil, nil
	}
	document, err = n.Blob(ctx, ledger.Hash(active.SHA256))
	return 0, document, err
}

// activatedAnswer says which bundle decides from now on.
type activatedAnswer struct {
	cli.Done
	Version     string `json:"version"`
	SHA256      string `json:"sha256"`
	Policies    int    `json:"policies"`
	RecordIndex uint64 `json:"record_index"`
}

func (a *activatedAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "bundle %s, %s: %d policies decide on whatever is recorded after record %d of the log\n", a.Version, a.SHA256, a.Policies, a.RecordIndex)
}

func policyActivateCommand() *cobra.Command {
	var flags ledgerFlags
	cmd := &cobra.Command{
		Use:   "activate [DIR|FILE]",
		Short: "Decide by a bundle from now on",
		Long: `Records in public which policies decide on accesses from now on. The log serves
the bundle by its digest, so that anyone can replay each decision.

DIR is a bundle's directory, FILE its document. Without either the bundle is the
default one that this program carries. Before a change, see what it changes:

  ledgerd policy diff OLD NEW`,
		Example: `  ledgerd policy activate --data /var/lib/traccia
  ledgerd policy activate policies/ours --data /var/lib/traccia`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			engine, err := policies.Compile(policies.Default())
			if len(args) == 1 {
				engine, err = readEngine(args[0])
			}
			if err != nil {
				return err
			}
			reply, err := adminDo(cmd, &flags, adminCall{Policy: &policyCall{Activate: engine.Document()}})
			if err != nil {
				return err
			}
			digest := engine.Digest()
			return cli.Print(cmd, &activatedAnswer{
				Version: engine.Version(), SHA256: hex.EncodeToString(digest[:]), Policies: len(engine.Policies()), RecordIndex: reply.Index,
			})
		},
	}
	flags.add(cmd)
	return cmd
}

// shownAnswer says what a bundle says.
type shownAnswer struct {
	cli.Done
	Active      bool          `json:"active"` // false: no bundle is, accesses are recorded and not decided on
	Version     string        `json:"version,omitempty"`
	SHA256      string        `json:"sha256,omitempty"`
	Description string        `json:"description,omitempty"`
	Policies    []shownPolicy `json:"policies"`
}

type shownPolicy struct {
	ID        string `json:"id"`
	Effect    string `json:"effect"` // permit or forbid
	Reference string `json:"reference"`
	ReasonIt  string `json:"reason_it"`
	ReasonEn  string `json:"reason_en"`
}

func (a *shownAnswer) Text(w io.Writer) {
	if !a.Active {
		fmt.Fprintln(w, "no policies are active: accesses are recorded, and not decided on")
		return
	}
	fmt.Fprintf(w, "bundle %s, %s\n%s\n", a.Version, a.SHA256, a.Description)
	for _, p := range a.Policies {
		fmt.Fprintf(w, "\n%s %s\n  %s\n  %s\n  %s\n", p.Effect, p.ID, p.Reference, p.ReasonIt, p.ReasonEn)
	}
}

func policyShowCommand() *cobra.Command {
	var flags ledgerFlags
	var out string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the active policies",
		Example: `  ledgerd policy show --data /var/lib/traccia
  ledgerd policy show --data /var/lib/traccia --out active.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			reply, err := adminDo(cmd, &flags, adminCall{Policy: &policyCall{}})
			if err != nil {
				return err
			}
			answer := &shownAnswer{Policies: []shownPolicy{}}
			if reply.File == nil {
				return cli.Print(cmd, answer)
			}
			engine, err := policies.Compile(reply.File)
			if err != nil {
				return err
			}
			if out != "" {
				if err := os.WriteFile(out, reply.File, 0o644); err != nil {
					return fmt.Errorf("couldn't write the bundle: %w", err)
				}
			}
			digest := engine.Digest()
			answer.Active, answer.Version, answer.SHA256 = true, engine.Version(), hex.EncodeToString(digest[:])
			answer.Description = engine.Bundle().DescriptionEn
			for _, p := range engine.Policies() {
				shown := shownPolicy{ID: p.ID, Effect: "permit", Reference: p.Reference, ReasonIt: p.ReasonIt, ReasonEn: p.ReasonEn}
				if p.Forbids {
					shown.Effect = "forbid"
				}
				answer.Policies = append(answer.Policies, shown)
			}
			return cli.Print(cmd, answer)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "also write the bundle's document")
	return cmd
}
