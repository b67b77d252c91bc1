// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// TestKilledAtNewYear kills the process at each step of turning to the new
// year, under load, and sends everything again.
func TestKilledAtNewYear(t *testing.T) {
	type death struct {
		step, from string
		nth        int
	}
	var deaths []death
	for _, step := range []string{"keys", "announced", "ended", "created", "begun", "open"} {
		deaths = append(deaths, death{"new year: " + step, "", 1})
	}
	// Around each commit between: records and final head, the log, its
	// beginning, its first head.
	for nth := 1; nth <= 4; nth++ {
		deaths = append(deaths, death{"before commit", "new year: ended", nth}, death{"after commit", "new year: ended", nth})
	}
	for nth := 1; nth <= 2; nth++ {
		deaths = append(deaths, death{"durable", "new year: keys", nth}, death{"numbered", "new year: keys", nth})
	}
	if testing.Short() {
		deaths = deaths[2:5]
	}
	for _, d := range deaths {
		t.Run(fmt.Sprintf("%s %d", d.step, d.nth), func(t *testing.T) {
			t.Parallel()
			dieAtNewYear(t, childOrders{Step: d.step, From: d.from, Nth: d.nth})
		})
	}
}

func dieAtNewYear(t *testing.T, o childOrders) {
	const year, each = 2030, 60
	// Opened in November: announced is what couldn't be earlier.
	c := newClock(january(year).AddDate(0, 10, 0))
	r := newLedgerAt(t, c, node.Options{})
	r.world = nodetest.NewWorld(t, january(year+1).Add(-time.Minute))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	var lines []byte
	raws := make([][]byte, each)
	for i := range raws {
		raws[i] = r.world.Submission(t, i)
		lines = append(append(lines, raws[i]...), '\n')
	}
	o.Dir, o.Round, o.File = r.dir, 1, filepath.Join(filepath.Dir(r.dir), "submissions")
	if err := os.WriteFile(o.File, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Pace = 25 * time.Millisecond
	o.Clock = january(year + 1).Add(-700 * time.Millisecond)
	acks, killed := o.run(t, nil)
	if !killed {
		t.Errorf("the process outlived %q", o.Step)
	}
	// As it was left.
	years, err := nodetest.AuditYears(t.Context(), r.dir, "")
	if err != nil {
		t.Fatalf("after %q: %v", o.Step, err)
	}
	for i, a := range acks {
		if _, err := nodetest.CheckAnswer(raws[i], a, r.vkeyOf(a)); err != nil {
			t.Errorf("answer %d: %v", i, err)
		}
		r.acks[i] = a
		if first, ok := years[len(years)-1].Receipts[a.ReceiptID]; !ok || a.FirstIndex != first {
			if first, ok := years[0].Receipts[a.ReceiptID]; !ok || a.FirstIndex != first {
				t.Errorf("submission %d was acknowledged at %d and isn't there", i, a.FirstIndex)
			}
		}
	}
	c.ahead.Store(int64(time.Until(january(year + 1).Add(time.Minute)))) // the new year, whenever it died
	r.start(c.options())
	for i := range each {
		if _, err := r.sendAgain(i); err != nil {
			t.Errorf("submission %d again: %v", i, err)
		}
	}
	if got := r.Epoch(); got != year+1 {
		t.Errorf("recording in %d", got)
	}
	p, err := r.Published(year)
	if err != nil || p.Root.Size == 0 {
		t.Errorf("the old year: %v", err)
	}
	all := r.years()
	if len(all) != 2 || len(all[0].Receipts)+len(all[1].Receipts) != each {
		t.Errorf("%d years, %d and %d receipts of %d", len(all), len(all[0].Receipts), len(all[len(all)-1].Receipts), each)
	}
	logs, err := node.LastPublished(r.dir, nodetest.Settings())
	if err != nil || len(logs) != 2 || logs[0].Size != uint64(len(all[0].Leaves)) || logs[1].Origin != ledger.Origin(nodetest.Name, year+1) {
		t.Errorf("published: %+v, %v", logs, err)
	}
}
