// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// eraseSteps are those of an erasure, in their order.
var eraseSteps = []string{
	"erasure: requested", "erasure: renewed", "erasure: journalled", "erasure: deleted", "erasure: rewrapped", "erasure: kept", "erasure: marked",
	"erasure: destroyed", "erasure: recorded",
}

// requestFiles counts the requests that are kept beside the keys.
func requestFiles(t testing.TB, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "keys", "requests", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// asked reads from a person's history what they are said to have asked for.
func (r *running) asked(person int) (operations []string) {
	r.t.Helper()
	b, err := r.History(r.t.Context(), nodetest.Person(person))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range b.Shards {
		for _, e := range s.Events {
			if e.Body == nil {
				continue
			}
			body, err := ledger.ParseBody(e.Body)
			if err != nil {
				r.t.Fatal(err)
			}
			receipt, err := ledger.ParseReceipt(body.Receipt)
			if err != nil {
				r.t.Fatal(err)
			}
			if body.Kind == ledger.KindRequest {
				operations = append(operations, receipt.Iss+" "+receipt.Operation.Method+" "+receipt.Operation.Path)
			}
		}
	}
	return operations
}

// versions says how many versions of each month's key are left.
func versions(t testing.TB, dir string) (left int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "keys", "months", "*.key"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// Whatever moment the process dies at, everyone else's events open, and the erased person's stay gone once their key is
// journalled. The directory is copied at each step as a killed process would leave it.
func TestEraseInterrupted(t *testing.T) {
	killed := map[string]string{}
	step := ""
	r := newLedger(t, node.Options{})
	var answers []*ledger.Answer
	for n := range 12 {
		answers = append(answers, r.access(n, n%6))
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	before := copyDir(t, r.dir)
	r.start(node.Options{Step: func(name string) {
		if name == step {
			killed[name] = copyDir(t, r.dir)
		}
	}})
	for i, name := range eraseSteps {
		step = name
		if i > 0 { // each step in an erasure of its own, of a ledger that knows none
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			r.dir = copyDir(t, before)
			r.start(node.Options{Step: func(name string) {
				if name == step && killed[name] == "" {
					killed[name] = copyDir(t, r.dir)
				}
			}})
		}
		if e := r.erase(2, true); e.Wraps != 1 {
			t.Fatalf("erased: %+v", e)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range eraseSteps {
		t.Run(name, func(t *testing.T) {
			r := &running{t: t, world: r.world, dir: killed[name], acks: map[int]*ledger.Answer{}}
			r.start(node.Options{})
			gone := name != "erasure: requested" && name != "erasure: renewed"
			for n, a := range answers {
				if open, want := r.opens(a), n%6 != 2 || !gone; open != want {
					t.Errorf("person %d: opens %v, expected %v", n%6, open, want)
				}
			}
			if left := versions(t, r.dir); left != 1 {
				t.Errorf("%d versions of the month's key are left after the restart", left)
			}
			want, asked := 0, []string{"gestore DELETE /months/" + seal.Month(time.Now())}
			if !gone {
				want, asked = 1, nil
			}
			// By itself, and once.
			for n := 0; requestFiles(t, r.dir) > 0 && n < 200; n++ {
				time.Sleep(5 * time.Millisecond)
			}
			if d := cmp.Diff(asked, r.asked(2)); d != "" || requestFiles(t, r.dir) > 0 {
				t.Errorf("what was asked, with %d requests kept: %s", requestFiles(t, r.dir), d)
			}
			if e := r.erase(2, true); e.Wraps != want {
				t.Errorf("erased again: %+v", e)
			}
			if len(r.asked(2)) != 1 {
				t.Errorf("asked %v", r.asked(2))
			}
			later := r.access(100, 2)
			for n, a := range answers {
				if open := r.opens(a); open != (n%6 != 2) {
					t.Errorf("person %d, after erasing again: opens %v", n%6, open)
				}
			}
			if !r.opens(later) {
				t.Error("a later event of the erased person doesn't open")
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if checked, erased := healthy(t, r.dir); checked != 12 || erased != 2 {
				t.Errorf("fsck: %d bodies, %d erased", checked, erased)
			}
		})
	}
}

// A store from before erasures, with the latest keys: who was erased stays erased, everyone else's events open.
// forgetPublished makes it as if nothing had been public: a database that is behind that is refused, and there is no ledger
// to test then.
func (r *running) forgetPublished() {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "keys", "published", "*"))
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestRestoreFromBeforeErasures(t *testing.T) {
	r := newLedger(t, node.Options{})
	var answers []*ledger.Answer
	for n := range 10 {
		answers = append(answers, r.access(n, n%5))
	}
	if err := r.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	backups := []string{filepath.Join(t.TempDir(), "0")}
	backup := func() {
		to := backups[len(backups)-1]
		if _, err := node.Backup(t.Context(), r.dir, to, quiet, func(to string) error { return r.Backup(t.Context(), to) }); err != nil {
			t.Fatal(err)
		}
	}
	backup()
	for _, person := range []int{1, 3} {
		if e := r.erase(person, true); e.Wraps != 1 {
			t.Fatalf("%+v", e)
		}
		backups = append(backups, filepath.Join(t.TempDir(), "more"))
		backup()
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.forgetPublished()
	latest := copyDir(t, r.dir)
	for i, from := range backups {
		// The operator's copy of the keys, made after the erasures.
		for _, part := range []string{"store", "keys"} {
			if err := os.RemoveAll(filepath.Join(r.dir, part)); err != nil {
				t.Fatal(err)
			}
		}
		keysFrom := filepath.Join(copyDir(t, latest), "keys")
		if _, err := node.Restore(t.Context(), from, r.dir, keysFrom, node.Options{}); err != nil {
			t.Fatalf("backup %d: %v", i, err)
		}
		if checked, erased := healthy(t, r.dir); checked != 6+uint64(i) || erased != 4 { // and so many requests
			t.Errorf("backup %d: fsck: %d bodies, %d erased", i, checked, erased)
		}
		r.start(node.Options{})
		for n, a := range answers {
			if open := r.opens(a); open != (n%5 != 1 && n%5 != 3) {
				t.Errorf("backup %d: person %d: opens %v", i, n%5, open)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}

	// A restored ledger goes on erasing.
	r.start(node.Options{})
	if e := r.erase(4, true); e.Wraps != 1 {
		t.Errorf("%+v", e)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if checked, erased := healthy(t, r.dir); checked != 4+3 || erased != 6 {
		t.Errorf("fsck: %d bodies, %d erased", checked, erased)
	}

	// Keys from before an erasure don't know the store's.
	old := copyDir(t, r.dir)
	r.start(node.Options{})
	r.erase(0, true)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(r.dir, "keys")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(old, "keys"), filepath.Join(r.dir, "keys")); err != nil {
		t.Fatal(err)
	}
	if n, err := node.Open(t.Context(), r.dir, node.Options{}); err == nil {
		n.Close()
		t.Error("opened with keys that are older than the store")
	}
}

// Recording goes on while a month's keys are wrapped anew, and nothing of it is lost.
func TestEraseUnderLoad(t *testing.T) {
	r := newLedger(t, node.Options{})
	r.load(0, 60)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for person := range 10 {
			if _, err := r.Erase(context.Background(), []ledger.Subject{nodetest.Person(200 + person), nodetest.Person(person)}, "", true); err != nil {
				t.Error(err)
			}
		}
	}()
	r.load(60, 200)
	<-done
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	checked, erased := healthy(t, r.dir)
	if total := checked + erased; total < 200 || erased == 0 {
		t.Errorf("fsck: %d bodies, %d erased", checked, erased)
	}
	if left := versions(t, r.dir); left != 1 {
		t.Errorf("%d versions of the month's key are left", left)
	}
}
