// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

func usual() *verifiertest.Shard { return verifiertest.UsualShard(origin, 0) }

func at(seconds float64) time.Time { return verifiertest.NewShard(origin).Instant(seconds) }

// watch is a Monitor with what it told and kept.
type watch struct {
	*verifier.Monitor
	told []verifier.Finding
	kept [][]byte
}

func newWatch(t testing.TB, f checkpoint.Fetcher, announced *verifier.Announced) *watch {
	t.Helper()
	w := &watch{}
	var err error
	w.Monitor, err = verifier.NewMonitor(verifier.MonitorConfig{
		Origin: origin, Fetch: f, Announced: announced, Found: func(f verifier.Finding) { w.told = append(w.told, f) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watch) keep(first uint64, leaves [][]byte) error {
	if first != uint64(len(w.kept)) {
		return fmt.Errorf("leaves from %d after %d", first, len(w.kept))
	}
	w.kept = append(w.kept, leaves...)
	return nil
}

func (w *watch) look(t testing.TB, now checkpoint.Checkpoint, when time.Time) error {
	t.Helper()
	return w.Public(t.Context(), now, when, w.keep)
}

// alarms are the codes told that aren't notices.
func (w *watch) alarms() (codes []string) {
	for _, f := range w.told {
		if f.Level != verifier.LevelNotice {
			codes = append(codes, f.Code)
		}
	}
	return codes
}

func inOrder(leaves [][]byte) func(func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		for _, l := range leaves {
			if !yield(l, nil) {
				return
			}
		}
	}
}
