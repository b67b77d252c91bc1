// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/browser"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/node"
)

func verifierCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verifier",
		Short: "Build the verifier that citizens' browsers run, and record its digest",
		Long: `Citizens' browsers check histories themselves, with a verifier compiled for them
(docs/verify.md). It is a directory of files. The same source and toolchain build
the same, byte for byte; the log records which one the ledger hands out, so that
anyone can compare.`,
	}
	cmd.AddCommand(verifierBuildCommand(), verifierPublishCommand())
	return cmd
}

type verifierAnswer struct {
	cli.Done
	Dir         string  `json:"dir"`
	SHA256      string  `json:"sha256"` // of SHA256SUMS
	WASM        string  `json:"wasm_sha256"`
	Toolchain   string  `json:"toolchain"`
	RecordIndex *uint64 `json:"record_index,omitempty"` // of publish
}

func newVerifierAnswer(dir string, s *browser.Site) *verifierAnswer {
	return &verifierAnswer{Dir: dir, SHA256: hex.EncodeToString(s.Digest[:]), WASM: hex.EncodeToString(s.WASM[:]), Toolchain: s.Made.Toolchain}
}

func (a *verifierAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s: SHA256SUMS %s, verifier.wasm %s, built with %s\n", a.Dir, a.SHA256, a.WASM, a.Toolchain)
	if a.RecordIndex != nil {
		fmt.Fprintf(w, "recorded at index %d of the log, which serves SHA256SUMS as blob/%s\n", *a.RecordIndex, a.SHA256)
	}
}

func verifierBuildCommand() *cobra.Command {
	b := browser.Build{Source: "."}
	cmd := &cobra.Command{
		Use:   "build --out DIR",
		Short: "Build it from its source, with the go command",
		Long: `Compiles the verifier for browsers and writes a site of files alone: for ledgerd
serve --browser-verifier, or for any web server. Whoever builds the same source
with the same toolchain gets the same SHA256SUMS:

  sha256sum DIR/SHA256SUMS`,
		Example: `  go run ./cmd/ledgerd verifier build --out /var/lib/traccia-verifier/1.0.0`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(b.Out); !errors.Is(err, os.ErrNotExist) {
				return cli.Usagef("--out %s is there already", b.Out)
			}
			err := b.Run(cmd.Context())
			if errors.Is(err, browser.ErrNoSource) {
				return fmt.Errorf("%w\nhint: run it in a checkout of the source, with Go in PATH, or name the checkout with --source", err)
			}
			if err != nil {
				return err
			}
			s, err := browser.Open(b.Out)
			if err != nil {
				return err
			}
			return cli.Print(cmd, newVerifierAnswer(b.Out, s))
		},
	}
	cmd.Flags().StringVar(&b.Out, "out", "", "directory to make")
	cmd.Flags().StringVar(&b.Source, "source", b.Source, "checkout of the source")
	cmd.MarkFlagRequired("out")
	cmd.MarkFlagDirname("out")
	cmd.MarkFlagDirname("source")
	return cmd
}

// buildCall records a verifier that was built.
type buildCall struct {
	Sums      []byte `json:"sums"`
	Version   string `json:"version"`
	Toolchain string `json:"toolchain"`
}

func verifierPublishCommand() *cobra.Command {
	var flags ledgerFlags
	var version string
	cmd := &cobra.Command{
		Use:   "publish DIR --version VERSION",
		Short: "Record in public which verifier the ledger hands out",
		Long: `Records the digest of a built verifier in the log, and lets the log serve its
SHA256SUMS. Browsers get it from ledgerd serve --browser-verifier DIR only once it
is recorded. VERSION says of which source it is, say a tag or commit, so that
others can build the same.`,
		Example: `  ledgerd verifier publish /var/lib/traccia-verifier/1.0.0 --version v1.0.0 --data /var/lib/traccia`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := browser.Open(args[0])
			if err != nil {
				return err
			}
			reply, err := adminDo(cmd, &flags, adminCall{Build: &buildCall{s.Sums, version, s.Made.Toolchain}})
			if err != nil {
				return err
			}
			a := newVerifierAnswer(args[0], s)
			a.RecordIndex = &reply.Index
			return cli.Print(cmd, a)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&version, "version", "", "of the source that it was built from")
	cmd.MarkFlagRequired("version")
	return cmd
}

// browserVerifier reads the verifier that serve hands out; nil without a directory.
func browserVerifier(dir string) (func() *browser.Site, error) {
	if dir == "" {
		return nil, nil
	}
	s, err := browser.Open(dir)
	if err != nil {
		return nil, err
	}
	return func() *browser.Site { return s }, nil
}

// devVerifier is dev's, which it builds itself where it can.
type devVerifier struct{ atomic.Pointer[browser.Site] }

// build builds the verifier from the checkout that dev was started in, and records it. Elsewhere there is none. It is there as
// soon as it is compiled, and some seconds later as small as others serve it.
func (v *devVerifier) build(ctx context.Context, n *node.Node, log *slog.Logger) {
	dir := filepath.Join(n.Dir, "verifier")
	for _, fast := range []bool{true, false} {
		err := browser.Build{Source: ".", Out: dir, Fast: fast}.Run(ctx)
		var site *browser.Site
		if err == nil {
			site, err = browser.Open(dir)
		}
		if err == nil && fast {
			_, err = n.PublishBuild(ctx, site.Sums, "dev", site.Made.Toolchain)
		}
		switch {
		case err == nil && fast:
			log.Info("the verifier for browsers is ready", "sha256", hex.EncodeToString(site.Digest[:]))
		case errors.Is(err, browser.ErrNoSource):
			log.Warn("no verifier for browsers: dev builds it in a checkout of the source, with Go in PATH")
		case err != nil && ctx.Err() == nil:
			log.Error("no verifier for browsers", "error", err)
		}
		if err != nil {
			return
		}
		v.Store(site)
	}
}
