// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
)

func policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Test, compare and activate the policies by which accesses are allowed",
		Long: `Policies say which body may consult which data for which purpose. A version of
them, with the vocabulary they speak, is a bundle: a directory to work on
(policies/default in the source tree), and one JSON document with a digest that
the log commits to when it is activated.`,
	}
	cmd.AddCommand(policyTestCommand(), policyDiffCommand(), policyActivateCommand(), policyShowCommand())
	return cmd
}

// readEngine reads a bundle: a directory with bundle.json, or a file with the document.
func readEngine(path string) (*policies.Engine, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the bundle: %w", err)
	}
	var document []byte
	if info.IsDir() {
		fsys, dir, err := bundleDir(path)
		if err != nil {
			return nil, err
		}
		bundle, err := policies.ReadSource(fsys, dir)
		if err != nil {
			return nil, err
		}
		if document, err = bundle.Format(); err != nil {
			return nil, err
		}
	} else if document, err = os.ReadFile(path); err != nil {
		return nil, fmt.Errorf("couldn't read the bundle: %w", err)
	}
	return policies.Compile(document)
}

// bundleDir gives the directory in which a bundle's directory lies, since its vocabulary may lie beside it.
func bundleDir(path string) (fsys fs.FS, dir string, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, "", fmt.Errorf("couldn't find the bundle: %w", err)
	}
	return os.DirFS(filepath.Dir(abs)), filepath.Base(abs), nil
}

// testAnswer says which scenarios hold.
type testAnswer struct {
	cli.Verdict
	Version   string             `json:"version"`
	SHA256    string             `json:"sha256"`
	Policies  int                `json:"policies"`
	Scenarios int                `json:"scenarios"`
	Failed    []policies.Outcome `json:"failed"`
}

func (a *testAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "bundle %s, %s: %d policies, %d scenarios\n", a.Version, a.SHA256, a.Policies, a.Scenarios)
}

func policyTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test DIR",
		Short: "Decide the scenarios of a bundle and compare",
		Long: `Reads the bundle in DIR, as activate would, and decides every scenario in
DIR/scenarios: accesses with what is expected of them. Exit 1 when one doesn't
hold.`,
		Example: "  ledgerd policy test policies/default",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			engine, err := readEngine(args[0])
			if err != nil {
				return err
			}
			fsys, dir, err := bundleDir(args[0])
			if err != nil {
				return err
			}
			outcomes, err := engine.TestScenarios(fsys, dir)
			if err != nil {
				return cli.Usagef("%w", err)
			}
			digest := engine.Digest()
			answer := &testAnswer{
				Version: engine.Version(), SHA256: hex.EncodeToString(digest[:]), Policies: len(engine.Policies()),
				Scenarios: len(outcomes), Failed: []policies.Outcome{},
			}
			answer.Result = cli.Proven
			for _, o := range outcomes {
				if !o.OK {
					answer.Failed = append(answer.Failed, o)
					answer.Problems = append(answer.Problems, ledger.Problem{
						Code: "scenario", Where: o.File + "#" + o.Name, Expected: o.Expected, Found: fmt.Sprintf("%s by %v", o.Effect, o.Policies),
					})
				}
			}
			return cli.Print(cmd, answer)
		},
	}
}
