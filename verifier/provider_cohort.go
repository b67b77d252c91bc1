// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// ownCohort is a line of the records about an aggregate.
type ownCohort struct {
	own.Cohort
	line uint64
	seen bool // in the log, right or wrong
}

func (c *ownCohort) where() string { return fmt.Sprintf("records line %d", c.line) }

// answered says that the ledger told its place; of another nobody knows whether the log has it.
func (c *ownCohort) answered() bool { return c.Origin != "" }

// loadCohort reads a line about an aggregate.
func (p *providerPart) loadCohort(line uint64, text []byte) error {
	c, err := own.ParseCohort(text)
	switch {
	case err != nil:
		return fmt.Errorf("records line %d: %w", line, err)
	case c.Scope() != p.Scope:
		return fmt.Errorf("records line %d: expected a cohort of scope %s, found one of %s", line, p.Scope, c.Scope())
	case !p.mine([]byte(c.ID)):
		return nil
	case c.Origin != "" && c.Origin != p.report.Checkpoint.Origin:
		p.report.Others++
		return nil
	}
	kept := &ownCohort{Cohort: *c, line: line}
	before := p.cohorts[c.ID]
	switch {
	case before == nil || !before.answered():
		p.cohorts[c.ID] = kept
	case kept.answered() && (before.Index != kept.Index || before.Leaf != kept.Leaf):
		return fmt.Errorf("records line %d: expected leaf %d, as line %d has it, found leaf %d", line, before.Index, before.line, kept.Index)
	}
	return nil
}

// cohort compares a record of an aggregate with what the records have of it.
func (p *providerPart) cohort(index uint64, leaf []byte, statement string) {
	c, _, err := ledger.ParseCohort(statement)
	if err != nil || c.Iss != p.Scope || !p.mine([]byte(c.ID())) {
		return
	}
	if _, at, ok := p.registry.Recorded(c.ID()); !ok || at != index {
		return // for readers it isn't there
	}
	kept := p.cohorts[c.ID()]
	if kept == nil {
		p.plant(index, "cohorts of "+p.Scope+" that the records have", c.ID())
		return
	}
	kept.seen = true
	if kept.answered() && (kept.Index != index || kept.Leaf != ledger.HashLeaf(leaf)) {
		p.add(problem(CodeLeafMissing, kept.where(), fmt.Sprintf("the cohort that it was answered with, at leaf %d", kept.Index), "another record, at "+leafAt(index)))
	}
}

// leftCohorts judges the cohorts that the log doesn't have, and counts.
func (p *providerPart) leftCohorts() {
	unknown := 0
	for _, c := range slices.SortedFunc(maps.Values(p.cohorts), func(a, b *ownCohort) int { return cmp.Compare(a.line, b.line) }) {
		waited := p.Now.Sub(time.UnixMilli(c.At))
		switch {
		case !c.answered():
			if c.seen {
				unknown++
			}
			continue
		case !c.seen && c.Index < p.report.Checkpoint.Size:
			p.add(problem(CodeLeafMissing, c.where(), fmt.Sprintf("the cohort that it was answered with, at leaf %d", c.Index), "another leaf"))
		case !c.seen && waited > headWithin:
			p.add(problem(CodeNoHead, c.where(), fmt.Sprintf("leaf %d under a head within 2 minutes", c.Index), "under none after "+waited.Round(time.Second).String()))
		}
		if c.Index < p.report.Head {
			p.report.Cohorts++
		} else {
			p.report.Pending++
		}
	}
	p.report.Unanswered += uint64(unknown)
}
