// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// look has a real browser look at pages of a directory, in a narrow window and a wide one.
func look(t *testing.T, dir string, names ...string) {
	t.Helper()
	t.Run("in a browser", func(t *testing.T) {
		b := webtest.NewBrowser(t)
		for _, name := range names {
			b.Open("file://" + filepath.ToSlash(filepath.Join(dir, name)))
			b.Resize(webtest.Phone)
			b.Look("verifier-" + strings.TrimSuffix(name, ".html") + "-narrow")
			b.Resize(webtest.Desktop)
			b.Look("verifier-" + strings.TrimSuffix(name, ".html"))
		}
	})
}

// TestLook: the pages of a citizen's file and of a comparison; those of audits are looked at where they are made.
func TestLook(t *testing.T) {
	dir, vectors := t.TempDir(), filepath.Join("..", "..", "verifier", "testdata", "history")
	for page, args := range map[string][]string{
		"complaint.html": {"complaint", filepath.Join(vectors, "excerpt.history")},
		"wrong.html":     {"complaint", filepath.Join(vectors, "other-body.history")},
		"history.html":   {"history", filepath.Join(vectors, "whole.history")},
	} {
		if code, _, errs := runVerifier(append(args, "--policy", filepath.Join(vectors, "policy.txt"), "--html", filepath.Join(dir, page))...); code > cli.ExitNotProven {
			t.Fatalf("%s: exit %d, %s", page, code, errs)
		}
	}
	a := &reconcileAnswer{Comparisons: []verifier.ReconcileCounts{{Between: "traces-ledger", Matched: 3, MissingInLedger: 1}}, Found: 1, Notes: []string{"Said in English."}}
	a.Result = cli.Unproven
	a.Problems = []ledger.Problem{{Code: "missing_in_ledger", Where: "traccia.log/4", Expected: "a receipt of the pair " + strings.Repeat("5a0e7b3c", 8), Found: "nothing"}}
	if err := writeReconcilePage(filepath.Join(dir, "reconcile.html"), "it", a); err != nil {
		t.Fatal(err)
	}
	look(t, dir, "complaint.html", "wrong.html", "history.html", "reconcile.html")
}
