// SPDX-License-Identifier: EUPL-1.2

// Package deploytest holds what deploy/ and docs/containers.md tell programs to do
// to what the programs can be told: no container runs in the tests, so that a flag
// which is gone would be noticed by nobody else.
package deploytest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// Compose is what a test wants to know of deploy/compose.yaml.
type Compose struct {
	Services map[string]Service
	Secrets  map[string]struct{ File string }
	Volumes  map[string]any
	Networks map[string]any
}

// Service is one of its services.
type Service struct {
	Image       string
	User        string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	Entrypoint  []string
	Command     []string
	Ports       []string
	Volumes     []string
	Networks    any // names, or by name what is said of them
	Environment map[string]string
	Secrets     []struct{ Source, Target string }
	Healthcheck struct {
		Test    []string
		Disable bool
	}
}

// Ours says whether a service runs the image of deploy/Containerfile.
func (s Service) Ours() bool { return strings.Contains(s.Image, "/traccia:") }

// ReadCompose reads deploy/compose.yaml. Root is the project's directory.
func ReadCompose(t testing.TB, root string) *Compose {
	t.Helper()
	c := new(Compose)
	if err := yaml.UnmarshalWithOptions([]byte(read(t, root, "deploy", "compose.yaml")), c, yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t testing.TB, elements ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// call is a command line, and where it stands.
type call struct {
	where string
	words []string
}

// program is what it calls: the unit of a gateway calls it by a longer name.
func (c call) program() string { return strings.TrimPrefix(filepath.Base(c.words[0]), "traccia-") }

// Check parses each command line that names a program as the program would; root
// returns its commands, each time anew.
func Check(t *testing.T, dir, program string, root func() *cobra.Command) {
	t.Helper()
	checked := 0
	for _, c := range calls(t, dir) {
		if c.program() != program {
			continue
		}
		checked++
		tree := root()
		cmd, args, err := tree.Find(c.words[1:])
		if err == nil && !cmd.Runnable() {
			t.Errorf("%s: %q is no command", c.where, c.words)
			continue
		}
		if err == nil {
			err = cmd.ParseFlags(args)
		}
		if err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err == nil {
			err = cmd.ValidateRequiredFlags()
		}
		if err != nil {
			t.Errorf("%s: %q: %v", c.where, c.words, err)
		}
	}
	if checked == 0 {
		t.Errorf("nothing in deploy/ calls %s", program)
	}
}

var (
	execLine     = regexp.MustCompile(`(?m)^ExecStart=(.*)$`)
	imageLine    = regexp.MustCompile(`(?m)^(?:HEALTHCHECK .*CMD|ENTRYPOINT) (\[.*\])$`)
	continuation = regexp.MustCompile(`\\\n\s*`)
	composeLine  = regexp.MustCompile(`(?m)docker compose (run --rm|exec) ([a-z0-9]+) ([^\x60\n]*)`)
	quoted       = regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`)
)

// calls are all command lines of our programs in deploy/ and docs/containers.md.
func calls(t testing.TB, dir string) (all []call) {
	t.Helper()
	units, err := filepath.Glob(filepath.Join(dir, "deploy", "*.service"))
	if err != nil || len(units) == 0 {
		t.Fatalf("no unit: %v", err)
	}
	for _, unit := range units {
		for _, m := range execLine.FindAllStringSubmatch(read(t, unit), -1) {
			all = append(all, call{unit, strings.Fields(m[1])})
		}
	}
	var entrypoint []string
	for _, m := range imageLine.FindAllStringSubmatch(read(t, dir, "deploy", "Containerfile"), -1) {
		var words []string
		if err := json.Unmarshal([]byte(m[1]), &words); err != nil {
			t.Fatalf("Containerfile: %s: %v", m[0], err)
		}
		if len(words) == 1 {
			entrypoint = words
			continue
		}
		all = append(all, call{"Containerfile", words})
	}
	compose := ReadCompose(t, dir)
	programOf := func(s Service) []string {
		if len(s.Entrypoint) > 0 {
			return s.Entrypoint
		}
		return entrypoint
	}
	for _, name := range slices.Sorted(maps.Keys(compose.Services)) {
		s := compose.Services[name]
		if !s.Ours() {
			continue
		}
		all = append(all, call{name, slices.Concat(programOf(s), s.Command)})
		if test := s.Healthcheck.Test; len(test) > 1 {
			all = append(all, call{name + "'s healthcheck", test[1:]})
		}
	}
	page := continuation.ReplaceAllString(read(t, dir, "docs", "containers.md"), "")
	for _, m := range composeLine.FindAllStringSubmatch(page, -1) {
		s, ok := compose.Services[m[2]]
		if !ok {
			t.Errorf("docs/containers.md: no service %s", m[2])
		}
		if !s.Ours() {
			continue // cockroach's
		}
		words := quoted.FindAllString(m[3], -1)
		for i := range words {
			words[i] = strings.Trim(words[i], `'"`)
		}
		if m[1] == "run --rm" {
			words = slices.Concat(programOf(s), words)
		}
		all = append(all, call{"docs/containers.md", words})
	}
	return all
}
