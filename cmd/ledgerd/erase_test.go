// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// eraseArgs are those of an erasure of people, whose codes go into a file.
func eraseArgs(t *testing.T, dir string, people []int, more ...string) []string {
	t.Helper()
	var text strings.Builder
	for _, p := range people {
		text.WriteString(string(nodetest.Person(p)) + "\n")
	}
	file := filepath.Join(t.TempDir(), "subjects")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return append([]string{"erase", "--data", dir, "--subject-file", file, "--json"}, more...)
}

func TestEraseCommand(t *testing.T) {
	w, dir := newData(t)
	server := serve(t, "serve", "--data", dir)
	for n := range 3 {
		if status, _, err := post(server.ready.URL, w.Make(t, n, nodetest.Access{Subjects: 1, First: n})); err != nil || status != http.StatusCreated {
			t.Fatalf("%d %v", status, err)
		}
	}
	month := seal.Month(time.Now())
	erase := func(people []int, more ...string) map[string]any {
		t.Helper()
		p := ledgerd(t, eraseArgs(t, dir, people, more...)...)
		if p.code != 0 {
			t.Fatalf("exit %d: %s", p.code, p.stderr.String())
		}
		for _, i := range people {
			if code := string(nodetest.Person(i)); strings.Contains(p.stdout.String()+p.stderr.String(), code) {
				t.Error("the command prints whom it erases")
			}
		}
		return p.answer()
	}
	answer := func(dry bool, wraps int, months ...any) map[string]any {
		if months == nil {
			months = []any{}
		}
		return map[string]any{"schema": "traccia/ledgerd-erase/1", "dry_run": dry, "wraps": float64(wraps), "months": months, "held": []any{}, "requests": float64(wraps), "record_index": 0.0}
	}
	for _, step := range []struct {
		people []int
		more   []string
		want   map[string]any
	}{
		{[]int{0}, nil, answer(true, 1, month)},
		{[]int{0}, []string{"--month", "2020-01"}, answer(true, 0)},
		{[]int{7}, []string{"--apply"}, answer(false, 0)},
		{[]int{0, 7, 0}, []string{"--apply", "--month", month}, answer(false, 1, month)},
		{[]int{0}, []string{"--apply"}, answer(false, 0)},
	} {
		if d := cmp.Diff(step.want, erase(step.people, step.more...)); d != "" {
			t.Errorf("%v %v: %s", step.people, step.more, d)
		}
	}
	for n, want := range []int{http.StatusGone, http.StatusOK} { // sent again
		if status, _, err := post(server.ready.URL, w.Make(t, n, nodetest.Access{Subjects: 1, First: n})); err != nil || status != want {
			t.Errorf("person %d: %d %v, want %d", n, status, err, want)
		}
	}

	// A hold keeps what it is for.
	hold := ledgerd(t, "retention", "--data", dir, "--hold-add", month, "--reason", "proc. 1/2026", "--json")
	want := map[string]any{
		"schema": "traccia/ledgerd-retention/1", "dry_run": true, "term": 24.0, "record_index": 3.0,
		"kept": []any{map[string]any{"month": month}}, "due": []any{}, "destroyed": []any{},
		"holds": []any{map[string]any{"month": month, "reason": "proc. 1/2026"}},
	}
	if d := cmp.Diff(want, hold.answer()); hold.code != 0 || d != "" {
		t.Errorf("exit %d: %s", hold.code, d)
	}
	if held := erase([]int{1}); held["wraps"] != 1.0 || !cmp.Equal(held["held"], []any{month}) {
		t.Errorf("a dry run in a month under a hold: %v", held)
	}
	if p := ledgerd(t, eraseArgs(t, dir, []int{1}, "--apply")...); p.code == 0 {
		t.Error("erased in a month under a hold")
	}
	server.stop()
	if log := server.stderr.String(); strings.Contains(log, string(nodetest.Person(0))) || !strings.Contains(log, "erased") {
		t.Errorf("the server's log: %s", log)
	}

	// The same without a server.
	if p := ledgerd(t, "retention", "--data", dir, "--hold-remove", month, "--json"); p.code != 0 {
		t.Fatalf("exit %d: %s", p.code, p.stderr.String())
	}
	if d := cmp.Diff(answer(false, 1, month), erase([]int{1}, "--apply")); d != "" {
		t.Error(d)
	}
	fsck := ledgerd(t, "fsck", "--data", dir, "--json")
	if got := fsck.answer(); fsck.code != 0 || got["bodies_erased"] != 2.0 || got["bodies_checked"] != 3.0 { // and two requests
		t.Errorf("fsck: exit %d, %v", fsck.code, got)
	}
	request := filepath.Join(t.TempDir(), "request")
	if err := os.WriteFile(request, append(w.Request(t, 0, nodetest.Consumers[0], month, nodetest.Person(2)), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		more []string
		want map[string]any
	}{{nil, answer(true, 1, month)}, {[]string{"--apply"}, answer(false, 1, month)}} {
		p := ledgerd(t, append([]string{"erase", "--data", dir, "--request", request, "--json"}, step.more...)...)
		if d := cmp.Diff(step.want, p.answer()); p.code != 0 || d != "" {
			t.Errorf("a body's request %v: exit %d, %s%s", step.more, p.code, d, p.stderr.String())
		}
	}
	if p := ledgerd(t, "erase", "--data", dir, "--request", request, "--apply", "--json"); p.code != 1 || !strings.Contains(p.stdout.String(), `"code":"request_used"`) {
		t.Errorf("the same request again: exit %d, %s", p.code, p.stdout.String())
	}
	if p := ledgerd(t, "retention", "--data", dir, "--term", "36", "--apply", "--json"); p.code != 0 || p.answer()["term"] != 36.0 {
		t.Errorf("another term: exit %d, %s", p.code, p.stdout.String())
	}
}

func TestEraseRefusals(t *testing.T) {
	_, dir := newData(t)
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "subjects")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	person := string(nodetest.Person(1))
	wrong := person[:10] + string('0'+(person[10]-'0'+1)%10)
	for name, args := range map[string][]string{
		"no file":              {"erase"},
		"an empty file":        {"erase", "--subject-file", file("\n\n")},
		"a wrong code":         {"erase", "--subject-file", file(person + "\n" + wrong)},
		"a file and a request": {"erase", "--subject-file", file(person), "--request", file(person)},
		"no month":             {"erase", "--subject-file", file(person), "--month", "2026-13"},
		"no term":              {"retention", "--term", "0"},
		"a hold for nothing":   {"retention", "--hold-add", "2026-11"},
		"a hold on a year":     {"retention", "--hold-add", "2026", "--reason", "x"},
		"two steps at once":    {"retention", "--hold-remove", "2026-11", "--apply"},
	} {
		p := ledgerd(t, append(args, "--data", dir)...)
		if p.code != 2 {
			t.Errorf("%s: exit %d", name, p.code)
		}
		if out := p.stdout.String() + p.stderr.String(); strings.Contains(out, wrong) || strings.Contains(out, person) {
			t.Errorf("%s: the code is printed", name)
		}
	}
	if p := ledgerd(t, "retention", "--hold-remove", "2026-11", "--data", dir, "--json"); p.code == 0 {
		t.Error("a hold that there isn't was ended")
	}
	if d := cmp.Diff([]any{}, ledgerd(t, "retention", "--data", dir, "--json").answer()["kept"]); d != "" {
		t.Error(d)
	}
}
