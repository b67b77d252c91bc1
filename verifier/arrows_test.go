// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/traccia-ledger/traccia/"

// goPackage is a package of this module with what it imports.
type goPackage struct {
	path    string   // below the module
	imports []string // directly, without tests
	deps    []string // all that is linked with it
}

// under says whether a package is root or below it.
func under(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}}|{{join .Imports " "}}|{{join .Deps " "}}`, module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		if len(fields) != 3 {
			t.Fatalf("go list printed %q", line)
		}
		list = append(list, goPackage{strings.TrimPrefix(fields[0], module), strings.Fields(fields[1]), strings.Fields(fields[2])})
	}
	return list
}

// Packages that a browser runs, or that formats stand on: nothing heavy below.
var light = []string{
	"verifier", "ledger/ijson", "ledger/es256", "ledger/jws", "ledger/vrf", "ledger/seal", "ledger/index", "ledger/replay", "ledger/checkpoint", "ledger/registry", "ledger/opened", "ledger/history", "ledger/statistics", "ledger/own", "ledger/govway",
}

// alone are those of which only the package itself is, and not what is below it.
var alone = []string{"ledger", "consent"}

var heavy = []string{"net/http", "github.com/google/trillian", "github.com/cockroachdb", "github.com/jackc", "github.com/go-jose", "github.com/spf13", "github.com/cedar-policy", "google.golang.org/grpc"}

// Who may import a library or a package of ours directly.
var owners = []struct {
	library string
	roots   []string
}{
	{"github.com/google/trillian", []string{"ledger/engine"}},
	{"github.com/cockroachdb/pebble", []string{"ledger/pebble", "cmd/internal/gateway/memory"}},
	{"github.com/jackc/pgx", []string{"ledger/postgres", "cmd/internal/gateway/memory"}},
	{"github.com/cockroachdb/cockroach-go", []string{"ledger/postgres"}},
	{"github.com/go-jose/go-jose", []string{"ledger/pdnd", "ledger/node", "cmd"}},
	{"github.com/spf13/cobra", []string{"cmd"}},
	{"github.com/cedar-policy", []string{"policies"}},
	// These two speak with others: PDND's published keys, witnesses.
	{"net/http", []string{"cmd", "ledger/pdnd", "ledger/witness"}},
	{module + "cmd", []string{"cmd"}},
	{module + "consent", []string{"consent", "cmd"}},
	{module + "policies", []string{"policies", "cmd"}},
	{module + "verifier", []string{"verifier", "cmd"}},
}

// TestBrowserArrows: what browsers load stands on nothing heavy either.
func TestBrowserArrows(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", module+"cmd/verifier/browser")
	cmd.Env = append(cmd.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	for _, d := range deps {
		if slices.ContainsFunc(heavy, func(root string) bool { return under(d, root) }) || d == "regexp" || d == "html/template" {
			t.Errorf("the browser's verifier stands on %s", d)
		}
	}
	if !slices.Contains(deps, module+"verifier") || !slices.Contains(deps, "syscall/js") {
		t.Error("that isn't the browser's verifier")
	}
}

// TestArrows: imports only point down (docs/design.md, "Where code lives").
func TestArrows(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 20 {
		t.Fatalf("%d packages", len(packages))
	}
	for _, p := range packages {
		for _, o := range owners {
			for _, i := range p.imports {
				// A major version is a path below.
				if under(i, o.library) && !slices.ContainsFunc(o.roots, func(root string) bool { return under(p.path, root) }) {
					t.Errorf("%s imports %s, which is for %s", p.path, i, strings.Join(o.roots, ", "))
				}
			}
		}
		if !slices.Contains(alone, p.path) && !slices.ContainsFunc(light, func(root string) bool { return under(p.path, root) }) {
			continue
		}
		for _, d := range p.deps {
			if slices.ContainsFunc(heavy, func(root string) bool { return under(d, root) }) {
				t.Errorf("%s stands on %s", p.path, d)
			}
			if own, ok := strings.CutPrefix(d, module); ok && p.path == "verifier" && !under(own, "ledger") && !under(own, "verifier") {
				t.Errorf("%s stands on %s", p.path, own)
			}
		}
	}
}
