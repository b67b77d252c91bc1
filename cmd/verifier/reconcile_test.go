// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/govway"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestReconcileScripts drives the binary over what a real ledger acknowledged and what a gateway in front of it would have traced.
func TestReconcileScripts(t *testing.T) {
	hubScripts(t, "testdata/reconcile", map[string]func(*testscript.TestScript, bool, []string){
		// cohort: an aggregate of the hub's
		"cohort": func(ts *testscript.TestScript, _ bool, _ []string) {
			ts.Check(ts.Value("ledger").(*hubLedger).cohort())
		},
		// list FILE: the list of the consumer of the last access, looked up first
		"list": func(ts *testscript.TestScript, _ bool, args []string) {
			file, err := ts.Value("ledger").(*hubLedger).list(true, 1000)
			ts.Check(err)
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), file, 0o600))
		},
		// traces FOLDER CONSUMER: what was submitted, for the consumer of the last access or for all, as the files of each side
		"traces": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(ts.Value("ledger").(*hubLedger).traces(ts.MkAbs(args[0]), args[1] == "last"))
		},
		// nobody FILE...: names no citizen and no voucher
		"nobody": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, name := range args {
				text := ts.ReadFile(name)
				for _, s := range ts.Value("ledger").(*hubLedger).all {
					jti, _, _ := claims(s.Voucher)
					if strings.Contains(text, string(s.Subjects[0].Subject)) || strings.Contains(text, jti) {
						ts.Fatalf("%s says too much", name)
					}
				}
			}
		},
	})
}

func claims(voucher string) (jti, purpose, eservice string) {
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(voucher, ".")[1])
	var c struct{ JTI, PurposeID, EServiceID string }
	json.Unmarshal(payload, &c)
	return c.JTI, c.PurposeID, c.EServiceID
}

// traces writes traccia.log, shown.log (with receipts), submissions.ndjson and tracing.csv.
func (l *hubLedger) traces(folder string, last bool) error {
	consumer, err := l.consumer()
	if err != nil {
		return err
	}
	var plain, shown, submissions bytes.Buffer
	counts := map[string]int{}
	call := func(r *ledger.Receipt, voucher, evidence, requestDigest string, headers ...string) error {
		sum, err := hex.DecodeString(requestDigest)
		if err != nil {
			return err
		}
		jti, purpose, eservice := claims(voucher)
		fields := []string{
			"traccia", "tx" + r.JTI, strings.Replace(r.Occurred().UTC().Format("2006-01-02 15:04:05.000"), ".", ":", 1), jti, purpose, eservice, evidence,
			"SHA-256=" + base64.StdEncoding.EncodeToString(sum), r.Operation.Method, "200",
		}
		fmt.Fprintln(&plain, govway.FormatFields(append(fields, "")))
		fmt.Fprintln(&shown, govway.FormatFields(append(fields, headers...)))
		counts[fmt.Sprintf("%s,%s,%s,200", r.Occurred().UTC().Format(time.DateOnly), purpose, jti)]++
		return nil
	}
	for _, s := range l.all {
		r, err := ledger.ParseReceipt(s.Receipt)
		if err != nil {
			return err
		}
		if last && r.Consumer != consumer {
			continue
		}
		private, err := ledger.ParsePrivate(s.Private.Content)
		if err != nil {
			return err
		}
		if err := call(&r.Receipt, s.Voucher, s.Evidence, private.RequestDigest, r.ReceiptID()+"; index=1"); err != nil {
			return err
		}
		raw, err := ledger.FormatSubmission(s)
		if err != nil {
			return err
		}
		fmt.Fprintf(&submissions, "%s\n", raw)
	}
	for _, s := range l.cohorts {
		c, _, err := ledger.ParseCohort(s.Statement)
		if err != nil {
			return err
		}
		if last && c.Consumer != consumer {
			continue
		}
		if err := call(c.Access(), s.Voucher, s.Evidence, s.RequestDigest, "", c.ID()+"; index=1"); err != nil {
			return err
		}
	}
	filed := "date,purpose_id,token_id,status,requests_count\r\n"
	for row, n := range counts {
		filed += fmt.Sprintf("%s,%d\r\n", row, n)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	for name, text := range map[string][]byte{"traccia.log": plain.Bytes(), "shown.log": shown.Bytes(), "submissions.ndjson": submissions.Bytes(), "tracing.csv": []byte(filed)} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// TestReconcileWords: each text of a comparison is said in Italian, and what isn't known is marked as English.
func TestReconcileWords(t *testing.T) {
	for text, want := range map[string]phrase{
		"none":                      {"niente", ""},
		"200":                       {"200", ""},
		"the receipt inps/1":        {"la ricevuta inps/1", ""},
		"that of traces/0/line/2":   {"quella di traces/0/line/2", ""},
		"the voucher as ledger/a/7": {"il voucher, come ledger/a/7", ""},
		"a refusal as ledger/a/7":   {"un rifiuto, come ledger/a/7", ""},
		"3 requests on 2026-11-22 for purpose 4a153b51":                                                {"3 richieste del 2026-11-22 per la finalità 4a153b51", ""},
		"2 calls bear neither a voucher nor a receipt, as those of other APIs: they weren't compared.": {"2 chiamate non hanno voucher né ricevuta, come quelle di altre API: non sono state confrontate.", ""},
		"a whole list": {"a whole list", "en"},
	} {
		if got := phraseOf("it", text); got != want {
			t.Errorf("%q is %+v", text, got)
		}
		if got := phraseOf("en", text); got != (phrase{text, ""}) {
			t.Errorf("%q in English is %+v", text, got)
		}
	}
	for code := range reconcileWords["it"] {
		if reconcileWords["en"][code] == "" {
			t.Errorf("no English %s", code)
		}
	}
}

// TestDiskSorter: whatever fits into memory, items come in the same order, and each as it was; nothing is left in the folder.
func TestDiskSorter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var items []verifier.ReconcileItem
	for n := range 1000 {
		items = append(items, verifier.ReconcileItem{
			Key: fmt.Sprint("k", random.IntN(300)), Side: byte('a' + random.IntN(3)), Time: random.Int64N(50) - 3, File: uint32(random.IntN(3)), Line: uint64(n), Origin: "registro.example/2026",
			Index: random.Uint64(), Role: "provider", Kind: "access", Receipt: fmt.Sprint(n), Pair: "p", Voucher: "v", Purpose: "", EService: "e", Method: "GET", Status: 200, Count: 1,
		})
	}
	want := slices.Clone(items)
	slices.SortFunc(want, func(a, b verifier.ReconcileItem) int { return compareItems(&a, &b) })
	for _, most := range []int{1, 7, 500, 1000, 2000} {
		dir := t.TempDir()
		s := newDiskSorter(reconciled, dir, most)
		for n := range items {
			if err := s.Add(&items[n]); err != nil {
				t.Fatal(err)
			}
		}
		var got []verifier.ReconcileItem
		for i, err := range s.Sorted() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, *i)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d in memory: %s", most, diff)
		}
		if len(s.runs) > mergedAtOnce+1 {
			t.Errorf("%d files", len(s.runs))
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%d files left", len(left))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkReconcile compares as many lines of traces as entries of records and of tracing files in all.
func BenchmarkReconcile(b *testing.B) {
	const calls = 400_000
	for b.Loop() {
		dir := b.TempDir()
		r, err := verifier.NewReconciler(verifier.ReconcileConfig{
			NewSorter: func() (verifier.Sorter[verifier.ReconcileItem], error) {
				return newDiskSorter(reconciled, dir, sortedInMemory), nil
			},
			Zone: time.UTC, Window: time.Minute, Traces: true, Ledger: true, Tracing: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		columns, _ := verifier.ParseTracingHeader([]byte("date,purpose_id,token_id,status,requests_count"))
		const purpose = "4a153b51-5d47-4db9-be7e-e73dbcae4bb9"
		for n := range calls {
			jti, voucher := fmt.Sprintf("5a0e7b3c-52f0-4d0e-9d5e-%012d", n*7919%calls), fmt.Sprintf("99382e29-b0cf-412b-a060-%012d", n/2)
			line := govway.FormatFields([]string{"traccia", jti, "2026-11-22 10:00:00:123", voucher, purpose, purpose, "a.b.c", "", "GET", "200", "inps/" + jti + "; index=1"})
			if err := r.Trace(0, uint64(n+1), []byte(line)); err != nil {
				b.Fatal(err)
			}
			entry := own.AppendEntry(nil, &own.Entry{Subject: "RSSMRA80A01H501U", Origin: "registro.example/2026", Index: uint64(n), Receipt: "inps/" + jti, At: 1795341600000})
			if err := r.Record(uint64(n+1), entry[:len(entry)-1]); err != nil {
				b.Fatal(err)
			}
			if n%2 == 0 {
				if err := r.Filed(0, uint64(n+2), []byte("2026-11-22,"+purpose+","+voucher+",200,2"), columns); err != nil {
					b.Fatal(err)
				}
			}
		}
		report, err := r.Conclude()
		r.Close()
		if err != nil || !report.Proven() || report.By.Receipt != calls {
			b.Fatalf("%+v, %v", report, err)
		}
		b.ReportMetric(float64(calls)*2.5, "lines/op")
	}
}
