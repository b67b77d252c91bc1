// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// CodeShift: the mix of purposes changed from one week or month to the next.
const CodeShift = "purpose_shift"

// shifts compares the purposes of each week with those of the week before, and of each month.
func (a *Audit) shifts() {
	for _, units := range []map[string]map[uint32]uint64{a.weeks, a.months} {
		var before string
		for _, unit := range slices.Sorted(maps.Keys(units)) {
			if before != "" {
				a.shift(before, unit, units[before], units[unit])
			}
			before = unit
		}
	}
}

func (a *Audit) shift(before, after string, x, y map[uint32]uint64) {
	m := mixOf(x, y)
	if min(m.totals[0], m.totals[1]) < float64(a.Limits.LeastInShift) {
		return
	}
	chi2, df, v := m.chiSquared()
	if df == 0 || chi2 <= chiCritical(df) || v < a.Limits.ShiftV {
		return
	}
	f := a.finding(ClassAnomaly, CodeShift, before+" → "+after)
	if f == nil {
		return
	}
	f.Count = uint64(m.totals[1])
	f.Value = fmt.Sprintf("χ² = %.1f, %d df, V = %.2f", chi2, df, v)
	// What changed most.
	slices.SortFunc(m.cells, func(p, q mixCell) int {
		return cmp.Or(cmp.Compare(math.Abs(q.change(m)), math.Abs(p.change(m))), cmp.Compare(p.purpose, q.purpose))
	})
	for _, c := range m.cells[:min(3, len(m.cells))] {
		f.Evidence = append(f.Evidence, AuditEvidence{
			Receipt: a.words[c.purpose], Expected: percent(c.counts[0], m.totals[0]), Found: percent(c.counts[1], m.totals[1]),
		})
	}
}

func percent(n, of float64) string { return fmt.Sprintf("%.1f %%", 100*n/of) }

// mix is how two periods' accesses divide among purposes.
type mix struct {
	cells  []mixCell
	totals [2]float64
}

type mixCell struct {
	purpose uint32
	counts  [2]float64
}

func (c *mixCell) change(m *mix) float64 { return c.counts[1]/m.totals[1] - c.counts[0]/m.totals[0] }

func mixOf(x, y map[uint32]uint64) *mix {
	m := new(mix)
	all := map[uint32]bool{}
	for _, one := range []map[uint32]uint64{x, y} {
		for purpose := range one {
			all[purpose] = true
		}
	}
	for _, purpose := range slices.Sorted(maps.Keys(all)) {
		c := mixCell{purpose, [2]float64{float64(x[purpose]), float64(y[purpose])}}
		m.cells = append(m.cells, c)
		m.totals[0] += c.counts[0]
		m.totals[1] += c.counts[1]
	}
	return m
}

// chiSquared is Pearson's test of homogeneity of the two, and Cramér's V, which for two rows is the root of χ²/n. Purposes
// with an expected count below 5 in one of the two count as one (Cochran's rule); if that is below 5 too, it is left out.
func (m *mix) chiSquared() (chi2 float64, df int, v float64) {
	n := m.totals[0] + m.totals[1]
	var columns [][2]float64
	var rest [2]float64
	expected := func(c [2]float64, row int) float64 { return (c[0] + c[1]) * m.totals[row] / n }
	enough := func(c [2]float64) bool { return min(expected(c, 0), expected(c, 1)) >= 5 }
	for _, c := range m.cells {
		if enough(c.counts) {
			columns = append(columns, c.counts)
		} else {
			rest[0], rest[1] = rest[0]+c.counts[0], rest[1]+c.counts[1]
		}
	}
	if enough(rest) {
		columns = append(columns, rest)
	}
	if len(columns) < 2 {
		return 0, 0, 0
	}
	for _, c := range columns {
		for row := range c {
			e := expected(c, row)
			chi2 += (c[row] - e) * (c[row] - e) / e
		}
	}
	return chi2, len(columns) - 1, math.Sqrt(chi2 / n)
}

// chiTable are the values that χ² exceeds with a probability of 0.001, from one degree of freedom on.
var chiTable = []float64{10.828, 13.816, 16.266, 18.467, 20.515, 22.458, 24.322, 26.124, 27.877, 29.588}

// chiCritical is such a value; beyond the table by Wilson and Hilferty's approximation.
func chiCritical(df int) float64 {
	if df <= len(chiTable) {
		return chiTable[df-1]
	}
	const z = 3.0902
	k := 2 / (9 * float64(df))
	return float64(df) * math.Pow(1-k+z*math.Sqrt(k), 3)
}

// use interns a way of consulting data; false where there are too many of them.
func (a *Audit) use(u AuditUse) (uint32, bool) {
	key := u.key()
	n, ok := a.uses[key]
	if !ok {
		if len(a.report.Uses) == maxUses {
			return 0, false
		}
		n = uint32(len(a.report.Uses))
		a.uses[key] = n
		a.report.Uses = append(a.report.Uses, u)
	}
	return n, true
}

// maxUses bounds what a report's register holds.
const maxUses = 10_000

func (u *AuditUse) key() string {
	return strings.Join([]string{
		u.Provider, u.EService, u.PurposeID, u.Purpose, u.LegalBasis, u.Reference, strings.Join(u.Categories, "\x01"), u.Actor,
	}, "\x00")
}

// purpose interns what weeks and months are compared by.
func (a *Audit) purpose(name string) uint32 {
	n, ok := a.purposes[name]
	if !ok {
		n = uint32(len(a.words))
		a.purposes[name] = n
		a.words = append(a.words, name)
	}
	return n
}
