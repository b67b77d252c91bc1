// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"fmt"
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// List takes what a year's list proves, after its events.
func (a *Audit) List(r *AgencyReport) error {
	l := AuditList{
		Origin: r.Origin, Complete: r.Complete, Events: r.Events, Open: r.Open, Erased: r.Erased, Withheld: r.Withheld, Unexplained: r.Unexplained,
		Found: r.Found, TreeSize: r.Log.Size, Witnesses: r.Log.Witnesses, Monitors: r.Log.Monitors,
	}
	if !r.CompleteUntil.IsZero() {
		l.CompleteUntil = instantText(r.CompleteUntil)
	}
	a.report.Lists = append(a.report.Lists, l)
	problems := slices.Clone(r.Problems)
	// Those of single events came with them; these only the whole list tells.
	problems = slices.DeleteFunc(problems, func(p ledger.Problem) bool {
		return strings.HasPrefix(p.Where, "events/") && p.Code != CodeTwice && p.Code != CodeNotOpened && p.Code != CodeNotItsOwn
	})
	if r.Malformed != nil {
		problems = append(problems, *r.Malformed)
	}
	if r.Malformed == nil && r.Agency != a.Body {
		problems = append(problems, *problem(CodeOtherList, "list", "the list of "+a.Body, "that of "+r.Agency))
	}
	if r.Malformed == nil && r.Found == 0 && !r.Complete {
		problems = append(problems, *problem("incomplete", "list", "a complete list", "another"))
	}
	for _, p := range problems {
		p.Where = strings.TrimPrefix(r.Origin+"/"+p.Where, "/")
		if err := a.ofList(p); err != nil {
			return err
		}
	}
	return nil
}

// ofList tells of what is wrong with a list and not with one of its events.
func (a *Audit) ofList(p ledger.Problem) error {
	a.problem(p)
	e := AuditEvidence{Origin: p.Where, Expected: p.Expected, Found: p.Found}
	if f := a.finding(ClassIntegrity, p.Code, ""); f != nil {
		if f.Count++; len(f.Evidence) < MaxEvidence {
			f.Evidence = append(f.Evidence, e)
		}
	}
	if a.Each == nil {
		return nil
	}
	return a.Each(ClassIntegrity, p.Code, e)
}

// covered checks that the lists are of the years of the period, one behind the other, and complete to its end.
func (a *Audit) covered() error {
	lists := a.report.Lists
	for i, l := range lists {
		name, epoch, err := ledger.ParseOrigin(l.Origin)
		if err != nil {
			return nil // that is said elsewhere
		}
		expected := ""
		if i > 0 {
			if before, last, err := ledger.ParseOrigin(lists[i-1].Origin); err == nil && (before != name || last+1 != epoch) {
				expected = fmt.Sprintf("%s, the year after the list before", ledger.Origin(before, last+1))
			}
		} else if !a.From.IsZero() && uint32(a.From.UTC().Year()) < epoch {
			expected = "a list of the period's first year"
		}
		if expected != "" {
			if err := a.ofList(*problem(CodePeriod, l.Origin, expected, l.Origin)); err != nil {
				return err
			}
		}
	}
	if n := len(lists); n > 0 && !a.To.IsZero() && lists[n-1].CompleteUntil != "" && lists[n-1].CompleteUntil < instantText(a.To) {
		return a.ofList(*problem(CodePeriod, lists[n-1].Origin, "a list that is complete to the period's end", "one to "+lists[n-1].CompleteUntil))
	}
	return nil
}

// CodePeriod: the lists don't cover the period.
const CodePeriod = "period_not_covered"
