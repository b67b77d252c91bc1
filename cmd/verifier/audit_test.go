// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/verifier"
)

// writeList writes a made list and the policy that trusts it into a directory, and gives their names.
func writeList(t testing.TB, dir string, events int) (list, policy string, made int) {
	t.Helper()
	m := newListMaker(t, 1)
	list, policy = filepath.Join(dir, "c_a944-2026.list"), filepath.Join(dir, "policy.txt")
	file, err := os.Create(list)
	if err != nil {
		t.Fatal(err)
	}
	made = m.write(file, events)
	text, err := checkpoint.FormatPolicy(m.policy)
	if err == nil {
		err = os.WriteFile(policy, text, 0o600)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return list, policy, made
}

func runVerifier(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Run(context.Background(), newRoot(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// anyCode finds what could be a citizen's code.
var anyCode = regexp.MustCompile(`[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]`)

// TestAudit makes every document of an audit, in both languages: each is self-contained, names nobody that it mustn't, and is
// the same however often it is made.
func TestAudit(t *testing.T) {
	dir := t.TempDir()
	list, policy, made := writeList(t, dir, 1000)
	one := firstCitizen(t, list)
	subject := filepath.Join(dir, "who.txt")
	purposes := filepath.Join(dir, "purposes.json")
	declared := `{"schema":"traccia/declared-purposes/1","body":"c_a944","purposes":[{"purpose_id":"` + listUses[0].id + `","name":"ISEE"},{"purpose_id":"` + listUses[1].id + `","name":"Affitto"}]}`
	records := filepath.Join(dir, "own.ndjson")
	entry := own.Entry{Subject: ledger.Subject(one), Origin: listOrigin, Index: 7, Receipt: "c_a944/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", At: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixMilli()}
	for name, text := range map[string]string{subject: one + "\n", purposes: declared, records: string(own.AppendEntry(nil, &entry))} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := []string{"audit.html", "all.csv", "register.html", "breach.html", "people.csv", "answer.html"}
	var last map[string]string
	languages := []string{"en", "en", "it"}
	if testing.Short() {
		languages = languages[1:2]
	}
	for _, lang := range languages {
		got := map[string]string{}
		args := []string{
			"audit", "--json", "--body", "c_a944", "--list", list, "--policy", policy, "--from", "2026-01-12", "--to", "2026-06-30", "--purposes", purposes, "--watch", subject,
			"--lang", lang, "--breach-operator", "CMB0131", "--subject-file", subject, "--records", records, "--temp", dir,
		}
		for n, flag := range []string{"--html", "--csv", "--register", "--breach", "--affected", "--answer"} {
			args = append(args, flag, filepath.Join(dir, files[n]))
		}
		code, out, errs := runVerifier(args...)
		if code != cli.ExitNotProven {
			t.Fatalf("exit %d: %s", code, errs)
		}
		got["json"] = out
		for _, name := range files {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
			}
			got[name] = string(text)
		}
		for name, text := range got {
			named := anyCode.FindString(text)
			switch {
			case name == "people.csv" && named == "", name == "answer.html" && named != one, name != "people.csv" && name != "answer.html" && named != "":
				t.Errorf("%s names %q", name, named)
			}
			// The breach is about an operator whom the DPO named.
			if name != "breach.html" && strings.Contains(text, "CMB0") {
				t.Errorf("%s names an operator", name)
			}
			if regexp.MustCompile(`(src|href)="[^#]|@import|url\(|<script|%!|&lt;no value|ZgotmplZ`).MatchString(text) {
				t.Errorf("%s isn't self-contained, or says something it shouldn't", name)
			}
		}
		if lang == "en" && last != nil && strings.Contains(last["audit.html"], `lang="en"`) {
			if d := cmp.Diff(last, got); d != "" {
				t.Errorf("the same list gives other documents: %s", d)
			}
		}
		last = got
	}
	look(t, dir, "audit.html", "register.html", "breach.html", "answer.html")
	var a struct {
		Result string `json:"result"`
		verifier.AuditReport
	}
	if err := json.Unmarshal([]byte(last["json"]), &a); err != nil {
		t.Fatal(err)
	}
	if a.Accesses+a.Outside != uint64(made) || a.Result != "not_proven" || a.WithoutPrivate != 0 {
		t.Errorf("%d accesses of %d, %s", a.Accesses, made, a.Result)
	}
	var codes []string
	for _, f := range a.Findings {
		codes = append(codes, f.Code)
	}
	for _, want := range []string{verifier.CodePurposeUnlisted, verifier.CodeBurst, verifier.CodeOutOfHours, verifier.CodeNoCase, verifier.CodeShift, verifier.CodeCaseEmpty, verifier.CodeWatched} {
		if !slices.Contains(codes, want) {
			t.Errorf("no %s among %v", want, codes)
		}
	}
	if a.Provided == nil || a.Provided.Events != 1 || len(a.SubjectProvided) != 1 {
		t.Errorf("by the body's own records: %+v, %+v", a.Provided, a.SubjectProvided)
	}
	rows, err := csv.NewReader(strings.NewReader(last["people.csv"])).ReadAll()
	if err != nil || uint64(len(rows)-1) != a.Breach.Citizens || a.Breach.Citizens < 75 {
		t.Errorf("%d rows for %d citizens: %v", len(rows), a.Breach.Citizens, err)
	}
	// The register states no measure that the accesses don't show.
	measures := fmt.Sprintf(`ciascuno con una ricevuta firmata, in un registro a prova di manomissione: %[1]s, di cui con la firma di chi detiene i dati: %[1]s. Altre misure: <span class="blank">`, numberText("it", a.Accesses))
	if r := last["register.html"]; !strings.Contains(r, measures) || !strings.Contains(r, `Categorie di interessati</th><td><span class="blank">`) {
		t.Errorf("the register has other measures than %s", measures)
	}
	// As text, and with operators; of no period, so of the list's.
	whole := filepath.Join(dir, "whole.html")
	code, out, _ := runVerifier("audit", "--body", "c_a944", "--list", list, "--policy", policy, "--show-operators", "--temp", dir, "--answer", whole, "--subject-file", subject)
	if code != cli.ExitDone || !strings.Contains(out, "A burst of accesses by an operator: 75, CMB0131") || !strings.Contains(out, "complete up to") || !strings.HasPrefix(out, "c_a944, 2026-01-01 to 2026-") {
		t.Errorf("exit %d: %s", code, out)
	}
	if text, err := os.ReadFile(whole); err != nil || !strings.Contains(string(text), "nel periodo dal 01/01/2026 al ") || strings.Contains(string(text), "…") {
		t.Errorf("the answer has no period: %v\n%s", err, text)
	}
	// What a list lacks is said in the verifier's words, which the page marks as such.
	code, _, _ = runVerifier("audit", "--body", "c_a944", "--list", list, "--policy", policy, "--to", "2027-12-31", "--temp", dir, "--html", whole)
	if text, err := os.ReadFile(whole); err != nil || code != cli.ExitNotProven || !strings.Contains(string(text), `<td lang="en">a list that is complete to the period&#39;s end</td>`) || !strings.Contains(string(text), "Atteso (in inglese)") {
		t.Errorf("exit %d, %v\n%s", code, err, text)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "traccia-audit-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for name, args := range map[string][]string{
		"another body":        {"--body", "c_f205", "--list", list, "--policy", policy, "--purposes", purposes},
		"no body's id":        {"--body", "C A", "--list", list, "--policy", policy},
		"a day that is none":  {"--body", "c_a944", "--list", list, "--policy", policy, "--from", "12/01/2026"},
		"hours that are none": {"--body", "c_a944", "--list", list, "--policy", policy, "--hours", "20:00-07:00"},
		"a holiday":           {"--body", "c_a944", "--list", list, "--policy", policy, "--closed", "4 October"},
		"no language":         {"--body", "c_a944", "--list", list, "--policy", policy, "--lang", "de"},
		"citizens affected":   {"--body", "c_a944", "--list", list, "--policy", policy, "--affected", "x.csv"},
		"codes that are none": {"--body", "c_a944", "--list", list, "--policy", policy, "--watch", policy},
		"no threshold":        {"--body", "c_a944", "--list", list, "--policy", policy, "--burst", "0"},
	} {
		if code, _, errs := runVerifier(append([]string{"audit"}, args...)...); code != cli.ExitUsage || anyCode.MatchString(errs) {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
	}
}

// firstCitizen is the code of a list's first citizen.
func firstCitizen(t *testing.T, list string) string {
	t.Helper()
	file, err := os.Open(list)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p, err := history.NewAgencyReader(file).Next()
	if err != nil {
		t.Fatal(err)
	}
	body, err := ledger.ParseBody(p.Events[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body.Subject.Code)
}

// TestAuditWords: both languages say the same things, with the same places to fill.
func TestAuditWords(t *testing.T) {
	verbs := regexp.MustCompile(`%[^ %]*[a-z]|%%`)
	for key, it := range auditItalian {
		en, ok := auditEnglish[key]
		if !ok || !slices.Equal(verbs.FindAllString(it, -1), verbs.FindAllString(en, -1)) {
			t.Errorf("%s: %q, %q", key, it, en)
		}
	}
	for key := range auditEnglish {
		if _, ok := auditItalian[key]; !ok && key != "answer_deferred" { // of the text alone, which is English
			t.Errorf("%s isn't in Italian", key)
		}
	}
	for lang, want := range map[string]string{"it": "1 operatore noto, 2 operatori noti", "en": "1 known operator, 2 known operators"} {
		p := &auditPage{W: auditWords[lang]}
		if got := fmt.Sprintf("1 %s, 2 %s", p.Some(1, "operators"), p.Some(2, "operators")); got != want {
			t.Errorf("%s: %s", lang, got)
		}
		for _, key := range []string{"accesses", "denied", "citizens", "grave", "look"} {
			if p.Some(1, key) == "" {
				t.Errorf("%s: one of %s is called nothing", lang, key)
			}
		}
	}
	for code := range auditFindings["it"] {
		if _, ok := auditFindings["en"][code]; !ok {
			t.Errorf("%q isn't in English", code)
		}
	}
	if len(auditFindings["it"]) != len(auditFindings["en"]) {
		t.Error("a finding isn't in Italian")
	}
}

// TestAuditSorted: what was kept on disk comes back as it was.
func TestAuditSorted(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var items []verifier.AuditItem
	for n := range 1000 {
		i := verifier.AuditItem{
			Key: fmt.Sprint("k", random.IntN(300)), Time: random.Int64N(50) - 3, Epoch: 2026, Index: uint64(n), Use: random.Uint32(), Flags: random.Uint64(),
			Receipt: "inps/1", Operator: "m.rossi", Case: "", Subject: "s",
		}
		if n%3 == 0 {
			i.Data = []byte{0, byte(n)}
		}
		items = append(items, i)
	}
	want := slices.Clone(items)
	slices.SortFunc(want, func(a, b verifier.AuditItem) int { return compareAudited(&a, &b) })
	for _, most := range []int{7, 2000} {
		s := newDiskSorter(audited, t.TempDir(), most)
		for n := range items {
			if err := s.Add(&items[n]); err != nil {
				t.Fatal(err)
			}
		}
		var got []verifier.AuditItem
		for i, err := range s.Sorted() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, *i)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%d in memory: %s", most, d)
		}
		s.Close()
	}
}

// BenchmarkAudit audits a list of 20,000 events, or with TRACCIA_BENCH_LARGE=1 of a million.
func BenchmarkAudit(b *testing.B) {
	events := 20_000
	if os.Getenv("TRACCIA_BENCH_LARGE") == "1" {
		events = 1_000_000
	}
	dir := b.TempDir()
	list, policy, made := writeList(b, dir, events)
	for b.Loop() {
		if code, _, errs := runVerifier("audit", "--body", "c_a944", "--list", list, "--policy", policy, "--html", filepath.Join(dir, "a.html"), "--temp", dir); code != cli.ExitDone {
			b.Fatal(code, errs)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(made), "µs/event")
}
