// SPDX-License-Identifier: EUPL-1.2

package chart_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/web/chart"
)

// TestNewYear: bars stand on one line and upon each other, the highest leaves room for its number, the least can be seen.
func TestNewYear(t *testing.T) {
	lower, upper := [12]uint64{0, 10, 1}, [12]uint64{2: 990_000, 11: math.MaxUint32}
	y := chart.NewYear(lower, upper, func(n uint64) string { return strconv.FormatUint(n, 10) })
	line := y.Months[0].Lower.Y
	for i, m := range y.Months {
		if m.Lower.Y+m.Lower.Height != line || m.Upper.Y+m.Upper.Height != m.Lower.Y || m.Upper.Y < 20 || int(m.Month) != i+1 {
			t.Errorf("month %d: %+v", i+1, m)
		}
		if (m.Lower.Height > 0) != (lower[i] > 0) || (m.Upper.Height > 0) != (upper[i] > 0) || (m.Text != "") != (lower[i]+upper[i] > 0) {
			t.Errorf("month %d shows something else than %d and %d: %+v", i+1, lower[i], upper[i], m)
		}
	}
	if said := y.Say("id", "title", "a", "b"); said.Text != "a b" || said.Months != y.Months || y.Text != "" {
		t.Errorf("%+v", said)
	}
	if none := chart.NewYear([12]uint64{}, [12]uint64{}, nil); none.Months[5].Text != "" || none.Months[5].Lower.Height != 0 {
		t.Errorf("of nothing: %+v", none.Months[5])
	}
}
