// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/fsck"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// healthy runs fsck over a directory that nobody serves, and says how many bodies opened and how many are erased.
func healthy(t testing.TB, dir string) (checked, erased uint64) {
	t.Helper()
	k, err := keys.Open(filepath.Join(dir, "keys"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	db, err := pebble.OpenReadOnly(filepath.Join(dir, "store"), pebble.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	snap, err := db.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	settings, err := node.ReadSettings(dir)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := settings.Authority()
	if err != nil {
		t.Fatal(err)
	}
	report, err := fsck.Check(context.Background(), fsck.Config{Name: nodetest.Name, Rows: snap, Keys: k, Authority: authority})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("fsck: %s at %s: expected %s, found %s", p.Code, p.Where, p.Expected, p.Found)
	}
	return report.BodiesChecked, report.BodiesErased
}

// access records one access to person i, as the n-th submission.
func (r *running) access(n, person int) *ledger.Answer {
	r.t.Helper()
	a, _, err := r.Submit(context.Background(), r.world.Make(r.t, n, nodetest.Access{Subjects: 1, First: person}))
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// opens says whether the answer's receipt can still be fetched.
func (r *running) opens(a *ledger.Answer) bool {
	r.t.Helper()
	iss, jti := a.ReceiptID[:len(a.ReceiptID)-37], a.ReceiptID[len(a.ReceiptID)-36:]
	switch _, err := r.Fetch(context.Background(), iss, jti); {
	case err == nil:
		return true
	case errors.Is(err, node.ErrErased):
		return false
	default:
		r.t.Fatal(err)
		return false
	}
}

func (r *running) erase(person int, apply bool) *node.Erased {
	r.t.Helper()
	e, err := r.Erase(context.Background(), []ledger.Subject{nodetest.Person(person)}, "", apply)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func TestErase(t *testing.T) {
	r := newLedger(t, node.Options{})
	one, two := r.access(0, 1), r.access(1, 2)
	month := seal.Month(time.Now())
	if e := r.erase(1, false); e.Wraps != 1 || len(e.Months) != 1 || e.Months[0] != month || !r.opens(one) {
		t.Fatalf("a dry run: %+v", e)
	}
	if e := r.erase(1, true); e.Wraps != 1 || len(e.Months) != 1 {
		t.Fatalf("erased: %+v", e)
	}
	if r.opens(one) || !r.opens(two) {
		t.Error("the erased person's event opens, or another's doesn't")
	}
	if e := r.erase(1, true); e.Wraps != 0 || len(e.Months) != 0 {
		t.Errorf("erased again: %+v", e)
	}
	if e := r.erase(3, true); e.Wraps != 0 {
		t.Errorf("erased somebody who was never looked up: %+v", e)
	}
	// Later events of the person open, with what went before erased still.
	again := r.access(2, 1)
	three := r.access(3, 3)
	if !r.opens(again) || !r.opens(three) || r.opens(one) {
		t.Error("after a further event: what must open doesn't, or the other way round")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if checked, erased := healthy(t, r.dir); checked != 3+1 || erased != 1 { // and a request
		t.Errorf("fsck: %d bodies, %d erased", checked, erased)
	}
	r.start(node.Options{})
	if !r.opens(again) || !r.opens(two) || r.opens(one) {
		t.Error("after a restart: what must open doesn't, or the other way round")
	}
	if e := r.erase(1, true); e.Wraps != 1 || r.opens(again) || !r.opens(three) {
		t.Errorf("the further event: %+v", e)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if checked, erased := healthy(t, r.dir); checked != 2+2 || erased != 2 {
		t.Errorf("fsck: %d bodies, %d erased", checked, erased)
	}
}
