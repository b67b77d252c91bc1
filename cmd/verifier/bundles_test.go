// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/policies/policytest"
)

// TestBundles: policies are found by digest alone, whatever the files are called.
func TestBundles(t *testing.T) {
	one, two := policytest.Bundle(t, "1", "true"), policytest.Bundle(t, "2", "true")
	dir := t.TempDir()
	for name, data := range map[string][]byte{"one.json": one, "folder/two": two, "folder/another": []byte("no bundle")} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	flag := bundleFlag{filepath.Join(dir, "one.json"), filepath.Join(dir, "folder")}
	b, err := flag.read()
	if err != nil {
		t.Fatal(err)
	}
	for name, document := range map[string][]byte{"1": one, "2": two} {
		if found := b.find(policies.Digest(document)); found == nil || found.Version() != name {
			t.Errorf("bundle %s: %v", name, found)
		}
	}
	if b.find(policies.Digest(policies.Default())) == nil {
		t.Error("the default policies aren't known")
	}
	for _, digest := range []ledger.Hash{{1}, policies.Digest([]byte("no bundle"))} {
		if found := b.find(digest); found != nil {
			t.Errorf("%x: %v", digest, found)
		}
	}
	flag = bundleFlag{filepath.Join(dir, "nothing")}
	if _, err := flag.read(); err == nil {
		t.Error("read what isn't there")
	}
}
