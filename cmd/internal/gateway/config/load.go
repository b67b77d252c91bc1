// SPDX-License-Identifier: EUPL-1.2

package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Values of what the file leaves out.
const (
	DefaultTimeout    = 30 * time.Second
	DefaultMaxRequest = 1 << 20
	DefaultMaxAnswer  = 64 << 20
	DefaultInFlight   = 2 * time.Minute
)

// maxFile bounds the file.
const maxFile = 4 << 20

// Refused is a file with faults, all that were found.
type Refused struct{ Problems []ledger.Problem }

func (r *Refused) Error() string {
	lines := make([]string, len(r.Problems))
	for i := range r.Problems {
		lines[i] = r.Problems[i].Error()
	}
	return "couldn't use the configuration: " + strings.Join(lines, "; ")
}

// Load reads a file and judges its form. The error is a *Refused, or says that the file couldn't be read.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the configuration: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("couldn't read the configuration: longer than %d bytes", maxFile)
	}
	c, problems := parse(filepath.Base(path), data, (*reader).judge)
	if len(problems) > 0 {
		return nil, &Refused{problems}
	}
	c.complete(filepath.Dir(path))
	return c, nil
}

// LoadTraced reads a file of which only pdnd/tenants, pdnd/consumers and e_services are used, and of these what says which
// operation a call is of, what its receipts say, and where the codes of persons are: for calls that another gateway traced.
// Errors are as those of [Load].
func LoadTraced(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the configuration: %w", err)
	}
	c, problems := parse(filepath.Base(path), data, (*reader).judgeTraced)
	if len(problems) > 0 {
		return nil, &Refused{problems}
	}
	c.complete(filepath.Dir(path))
	return c, nil
}

func parse(name string, data []byte, judge func(*reader, *Config)) (*Config, []ledger.Problem) {
	c := new(Config)
	r := &reader{file: name, lines: make(map[string]int), refused: make(map[string]bool)}
	if r.read(data, c) {
		r.misread = maps.Clone(r.refused)
		judge(r, c)
	}
	c.where = r.at
	return c, r.problems
}

// complete puts paths below the file's directory and fills in what was left out.
func (c *Config) complete(dir string) {
	for _, path := range []*string{&c.Memory, &c.Traces, &c.Ledger.Policy, &c.Identity.Key, &c.Identity.PassphraseFile, &c.PDND.Tenants} {
		*path = below(dir, *path)
	}
	if c.TLS != nil {
		c.TLS.Certificate, c.TLS.Key = below(dir, c.TLS.Certificate), below(dir, c.TLS.Key)
	}
	if c.Check != nil {
		c.Check.Keys = below(dir, c.Check.Keys)
		if c.Check.InFlight == 0 {
			c.Check.InFlight = DefaultInFlight
		}
	}
	for _, keys := range []*string{&c.PDND.Keys, &c.PDND.ClientKeys} {
		if !IsURL(*keys) {
			*keys = below(dir, *keys)
		}
	}
	for i := range c.EServices {
		s := &c.EServices[i]
		s.URL, s.Upstream = strings.TrimSuffix(s.URL, "/"), strings.TrimSuffix(s.Upstream, "/")
		for j := range s.Operations {
			if o := s.Operations[j].Cohort; o != nil && o.Minimum == 0 {
				o.Minimum = DefaultMinimum
			}
		}
		if s.Timeout == 0 {
			s.Timeout = DefaultTimeout
		}
		if s.MaxRequest == 0 {
			s.MaxRequest = DefaultMaxRequest
		}
		if s.MaxAnswer == 0 {
			s.MaxAnswer = DefaultMaxAnswer
		}
	}
}

func below(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// IsURL tells a URL of a key set from a file.
func IsURL(s string) bool { return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") }

// places are all sources of an e-service's operation, as the file has them.
func (o *Operation) places() []*Source {
	var list []*Source
	for _, sources := range [][]Source{o.Request, o.Response} {
		for i := range sources {
			list = append(list, &sources[i])
		}
	}
	return list
}

// InURL says whether codes of persons stand in the operation's URLs, which the guidelines for interoperability forbid.
func (o *Operation) InURL() bool {
	return slices.ContainsFunc(o.places(), func(s *Source) bool { return s.Query != "" || s.Variable != "" })
}
