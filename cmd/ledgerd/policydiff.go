// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
)

// diffAnswer says on what two bundles decide differently.
type diffAnswer struct {
	cli.Verdict
	Old      diffBundle            `json:"old"`
	New      diffBundle            `json:"new"`
	Domain   []policies.DomainFact `json:"domain"`
	Size     string                `json:"domain_size"` // combinations, a decimal number
	Classes  string                `json:"told_apart"`  // combinations that the bundles tell apart
	Steps    int                   `json:"steps"`
	Allowed  []policies.Group      `json:"becomes_allowed"`
	Excepted []policies.Group      `json:"becomes_allowed_excepted"`
	Denied   []policies.Group      `json:"becomes_denied"`
}

type diffBundle struct {
	Version  string `json:"version"`
	SHA256   string `json:"sha256"`
	Policies int    `json:"policies"`
}

func (a *diffAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "from %s (%d policies) to %s (%d policies)\n", a.Old.Version, a.Old.Policies, a.New.Version, a.New.Policies)
	var facts []string
	for _, d := range a.Domain {
		facts = append(facts, fmt.Sprintf("%s %d", d.Fact, d.Values))
	}
	fmt.Fprintf(w, "domain: %s\n%s combinations, of which the two tell %s apart\n", strings.Join(facts, ", "), a.Size, a.Classes)
	for _, part := range []struct {
		title  string
		groups []policies.Group
	}{{"BECOMES ALLOWED", a.Allowed}, {"becomes allowed, as an exception says", a.Excepted}, {"becomes denied", a.Denied}} {
		if len(part.groups) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s:\n", part.title)
		for _, g := range part.groups {
			fmt.Fprintf(w, "  %s\n    before: %s; after: %s\n", g.String(), reason(g.Before), reason(g.After))
		}
	}
	if len(a.Allowed)+len(a.Excepted)+len(a.Denied) == 0 {
		fmt.Fprintln(w, "\nnothing becomes allowed or denied")
	}
	fmt.Fprintln(w)
}

func reason(r policies.Reason) string {
	switch {
	case len(r.Policies) > 0 && r.Effect == ledger.EffectAllow:
		return "allowed by " + strings.Join(r.Policies, ", ")
	case len(r.Policies) > 0:
		return "forbidden by " + strings.Join(r.Policies, ", ")
	}
	return "allowed by no policy"
}

func policyDiffCommand() *cobra.Command {
	var except string
	var allowNew bool
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "List everything that two bundles decide differently",
		Long: `Compares two bundles on everything that an access can be, in the words of their
vocabularies, and lists each combination that becomes allowed or denied, grouped.
In a group every choice of one of the values of each fact changes alike; facts
that aren't named don't matter.

Exit 1 when something becomes allowed, unless --allow-new says that this is the
intention, or --except names a file that says where it may: permit policies in
Cedar, of which only the conditions count.

  permit (principal, action, resource == Category::"isee") when { context.purpose == "isee-check" };

OLD and NEW are directories of bundles or files of their documents, such as
policy show writes.`,
		Example: `  ledgerd policy show --data /var/lib/traccia --out active.json
  ledgerd policy diff active.json policies/ours --except agreed.cedar`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var engines [2]*policies.Engine
			for i := range engines {
				var err error
				if engines[i], err = readEngine(args[i]); err != nil {
					return fmt.Errorf("%s: %w", args[i], err)
				}
			}
			var exceptions policies.Exceptions
			if except != "" {
				text, err := os.ReadFile(except)
				if err != nil {
					return fmt.Errorf("couldn't read the exceptions: %w", err)
				}
				if exceptions, err = policies.ParseExceptions(except, text); err != nil {
					return err
				}
			}
			var progress *cli.Progress
			told := 0
			d, err := policies.Diff(cmd.Context(), engines[0], engines[1], exceptions, func(done, total int) {
				if told == 0 {
					progress = cli.NewProgress(cmd, "comparing", int64(total))
				}
				progress.Add(int64(done - told))
				told = done
			})
			progress.Close()
			if err != nil {
				return err
			}
			return cli.Print(cmd, newDiffAnswer(engines, d, allowNew))
		},
	}
	cmd.Flags().StringVar(&except, "except", "", "file that says where the new bundle may allow more")
	cmd.Flags().BoolVar(&allowNew, "allow-new", false, "what becomes allowed is meant to")
	return cmd
}

func newDiffAnswer(engines [2]*policies.Engine, d *policies.Difference, allowNew bool) *diffAnswer {
	a := &diffAnswer{
		Domain: d.Domain, Size: d.Size.String(), Classes: d.Classes.String(), Steps: d.Steps,
		Allowed: []policies.Group{}, Excepted: []policies.Group{}, Denied: []policies.Group{},
	}
	for i, into := range []*diffBundle{&a.Old, &a.New} {
		digest := engines[i].Digest()
		*into = diffBundle{engines[i].Version(), hex.EncodeToString(digest[:]), len(engines[i].Policies())}
	}
	for _, g := range d.Groups {
		switch g.Change {
		case policies.Allowed:
			a.Allowed = append(a.Allowed, g)
		case policies.Excepted:
			a.Excepted = append(a.Excepted, g)
		default:
			a.Denied = append(a.Denied, g)
		}
	}
	a.Result = cli.Proven
	if len(a.Allowed) > 0 && !allowNew {
		a.Problems = []ledger.Problem{{
			Code: "more_permissive", Where: "becomes_allowed", Expected: "nothing that becomes allowed, but where --except says so",
			Found: fmt.Sprintf("%d groups of combinations", len(a.Allowed)),
		}}
	}
	return a
}
