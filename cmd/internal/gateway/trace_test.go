// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"iter"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/traces"
	"github.com/traccia-ledger/traccia/verifier"
)

// sorter sorts in memory.
type sorter []verifier.ReconcileItem

func (s *sorter) Add(i *verifier.ReconcileItem) error { *s = append(*s, *i); return nil }
func (s *sorter) Close() error                        { return nil }

func (s *sorter) Sorted() iter.Seq2[*verifier.ReconcileItem, error] {
	slices.SortStableFunc(*s, func(a, b verifier.ReconcileItem) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Time, b.Time))
	})
	return func(yield func(*verifier.ReconcileItem, error) bool) {
		for n := range *s {
			if !yield(&(*s)[n], nil) {
				return
			}
		}
	}
}

// reconcile compares lines of traces with the gateway's records, as verifier reconcile does.
func (f *fixture) reconcile(lines []string) *verifier.ReconcileReport {
	f.t.Helper()
	r, err := verifier.NewReconciler(verifier.ReconcileConfig{
		NewSorter: func() (verifier.Sorter[verifier.ReconcileItem], error) { return new(sorter), nil }, Zone: time.UTC, Window: time.Minute, Traces: true, Ledger: true,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Close()
	for line, err := range f.memory.Lines() {
		if err == nil {
			err = r.Record(1, line)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
	for n, line := range lines {
		if err := r.Trace(0, uint64(n+1), []byte(line)); err != nil {
			f.t.Fatal(err)
		}
	}
	report, err := r.Conclude()
	if err != nil {
		f.t.Fatal(err)
	}
	return report
}

// TestTraces: each call that ended has its line, whatever came of it; they agree with the records, and a line that is taken out is missed.
func TestTraces(t *testing.T) {
	f := newFixture(t)
	a, b := f.person(1), f.person(2)
	answer := `{"esito":"ok"}`
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answer)
	})
	use := func(path string) {
		file, err := traces.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		f.gateway.traces.Use(file)
	}
	use("/dev/full") // which holds no call up
	if g := f.post("/persona", about(a)); g.status != http.StatusOK {
		t.Errorf("%+v", g)
	}
	use(f.parts.Traces.Name())
	answer = `{"persone":[{"cf":"` + string(a) + `"},{"cf":"` + string(b) + `"}]}`
	f.post("/elenco", "{}")
	answer = `{"persone":[]}`
	f.post("/elenco", "{}")
	answer = `{"coorte":{"persone":1200}}`
	f.post("/coorte", "{}")
	f.call(t.Context(), http.MethodGet, "/status", "")
	f.post("/persona", "{}")                                     // about nobody, and not let through
	f.post("/altro/"+string(a), "")                              // no operation
	f.call(t.Context(), string(a), "/persona?cf="+string(a), "") // no method
	// A consumer that leaves while the ledger works: a statement says that nothing was released.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isSubmission(r) && ctx.Err() == nil {
			cancel()
			time.Sleep(50 * time.Millisecond)
		}
		next.ServeHTTP(w, r)
	})
	if g := f.call(ctx, http.MethodPost, "/persona", about(b)); g.err == nil {
		t.Fatalf("%+v", g)
	}
	f.eventually("the statement is known", func() bool { return len(f.records()) == 5 && len(f.memory.Unsettled()) == 0 })
	f.front.Close() // the calls have ended
	f.gateway.traces.Use(nil)

	data, err := os.ReadFile(f.parts.Traces.Name())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(a)) || bytes.Contains(data, []byte(b)) || bytes.Contains(data, []byte("rossi")) || bytes.Contains(data, []byte(f.sample.Voucher)) {
		t.Errorf("a line says too much:\n%s", data)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) != 9 {
		t.Fatalf("%d lines:\n%s", len(lines), data)
	}
	r := f.reconcile(lines)
	if !r.Proven() || r.Calls != 9 || r.By.Receipt != 3 || r.Cohorts != 1 || r.AboutNobody != 2 || r.Undelivered != 1 || r.Keyless != 2 || r.NotReleased != 2 || r.Others != 1 {
		t.Errorf("%+v\n%s", r, data)
	}
	for n := range 2 { // of the person, and of the list
		r = f.reconcile(slices.Delete(slices.Clone(lines), n, n+1))
		if r.Proven() || r.Found != 1 || r.Problems[0].Code != verifier.CodeMissingAtGateway {
			t.Errorf("without line %d: %+v", n+1, r)
		}
	}
}
