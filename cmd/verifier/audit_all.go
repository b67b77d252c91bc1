// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"crypto/ecdh"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/authoritykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/authority"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/verifier"
)

// readAll opens all bodies' events with the authority's keys, and gives them to the audit.
func (f *auditFlags) readAll(cmd *cobra.Command, c *verifier.AuditConfig, audit *verifier.Audit) (*auditAuthority, error) {
	policy, err := readPolicy(f.policy)
	if err != nil {
		return nil, err
	}
	bundles, err := f.bundles.read()
	if err != nil {
		return nil, err
	}
	var keys []*ecdh.PrivateKey
	for _, path := range f.authorityKeys {
		k, err := authoritykey.Read(path, f.authorityPassphrase)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	opener, err := authority.NewOpener(keys...)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(f.all, export.ManifestFile)); err != nil {
		return nil, fmt.Errorf("couldn't read the export: %w", err)
	}
	bar := cli.NewProgress(cmd, "auditing", 2*leavesToRead(f.all)) // each is read twice
	defer bar.Close()
	r, err := verifier.Authority(cmd.Context(), os.DirFS(f.all), verifier.AuthorityConfig{
		Policy: policy, Rules: verifier.Rules{Policies: bundles.find}, Open: opener, NewSorter: c.NewSorter,
		Each: audit.Event, Progress: func(n int) { bar.Add(int64(n)) },
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't audit the export: %w", err)
	}
	for _, p := range r.Problems {
		if err := audit.Problem(p); err != nil {
			return nil, err
		}
	}
	for _, l := range r.Logs {
		if err := audit.List(l); err != nil {
			return nil, err
		}
	}
	return &auditAuthority{Days: r.Days, Live: r.Live, ByTerm: r.ByTerm, ByAsking: r.ByAsking}, nil
}
