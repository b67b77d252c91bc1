// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// TestEraseAsked: the operator lists what citizens ask for, without their codes unless asked, and answers.
func TestEraseAsked(t *testing.T) {
	w, dir := newData(t)
	server := serve(t, "serve", "--data", dir)
	if status, _, err := post(server.ready.URL, w.Make(t, 0, nodetest.Access{Subjects: 1, First: 1})); err != nil || status != http.StatusCreated {
		t.Fatalf("%d %v", status, err)
	}
	server.stop()
	month := seal.Month(time.Now())
	var ids []string
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		r, err := n.RequestErasure(t.Context(), nodetest.Person(i+1), []string{month}, "a", "Parole mie")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	server = serve(t, "serve", "--data", dir)
	erase := func(more ...string) *process {
		t.Helper()
		return ledgerd(t, append([]string{"erase", "--data", dir}, more...)...)
	}
	list := erase("--requests").stdout.String()
	for _, want := range []string{ids[0], ids[1], "Parole mie", "answer by", month} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q: %s", want, list)
		}
	}
	if code := string(nodetest.Person(1)); strings.Contains(list, code) || !strings.Contains(erase("--requests", "--show-subjects").stdout.String(), code) {
		t.Error("the list names citizens unasked, or doesn't when asked")
	}
	if got := erase("--requests", "--json").answer()["requests"].([]any); len(got) != 2 || got[0].(map[string]any)["answer_by"] == nil || got[0].(map[string]any)["subject"] != nil {
		t.Errorf("%v", got)
	}
	want := map[string]any{"schema": "traccia/ledgerd-erase/1", "dry_run": true, "wraps": 1.0, "months": []any{month}, "held": []any{}, "requests": 1.0, "record_index": 0.0}
	for _, apply := range []bool{false, true} {
		args := []string{"--answer", ids[0], "--json"}
		if apply {
			args = append(args, "--apply")
		}
		want["dry_run"] = !apply
		p := erase(args...)
		if d := cmp.Diff(want, p.answer()); p.code != 0 || d != "" {
			t.Errorf("apply %v: exit %d, %s", apply, p.code, d)
		}
	}
	if p := erase("--answer", ids[1], "--refuse", "Un giudizio è in corso", "--json"); p.code != 0 || p.answer()["refused"] != true {
		t.Errorf("exit %d: %s", p.code, p.stderr.String())
	}
	if p := erase("--requests"); p.code != 0 || !strings.Contains(p.stdout.String(), "No citizen waits") {
		t.Errorf("answered, they wait: %s", p.stdout.String())
	}
	for _, wrong := range [][]string{
		{"--requests", "--apply"}, {"--answer", ids[1], "--apply", "--refuse", "x"}, {"--answer", ids[1], "--requests"}, {"--subject-file", "f", "--refuse", "x"}, {"--answer", ids[1], "--month", month},
	} {
		if p := erase(wrong...); p.code != 2 {
			t.Errorf("%v: exit %d", wrong, p.code)
		}
	}
	if p := erase("--answer", ids[1]); p.code == 0 || !strings.Contains(p.stderr.String(), "no such request") {
		t.Errorf("an answer twice: exit %d, %s", p.code, p.stderr.String())
	}
	server.stop()
	if strings.Contains(server.stderr.String(), string(nodetest.Person(1))) {
		t.Error("the server's log names a citizen")
	}
}
