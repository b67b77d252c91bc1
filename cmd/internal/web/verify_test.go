// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	wasm "github.com/traccia-ledger/traccia/cmd/internal/browser"
	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestVerify: browsers get the verifier that the log records and no other, and check with it the history of whoever entered.
func TestVerify(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: building the browser's verifier takes a while")
	}
	out := filepath.Join(t.TempDir(), "verifier")
	if err := (wasm.Build{Source: "../../..", Out: out, Fast: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	built, err := wasm.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	var ready *wasm.Site
	l := webtest.NewLedger(t, webtest.Config{Years: 1, Accesses: 12})
	s := serveNode(t, l.Node, func(c *Config) { c.Verifier = func() *wasm.Site { return ready } })
	visitor := s.visitor()
	for _, state := range []string{"not built", "not recorded"} {
		for lang, says := range map[string]string{"it": "non è ancora pronto", "en": "ready on this ledger yet"} {
			if a := visitor.get("/" + lang + "/verifica"); a.status != http.StatusOK || !strings.Contains(a.body, says) || strings.Contains(a.body, "<script") {
				t.Errorf("%s: %d, or it doesn't say so", state, a.status)
			}
		}
		if a := visitor.get("/verificatore/verifier.wasm"); a.status != http.StatusNotFound {
			t.Errorf("%s: the program is given: %d", state, a.status)
		}
		ready = built
	}
	index, err := l.PublishBuild(t.Context(), built.Sums, "test", built.Made.Toolchain)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.PublishBuild(t.Context(), built.Sums, "test", built.Made.Toolchain); err != nil || again != index {
		t.Errorf("published again: %d, %v, want %d", again, err, index)
	}
	if sums, err := l.Blob(t.Context(), built.Digest); err != nil || string(sums) != string(built.Sums) {
		t.Errorf("the log serves %d bytes of SHA256SUMS: %v", len(sums), err)
	}

	page := visitor.get("/it/verifica")
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "'wasm-unsafe-eval'") || strings.Contains(csp, "'unsafe-") {
		t.Errorf("policy %q", csp)
	}
	if strings.Contains(page.body, verifyPath+"/mia") {
		t.Error("a visitor is offered a history of their own")
	}
	if whole := `<a href="/it/accessi/intero">`; !strings.Contains(page.body, whole) || !strings.Contains(page.body, `id="verify-check" type="button" disabled>`) {
		t.Error("where no script runs the page offers to check, or no history to check elsewhere")
	}
	if a := visitor.get("/it"); strings.Contains(a.header.Get("Content-Security-Policy"), "wasm") {
		t.Error("other pages may run programs too")
	}
	if a := visitor.get("/verificatore/verifier.wasm", "Accept-Encoding", "br"); a.status != http.StatusOK || a.header.Get("Content-Encoding") != "br" || a.header.Get("Content-Type") != "application/wasm" {
		t.Errorf("the program: %d %v", a.status, a.header)
	}
	if a := visitor.post("/it/verifica/mia", nil); a.status != http.StatusForbidden {
		t.Errorf("a visitor's own history: %d", a.status)
	}
	citizen := s.enter(webtest.Citizen)
	if a := citizen.do(http.MethodPost, "/it/verifica/mia", nil, "Sec-Fetch-Site", "cross-site"); a.status != http.StatusForbidden {
		t.Errorf("asked from another site: %d", a.status)
	}
	mine := citizen.post("/it/verifica/mia", nil)
	policy, _, err := l.ReaderPolicy()
	if err != nil {
		t.Fatal(err)
	}
	r := verifier.History([]byte(mine.body), policy, time.Now(), verifier.Rules{})
	if mine.status != http.StatusOK || r.Subject != webtest.Citizen || len(r.Events) == 0 {
		t.Errorf("the citizen's history: %d, %d events, %v", mine.status, len(r.Events), r.Problems)
	}
	if text, err := checkpoint.FormatPolicy(policy); err != nil || !strings.Contains(page.body, strings.Fields(string(text))[1][:20]) {
		t.Errorf("the page doesn't say whom it trusts: %v", err)
	}

	b := s.open(webtest.Citizen)
	for _, lang := range []string{"it", "en"} {
		b.Resize(webtest.Desktop)
		b.Open(s.URL + "/" + lang + "/verifica")
		b.Look("verify-page-" + lang)
		b.Click("#verify-mine", "#verify-verdict[data-result=good]")
		b.Look("verify-page-good-" + lang)
		told := slices.Collect(maps.Values(words.Purposes(lang)))
		for _, e := range r.Events {
			if !strings.Contains(e.Purpose, "://") { // in words of its own
				told = append(told, e.Purpose)
			}
		}
		shown := webtest.Eval[[]string](b, `[...document.querySelectorAll('#verify-events tbody td:nth-child(3)')].map(td => td.textContent)`)
		if len(shown) == 0 || slices.ContainsFunc(shown, func(purpose string) bool { return !slices.Contains(told, purpose) }) {
			t.Errorf("%s: purposes in other words than the list's: %q", lang, shown)
		}
		b.Resize(webtest.Phone)
		b.Look("verify-page-good-phone-" + lang)
	}
	b.Resize(webtest.Desktop)
	webtest.Eval[bool](b, `document.getElementById('verify-trust').value = document.getElementById('verify-trust').value.replace(/^witness witness .*$/m, 'witness witness alfa.example+7dc4d3f5+BNNU+j5+qhVZP3UYDGbmFohIp0B1jzYoVCjShbFLzFEp'), true`)
	b.Click("#verify-mine", "#verify-verdict[data-result=bad]")
	b.Look("verify-page-bad")
	b.Resize(webtest.Phone)
	b.Look("verify-page-bad-phone")
}
