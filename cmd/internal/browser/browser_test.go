// SPDX-License-Identifier: EUPL-1.2

package browser_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

// static serves a site as any web server does, without a line of ours.
func static(t testing.TB, dir string) string {
	t.Helper()
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return s.URL
}

// verdict is what the browser's verifier says, as far as the command line says it too.
type verdict struct {
	Kind          string                  `json:"kind"`
	Result        string                  `json:"result"`
	Reason        string                  `json:"reason"`
	Problems      []ledger.Problem        `json:"problems"`
	Steps         []verifier.HistoryStep  `json:"steps"`
	Complete      bool                    `json:"complete"`
	CompleteUntil string                  `json:"complete_until"`
	Stale         bool                    `json:"stale"`
	Events        []verifier.HistoryEvent `json:"events"`
	Lists         []verifier.HistoryScope `json:"lists"`
	Logs          []verifier.HistoryShard `json:"logs"`
	Notes         map[string][]string     `json:"notes"`
	Checks        []verifier.Check        `json:"checks"`
	Ms            float64                 `json:"ms"` // from the first byte of the program until the verdict
	Checking      float64                 `json:"checking"`
}

// ask gives a file to a worker of the open page, and returns what it says.
func ask(t testing.TB, b *webtest.Browser, file []byte, trust string, now time.Time) verdict {
	t.Helper()
	text := webtest.Eval[string](b, fmt.Sprintf(`new Promise((resolve) => {
		const root = document.getElementById('verify'), base = new URL(root.dataset.base, document.baseURI).href;
		const w = new Worker(base + 'worker.js'), begin = performance.now();
		let ready = begin;
		w.onmessage = ({data}) => {
			if (data.type === 'ready') ready = performance.now();
			if (data.type !== 'verdict' && data.type !== 'failed') return;
			w.terminate();
			const v = data.type === 'verdict' ? JSON.parse(data.text) : {result: 'failed', reason: data.reason};
			v.ms = performance.now() - begin;
			v.checking = performance.now() - ready;
			resolve(JSON.stringify(v));
		};
		const file = Uint8Array.from(atob(%q), c => c.charCodeAt(0)).buffer;
		w.postMessage({base, integrity: root.dataset.wasm, file, trust: %s, now: %d}, [file]);
	})`, base64.StdEncoding.EncodeToString(file), quoted(trust), now.UnixMilli()))
	var v verdict
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
	return v
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// rules are those that the browser's verifier has.
var rules = verifier.Rules{Consents: func(name string, partial bool) verifier.Consents { return consent.NewList(name, partial) }}

// TestSameVerdict: in a browser exactly that is said which the command line says, over all vectors.
func TestSameVerdict(t *testing.T) {
	url := static(t, site(t))
	b := webtest.NewBrowser(t)
	b.Open(url)
	const dir = "../../../verifier/testdata/"
	trust := read(t, dir+"history/policy.txt")
	policy, err := checkpoint.ParsePolicy(trust)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ File, Now string }
	if err := json.Unmarshal(read(t, dir+"history/expect.json"), &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		now, err := time.Parse(time.RFC3339, v.Now)
		if err != nil {
			t.Fatal(err)
		}
		file := read(t, dir+"history/"+v.File)
		compare(t, v.File+" at "+v.Now, ask(t, b, file, string(trust), now), verifier.History(file, policy, now, rules))
		compare(t, "a piece of "+v.File, ask(t, b, file[:len(file)/2], string(trust), now), verifier.History(file[:len(file)/2], policy, now, rules))
	}
	blind := *policy
	blind.Monitors = nil
	text, err := checkpoint.FormatPolicy(&blind)
	if err != nil {
		t.Fatal(err)
	}
	file, now := read(t, dir+"history/whole.history"), time.Date(2026, 6, 1, 12, 5, 0, 0, time.UTC)
	r := verifier.History(file, &blind, now, rules)
	if len(r.Problems) == 0 || r.Problems[0].Code != verifier.CodeNoMonitor || r.Complete {
		t.Errorf("without a monitor: %v", r.Problems)
	}
	compare(t, "without a monitor", ask(t, b, file, string(text), now), r)
	if len(vectors) < 10 {
		t.Errorf("%d vectors", len(vectors))
	}
	compareReceipts(t, b, dir)
}

func compare(t *testing.T, name string, got verdict, r *verifier.HistoryReport) {
	t.Helper()
	problems := r.Problems
	if r.Malformed != nil {
		problems = []ledger.Problem{*r.Malformed}
	}
	if d := cmp.Diff(problems, got.Problems); d != "" {
		t.Errorf("%s: %s", name, d)
	}
	if (got.Result == "proven") != r.Proven() || got.Complete != r.Complete || got.Stale != r.Stale {
		t.Errorf("%s: %s, complete %v, stale %v; want %v, %v, %v", name, got.Result, got.Complete, got.Stale, r.Proven(), r.Complete, r.Stale)
	}
	for _, d := range []string{
		diffJSON(got.Events, r.Events), diffJSON(got.Lists, r.Scopes), diffJSON(got.Logs, r.Shards), diffJSON(got.Notes["en"], r.Notes("en")), diffJSON(got.Notes["it"], r.Notes("it")),
	} {
		if d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if r.Malformed == nil {
		if d := diffJSON(got.Steps, r.Steps()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func diffJSON(got, want any) string {
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	return cmp.Diff(strings.Replace(string(b), "[]", "null", 1), strings.Replace(string(a), "[]", "null", 1))
}

// compareReceipts: likewise of ledgers' answers, right and wrong ones.
func compareReceipts(t *testing.T, b *webtest.Browser, dir string) {
	t.Helper()
	for _, key := range []string{"log.vkey", "other.vkey"} {
		trust := read(t, dir+key)
		logs, err := checkpoint.ParseKeys(trust)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"answer.json", "range.json", "log.vkey"} {
			file := read(t, dir+name)
			for _, file := range [][]byte{file, []byte(strings.Replace(string(file), `"count":`, `"count":1`, 1))} {
				want, got := verifier.Receipt(file, logs, nil), ask(t, b, file, string(trust), time.Now())
				if d := diffJSON(got.Checks, want.Checks); d != "" || (got.Result == "proven") != want.Proven() {
					t.Errorf("%s with %s: %s %s", name, key, got.Result, d)
				}
			}
		}
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// give puts a file into the page's form, and whom to trust, and has it checked.
func give(b *webtest.Browser, file []byte, trust string) {
	webtest.Eval[bool](b, fmt.Sprintf(`(() => {
		const list = new DataTransfer();
		list.items.add(new File([Uint8Array.from(atob(%q), c => c.charCodeAt(0))], 'mine.history'));
		document.getElementById('verify-file').files = list.files;
		document.getElementById('verify-trust').value = %s;
		document.getElementById('verify-check').click();
		return true;
	})()`, base64.StdEncoding.EncodeToString(file), quoted(trust)))
}

// judged gives a file and waits for the verdict.
func judged(b *webtest.Browser, file []byte, trust, want string) {
	give(b, file, trust)
	b.Wait(`#verify-verdict[data-result=` + want + `]`)
}

// failedSteps are those that the page shows as failed.
func failedSteps(b *webtest.Browser) string {
	return webtest.Eval[string](b, `[...document.querySelectorAll('.verify-step[data-state=failed]')].map(s => s.dataset.step).join(' ')`)
}

// TestPage: what a person sees, on the static site.
func TestPage(t *testing.T) {
	dir := copied(t)
	url := static(t, dir)
	b := webtest.NewBrowser(t)
	b.Zone("America/New_York")
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	l := webtest.NewLedger(t, webtest.Config{Years: 1, Accesses: 6})
	bundle, err := l.History(context.Background(), webtest.Citizen)
	if err != nil {
		t.Fatal(err)
	}
	trust := string(read(t, filepath.Join(l.Dir, "policy.txt")))
	file := format(t, bundle)
	policy, _, err := l.ReaderPolicy()
	if err != nil {
		t.Fatal(err)
	}
	r := verifier.HistoryOf(bundle, policy, l.Now(), verifier.Rules{})
	last, err := time.Parse(time.RFC3339, r.Events[len(r.Events)-1].OccurredAt)
	if err != nil {
		t.Fatal(err)
	}

	for _, page := range []string{"/", "/en.html"} {
		b.Open(url + page)
		b.Look("verify-empty" + strings.Trim(page, "/."))
		judged(b, file, trust, "good")
		if ok := webtest.Eval[int](b, `document.querySelectorAll('.verify-steps[data-kind=history] > [data-state=ok]').length`); ok != len(verifier.StepNames()) {
			t.Errorf("%d steps are in order", ok)
		}
		if n := webtest.Eval[int](b, `document.querySelectorAll('#verify-events tbody tr').length`); n != len(bundle.Shards[0].Events) {
			t.Errorf("%d events are shown, of %d", n, len(bundle.Shards[0].Events))
		}
		until, when := webtest.Eval[string](b, `document.getElementById('verify-text').textContent`), webtest.Eval[string](b, `document.querySelector('#verify-events tbody td').textContent`)
		if !strings.Contains(until, r.CompleteUntil.In(rome).Format("15:04:05")) || !strings.Contains(when, last.In(rome).Format("15:04:05")) {
			t.Errorf("instants aren't told in Italy's time: %s, %s", until, when)
		}
		b.Look("verify-good" + strings.Trim(page, "/."))
	}
	b.Resize(webtest.Phone)
	b.Look("verify-good-320")
	b.Resize(webtest.Desktop)

	for _, lie := range lies {
		changed, err := l.History(context.Background(), webtest.Citizen)
		if err != nil {
			t.Fatal(err)
		}
		trust := trust
		lie.change(changed, &trust)
		judged(b, format(t, changed), trust, "bad")
		if got := failedSteps(b); got != lie.step {
			t.Errorf("%s: failed %q, want %q", lie.name, got, lie.step)
		}
		named := webtest.Eval[string](b, `document.querySelector('.verify-step[data-state=failed] .verify-step-title').dataset.name`)
		if told := webtest.Eval[string](b, `document.getElementById('verify-failed').textContent`); !strings.Contains(told, named) {
			t.Errorf("%s: the verdict doesn't name %q: %s", lie.name, named, told)
		}
		b.Look("verify-bad-" + strings.ReplaceAll(lie.name, " ", "-"))
	}
	b.Resize(webtest.Phone)
	b.Look("verify-bad-320")
	b.Resize(webtest.Desktop)

	judged(b, []byte("not a file of a ledger"), trust, "bad")
	if got := failedSteps(b); got != verifier.StepFile {
		t.Errorf("no file of a ledger: failed %q", got)
	}
	judged(b, file, "no keys", "unsure")
	b.Look("verify-no-trust")
	webtest.Eval[bool](b, fmt.Sprintf(`(() => {
		const list = new DataTransfer();
		list.items.add(new File([new Uint8Array(%d)], 'big'));
		document.getElementById('verify-file').files = list.files;
		document.getElementById('verify-check').click();
		return true;
	})()`, history.MaxFile+1))
	b.Wait(`#verify-verdict[data-result=unsure]`)
	if text := webtest.Eval[string](b, `document.getElementById('verify-text').textContent`); !strings.Contains(text, "32 MB") {
		t.Errorf("a file that is too long: %s", text)
	}
	b.Open(url + "/en.html")
	give(b, file, trust)
	webtest.Eval[bool](b, `document.getElementById('verify-cancel').click(), true`)
	if !webtest.Eval[bool](b, `['unsure', 'good'].includes(document.getElementById('verify-verdict').dataset.result)`) { // or it was done by then
		t.Error("a check that was stopped goes on")
	}
	if webtest.Eval[bool](b, `document.getElementById('verify-check').disabled`) {
		t.Error("after a check was stopped none can begin")
	}

	// Another program than the page was made for isn't run.
	if err := appendTo(filepath.Join(dir, "verifier.wasm"), "\x00\x02\x01x"); err != nil {
		t.Fatal(err)
	}
	b = webtest.NewBrowser(t) // one that hasn't the former in its cache
	b.Open(url + "/en.html")
	judged(b, file, trust, "unsure")
	if text := webtest.Eval[string](b, `document.getElementById('verify-text').textContent`); !strings.Contains(text, "digest") {
		t.Errorf("a changed program: %s", text)
	}
	b.Look("verify-other-program")
}

// lies are what a dishonest ledger may show, and the step that it fails by.
var lies = []struct {
	name, step string
	change     func(b *history.Bundle, trust *string)
}{
	{"another log", verifier.StepLog, func(b *history.Bundle, trust *string) {
		_, other, err := note.GenerateKey(nil, b.Shards[0].Origin)
		if err != nil {
			panic(err)
		}
		lines := strings.Split(*trust, "\n")
		for i, l := range lines {
			if strings.HasPrefix(l, "log "+b.Shards[0].Origin) {
				lines[i] = "log " + other
			}
		}
		*trust = strings.Join(lines, "\n")
	}},
	{"no witness", verifier.StepWitnesses, func(b *history.Bundle, _ *string) {
		text := string(b.Shards[0].Checkpoint)
		lines := slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(l string) bool { return strings.HasPrefix(l, "— witness.example ") })
		b.Shards[0].Checkpoint = []byte(strings.Join(lines, ""))
	}},
	{"a leaf changed", verifier.StepLeaves, func(b *history.Bundle, _ *string) {
		b.Shards[0].Leaves[1].Leaf = append(slices.Clone(b.Shards[0].Leaves[1].Leaf), ' ')
	}},
	{"a list left out", verifier.StepLists, func(b *history.Bundle, _ *string) {
		s := &b.Shards[0]
		s.Lists = slices.DeleteFunc(s.Lists, func(l history.List) bool { return l.Scope == ledger.ScopeReported })
	}},
	{"an event hidden", verifier.StepComplete, func(b *history.Bundle, _ *string) {
		s := &b.Shards[0]
		for i := range slices.Backward(s.Lists) { // inps, if it has any
			if s.Lists[i].Count > 0 {
				s.Lists[i].Count--
				s.Events = s.Events[:len(s.Events)-1]
				return
			}
		}
	}},
	{"an event withheld", verifier.StepEvents, func(b *history.Bundle, _ *string) {
		b.Shards[0].Events[0].Nonce, b.Shards[0].Events[0].Body = nil, nil
	}},
	{"another explanation", verifier.StepEvents, func(b *history.Bundle, _ *string) {
		e := &b.Shards[0].Events[0]
		e.Body = []byte(strings.Replace(string(e.Body), `"kind":"access"`, `"kind":"denied"`, 1))
	}},
}

func format(t testing.TB, b *history.Bundle) []byte {
	t.Helper()
	file, err := history.Format(b)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// BenchmarkVerify is how long a browser takes over a history, from the moment at which the page starts the worker (loading
// included, from a server on this machine), and without loading and compiling.
func BenchmarkVerify(b *testing.B) {
	url := static(b, site(b))
	for _, c := range []webtest.Config{{Years: 1, Accesses: 500, Scopes: 100}, {Years: 5, Accesses: 100, Scopes: 100}} {
		b.Run(fmt.Sprintf("years=%d/accesses=%d/scopes=%d", c.Years, c.Accesses, c.Scopes), func(b *testing.B) {
			l := webtest.NewLedger(b, c)
			bundle, err := l.History(context.Background(), webtest.Citizen)
			if err != nil {
				b.Fatal(err)
			}
			file, trust := format(b, bundle), string(read(b, filepath.Join(l.Dir, "policy.txt")))
			browser := webtest.NewBrowser(b)
			browser.Open(url)
			var all, checking float64
			events := 0
			for b.Loop() {
				v := ask(b, browser, file, trust, time.Now())
				if v.Result != "proven" {
					b.Fatal(v.Result, v.Reason, v.Problems)
				}
				all, checking, events = all+v.Ms, checking+v.Checking, len(v.Events)
			}
			b.ReportMetric(all/float64(b.N), "ms")
			b.ReportMetric(checking/float64(b.N), "checking-ms")
			b.ReportMetric(float64(events), "events")
			b.ReportMetric(float64(len(file)), "file-B")
			start := time.Now()
			policy, err := checkpoint.ParsePolicy([]byte(trust))
			if err != nil || !verifier.History(file, policy, time.Now(), rules).Proven() {
				b.Fatal(err)
			}
			b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "native-ms")
		})
	}
}
