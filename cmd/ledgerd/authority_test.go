// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/authoritykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/authority"
	"github.com/traccia-ledger/traccia/ledger/export"
)

// TestAuthorityCommand: an operator sets an authority's key, hands over while the ledger is served and when it isn't, moves
// the ledger, and takes the key away again.
func TestAuthorityCommand(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	data := at("data")
	fillLedger(t, data)
	k, err := authoritykey.New()
	if err != nil {
		t.Fatal(err)
	}
	public := [32]byte(k.PublicKey().Bytes())
	if err := os.WriteFile(at("garante.jwk"), authoritykey.FormatPublic(public), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := done(t, "authority", "--data", data); a["kid"] != "" || a["changed"] != false {
		t.Errorf("a new ledger has an authority: %v", a)
	}
	if code, _, errs := runCommand(t, "export", "--data", data, "--out", at("none"), "--authority"); code != cli.ExitCouldNotCheck || !strings.Contains(errs, "ledgerd authority") {
		t.Errorf("without an authority: %d, %s", code, errs)
	}
	if a := done(t, "authority", "--data", data, "--set", at("garante.jwk")); a["kid"] != authoritykey.Kid(public) || a["changed"] != true {
		t.Errorf("set: %v", a)
	}
	if code, _, errs := runCommand(t, "export", "--data", data, "--out", at("none"), "--authority"); code != cli.ExitCouldNotCheck || !strings.Contains(errs, "serve the ledger once") {
		t.Errorf("before its next start: %d, %s", code, errs)
	}
	stop := serveIt(t, data)
	done(t, "export", "--data", data, "--out", at("served"), "--authority")
	stop()
	done(t, "export", "--data", data, "--out", at("rest"), "--authority")
	if a := done(t, "fsck", "--data", data); a["result"] != "proven" {
		t.Errorf("fsck: %v", a)
	}
	done(t, "migrate", "--data", data, "--to", at("elsewhere"))
	done(t, "export", "--data", data, "--out", at("moved"), "--authority")
	for _, name := range []string{"served", "rest", "moved"} {
		opener, err := authority.NewOpener(k)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(at(name), export.DaysFile))
		if err != nil {
			t.Fatal(err)
		}
		days := 0
		for line := range strings.Lines(string(text)) {
			day, err := export.ParseDay([]byte(strings.TrimSuffix(line, "\n")))
			if err != nil || !opener.Day(day) {
				t.Errorf("%s: a day key doesn't open: %v", name, err)
			}
			days++
		}
		if info, err := os.Stat(at(name)); err != nil || info.Mode().Perm() != 0o700 || days == 0 {
			t.Errorf("%s: %v, %v, %d day keys", name, info, err, days)
		}
	}
	if a := done(t, "authority", "--data", data, "--remove"); a["kid"] != "" {
		t.Errorf("removed: %v", a)
	}
	for _, args := range [][]string{{"--set", at("garante.jwk"), "--remove"}, {"--set", at("data/log.vkey")}} {
		if code, _, _ := runCommand(t, append([]string{"authority", "--data", data}, args...)...); code != cli.ExitUsage {
			t.Errorf("%v: exit %d", args, code)
		}
	}
	if left, err := filepath.Glob(at(".export-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
