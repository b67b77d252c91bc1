// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
)

// bundles are the policies at hand, by digest: the default ones, which the verifier carries, and those that the reader
// names. A log serves each at /log/YEAR/blob/DIGEST, and an export has them.
type bundles struct {
	documents map[ledger.Hash][]byte
	mu        sync.Mutex // guards compiled
	compiled  map[ledger.Hash]ledger.Bundle
}

func newBundles() *bundles {
	b := &bundles{documents: map[ledger.Hash][]byte{}, compiled: map[ledger.Hash]ledger.Bundle{}}
	b.add(policies.Default())
	return b
}

func (b *bundles) add(document []byte) { b.documents[policies.Digest(document)] = document }

// find returns the bundle with this digest, nil where it isn't at hand. One that can't be read is no bundle by which
// anything could have been decided; its decisions aren't replayed.
func (b *bundles) find(digest ledger.Hash) ledger.Bundle {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.compiled[digest]; ok {
		return known
	}
	document, ok := b.documents[digest]
	if !ok {
		return nil
	}
	bundle, err := policies.Open(document)
	if err != nil {
		bundle = nil
	}
	b.compiled[digest] = bundle
	return bundle
}

// bundleFlag is --bundle of the commands that replay decisions.
type bundleFlag []string

func (f *bundleFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar((*[]string)(f), "bundle", nil, "file with policies that decided, from the log's blob/DIGEST, or a folder of them; may be repeated (the default ones are known)")
}

// read returns the bundles at hand.
func (f *bundleFlag) read() (*bundles, error) {
	b := newBundles()
	for _, name := range *f {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the policies: %w", err)
		}
		if !info.IsDir() {
			document, err := cli.ReadFile(name, ledger.MaxBundle)
			if err != nil {
				return nil, fmt.Errorf("couldn't read the policies: %w", err)
			}
			b.add(document)
			continue
		}
		if err := b.addFolder(os.DirFS(name), "*"); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// addFolder adds the files whose name matches: by their digest they are found, or not.
func (b *bundles) addFolder(folder fs.FS, pattern string) error {
	names, err := fs.Glob(folder, pattern)
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := fs.Stat(folder, name)
		if err != nil || !info.Mode().IsRegular() || info.Size() > ledger.MaxBundle {
			continue
		}
		document, err := fs.ReadFile(folder, name)
		if err != nil {
			return fmt.Errorf("couldn't read the policies %s: %w", filepath.Base(name), err)
		}
		b.add(document)
	}
	return nil
}
