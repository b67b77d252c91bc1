// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/traccia-ledger/traccia/cmd/internal/web/standin"
	"github.com/traccia-ledger/traccia/ledger"
)

// TestStandIn: the door that lets in anyone as anyone is linked to by the files of ledgerd dev alone, whose ledger has a
// name that no other may have; no flag of another command leads to it.
func TestStandIn(t *testing.T) {
	const path = "github.com/traccia-ledger/traccia/cmd/internal/web/standin"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}`, "github.com/traccia-ledger/traccia/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		for _, imported := range fields[1:] {
			if imported == path && fields[0] != "github.com/traccia-ledger/traccia/cmd/ledgerd" {
				t.Errorf("%s imports it", fields[0])
			}
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if i.Path.Value == `"`+path+`"` {
				found = true
				if !strings.HasPrefix(name, "dev") && name != "standin_test.go" {
					t.Errorf("%s imports it", name)
				}
			}
		}
	}
	if !found {
		t.Error("nothing imports it")
	}
	if _, err := standin.New("registro.example", func() [][]ledger.Subject { return nil }, nil); err == nil {
		t.Error("it stands in a ledger that is no sample")
	}
	for _, cmd := range newRoot().Commands() {
		if cmd.Name() == "dev" {
			continue
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			for _, word := range []string{"dev", "sample", "stand-in", "enter"} {
				if strings.Contains(f.Name, word) {
					t.Errorf("ledgerd %s --%s", cmd.Name(), f.Name)
				}
			}
		})
	}
}
