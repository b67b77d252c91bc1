// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// StatisticsCohort is an aggregate that a body was given, by a record that the rules accept.
type StatisticsCohort struct {
	ledger.Cohort
	Origin   string // of the log
	Index    uint64
	Decision *ledger.Decision
	Replayed bool // its policies were at hand, and decide so
}

// cohort takes the record of an aggregate, which the registry accepted unless err says why not.
func (l *statisticsLog) cohort(index uint64, r registry.Cohort, err error) {
	where := fmt.Sprintf("%s leaf %d", l.origin, index)
	if err != nil {
		l.add(problem(CodeRecordRefused, where, "a record that the rules of cohorts accept", err.Error()))
		return
	}
	// Apply has parsed both.
	c, _, _ := ledger.ParseCohort(r.Statement)
	d, _ := ledger.ParseDecision(r.Decision)
	if l.c.Month != "" && !strings.HasPrefix(c.OccurredAt, l.c.Month+"-") {
		return
	}
	one := StatisticsCohort{Cohort: *c, Origin: l.origin, Index: index, Decision: d}
	if d.Facts != nil && l.c.Policies != nil {
		if bundle := l.c.Policies(ledger.Hash(d.Bundle)); bundle != nil {
			err := bundle.Replay(d, &ledger.Access{
				Receipt: c.Access(), Assurance: &ledger.Assurance{Profile: d.Facts.Profile, LoA: d.Facts.LoA, Late: d.Facts.Late},
				ConsumerAttributes: l.registry.Attributes(c.Consumer, index), ProviderAttributes: l.registry.Attributes(c.Provider, index),
			})
			if one.Replayed = err == nil; err != nil {
				p := asProblem(err)
				l.add(problem(p.Code, where, p.Expected, p.Found))
			}
		}
	}
	l.report.Cohorts = append(l.report.Cohorts, one)
}
