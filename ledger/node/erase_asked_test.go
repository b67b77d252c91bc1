// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// TestErasureRequests: what a citizen asks is there after a restart, names nobody in the store or the log, waits until it is
// answered, and is done whole whatever interrupts it.
func TestErasureRequests(t *testing.T) {
	var log bytes.Buffer
	var ahead atomic.Int64
	opt := node.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
	r := newLedger(t, opt)
	who, month := nodetest.Person(1), seal.Month(time.Now())
	r.access(0, 1)
	r.access(1, 2)
	state := func(want node.ErasureState) *node.ErasureRequest {
		t.Helper()
		a, err := r.OwnErasure(t.Context(), who)
		if err != nil || a == nil || a.State != want || a.Subject != who {
			t.Fatalf("%+v, %v; want %s", a, err, want)
		}
		return a
	}
	ask := func() *node.ErasureRequest {
		t.Helper()
		a, err := r.RequestErasure(t.Context(), who, []string{month, "2020-02", month}, "a", " Non serve più. ")
		if err != nil || !cmp.Equal(a.Months, []string{"2020-02", month}) || a.Words != "Non serve più." {
			t.Fatalf("%+v, %v", a, err)
		}
		return a
	}
	for what, wrong := range map[string]func() error{
		"no month":    func() error { _, err := r.RequestErasure(t.Context(), who, nil, "a", ""); return err },
		"a bad month": func() error { _, err := r.RequestErasure(t.Context(), who, []string{"2026-13"}, "a", ""); return err },
		"no ground":   func() error { _, err := r.RequestErasure(t.Context(), who, []string{month}, "", ""); return err },
		"long words": func() error {
			_, err := r.RequestErasure(t.Context(), who, []string{month}, "b", strings.Repeat("è", node.MaxErasureWords+1))
			return err
		},
		"nothing to withdraw":  func() error { return r.WithdrawErasure(t.Context(), who) },
		"an answer to nothing": func() error { return r.RefuseErasure(t.Context(), "abcdefghij", "no") },
	} {
		if wrong() == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if a, err := r.OwnErasure(t.Context(), who); a != nil || err != nil {
		t.Fatalf("before a request: %+v, %v", a, err)
	}
	first := ask()
	if _, err := r.RequestErasure(t.Context(), who, []string{month}, "a", ""); !errors.Is(err, node.ErrErasureOpen) {
		t.Errorf("a second request: %v", err)
	}
	if err := r.WithdrawErasure(t.Context(), nodetest.Person(2)); !errors.Is(err, node.ErrErasureNotOpen) {
		t.Errorf("somebody else withdraws: %v", err)
	}
	if err := r.WithdrawErasure(t.Context(), who); err != nil || state(node.ErasureWithdrawn).Words != "" {
		t.Errorf("withdrawn: %v", err)
	}
	refused := ask()
	if err := r.RefuseErasure(t.Context(), first.ID, "x"); !errors.Is(err, node.ErrErasureNotOpen) {
		t.Errorf("an answer to a request that was withdrawn: %v", err)
	}
	if err := r.RefuseErasure(t.Context(), refused.ID, " Un giudizio è in corso (art. 17, par. 3, lett. e). "); err != nil {
		t.Fatal(err)
	}
	if a := state(node.ErasureRefused); a.Reason != "Un giudizio è in corso (art. 17, par. 3, lett. e)." || a.Answered.IsZero() {
		t.Errorf("refused: %+v", a)
	}

	last := ask()
	r.stop()
	r.start(opt)
	if open, err := r.ErasureRequests(t.Context()); err != nil || len(open) != 1 || open[0].ID != last.ID || open[0].Words != "Non serve più." {
		t.Fatalf("after a restart: %+v, %v", open, err)
	}
	if err := r.SetHold(keys.Hold{Month: month, Reason: "proc. 1/2026"}); err != nil {
		t.Fatal(err)
	}
	if e, err := r.GrantErasure(t.Context(), last.ID, false); err != nil || e.Wraps != 1 || len(e.Held) != 1 {
		t.Errorf("what would be erased: %+v, %v", e, err)
	}
	if _, err := r.GrantErasure(t.Context(), last.ID, true); !errors.Is(err, keys.ErrHeld) {
		t.Errorf("under a legal hold: %v", err)
	}
	state(node.ErasureRequested)
	if err := r.EndHold(month); err != nil {
		t.Fatal(err)
	}
	// What a crash leaves after the keys are gone: it is under way, and the next call ends it.
	r.stop()
	crashed, steps := "", opt
	steps.Step = func(name string) {
		if name == "erasure: recorded" {
			crashed = copyDir(t, r.dir)
		}
	}
	r.start(steps)
	if e, err := r.GrantErasure(t.Context(), last.ID, true); err != nil || e.Wraps != 1 || !cmp.Equal(e.Months, []string{month}) {
		t.Fatalf("%+v, %v", e, err)
	}
	r.shut()
	for dir, began := range map[string]node.ErasureState{crashed: node.ErasureUnderWay, r.dir: node.ErasureDone} {
		r.dir = dir
		r.start(opt)
		state(began)
		if began == node.ErasureUnderWay {
			if err := r.WithdrawErasure(t.Context(), who); !errors.Is(err, node.ErrErasureNotOpen) {
				t.Errorf("withdrawn while it is done: %v", err)
			}
			if err := r.RefuseErasure(t.Context(), last.ID, "x"); !errors.Is(err, node.ErrErasureNotOpen) {
				t.Errorf("refused while it is done: %v", err)
			}
			if e, err := r.GrantErasure(t.Context(), last.ID, true); err != nil || e.Wraps != 0 {
				t.Errorf("begun again: %+v, %v", e, err)
			}
		}
		if a := state(node.ErasureDone); a.Words != "" || a.Answered.IsZero() {
			t.Errorf("done: %+v", a)
		}
		r.shut()
		if _, erased := healthy(t, dir); erased != 1 {
			t.Errorf("%d events are erased", erased)
		}
		everyRow(t, filepath.Join(dir, "store"), func(table store.Table, key, value []byte) {
			if table == store.TableLeft && bytes.Contains(append(key, value...), []byte(who)) {
				t.Error("a row names its citizen")
			}
		})
	}
	if strings.Contains(log.String(), string(who)) || !strings.Contains(log.String(), "request="+last.ID) {
		t.Errorf("the log: %s", log.String())
	}
	// A year after the answer nothing of it is left.
	r.start(opt)
	defer r.shut()
	ahead.Store(int64(27 * 24 * time.Hour))
	state(node.ErasureDone)
	ahead.Store(int64(366 * 24 * time.Hour))
	if a, err := r.OwnErasure(t.Context(), who); a != nil || err != nil {
		t.Errorf("a year later: %+v, %v", a, err)
	}
	if err := r.SweepErasures(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l, err := r.Left(t.Context(), rows.LeftErasure, who); l != nil || err != nil {
		t.Errorf("it is kept: %v, %v", l, err)
	}
}

// shut closes the node, some of whose events don't open any more.
func (r *running) shut() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
}
