// SPDX-License-Identifier: EUPL-1.2

// Package alertstest holds the alerts of deploy/alerts.yaml to the metrics that
// a program exports, and to the pages that say what to do.
package alertstest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
)

// Registry is a registry that knows the names of all that was registered,
// vectors without a value among it.
type Registry struct {
	*prometheus.Registry
	names map[string]bool
}

// NewRegistry returns an empty one.
func NewRegistry() *Registry {
	return &Registry{prometheus.NewRegistry(), map[string]bool{}}
}

var describedName = regexp.MustCompile(`fqName: "([^"]+)"`)

// MustRegister registers, and keeps the names.
func (r *Registry) MustRegister(all ...prometheus.Collector) {
	r.Registry.MustRegister(all...)
	for _, c := range all {
		described := make(chan *prometheus.Desc)
		go func() {
			c.Describe(described)
			close(described)
		}()
		for d := range described {
			r.names[describedName.FindStringSubmatch(d.String())[1]] = true
		}
	}
}

var (
	metricName = regexp.MustCompile(`\btraccia_[a-z0-9_]+`)
	ofHistory  = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// CheckPage holds the metrics that a page names, but for those that begin with one
// of others, to what was registered: each is there, and each that was registered is
// named. Root is the project's directory.
func CheckPage(t testing.TB, r *Registry, root, page string, others ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(page)))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, name := range metricName.FindAllString(string(text), -1) {
		named[name] = true
		if !r.names[name] && !slices.ContainsFunc(others, func(other string) bool { return strings.HasPrefix(name, other) }) {
			t.Errorf("%s: nothing exports %s", page, name)
		}
	}
	for name := range r.names {
		if strings.HasPrefix(name, "traccia_") && !named[name] {
			t.Errorf("%s doesn't name %s", page, name)
		}
	}
}

// Check holds one group of the alerts to what was registered, which may be
// more. Root is the project's directory.
func Check(t testing.TB, r *Registry, root, group string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "deploy", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr string
				Annotations struct{ Runbook string }
			}
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, g := range file.Groups {
		if g.Name != group {
			continue
		}
		for _, rule := range g.Rules {
			alerts++
			names := metricName.FindAllString(rule.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s asks about no metric of ours", rule.Alert)
			}
			for _, name := range names {
				if !r.names[name] && !r.names[ofHistory.ReplaceAllString(name, "")] {
					t.Errorf("%s: nothing exports %s", rule.Alert, name)
				}
			}
			page, heading, _ := strings.Cut(rule.Annotations.Runbook, ": ")
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(page)))
			if err != nil || !strings.Contains(string(text), "# "+heading) {
				t.Errorf("%s: %q leads nowhere", rule.Alert, rule.Annotations.Runbook)
			}
		}
	}
	if alerts == 0 {
		t.Errorf("no alert in group %s", group)
	}
}
