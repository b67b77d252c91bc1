// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/verifier"
)

// judge checks a history by the policy that a sample ledger left.
func judge(t *testing.T, file, policyFile string) *verifier.HistoryReport {
	t.Helper()
	text, err := os.ReadFile(policyFile)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := checkpoint.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return verifier.History(data, policy, time.Now(), verifier.Rules{})
}

// TestDevHistory: a sample ledger's histories come out complete, made beside it and over its socket.
func TestDevHistory(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT CHECKED with -short: the sample ledger has ten thousand bodies")
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := ledgerd(t, "dev", "--once", "--json", "--receipts", "300", "--data", dir)
	if p.code != 0 {
		t.Fatalf("exit %d\n%s", p.code, p.stderr.String())
	}
	policy, subject := filepath.Join(dir, "policy.txt"), filepath.Join(dir, "sample", "subject.txt")
	left := judge(t, filepath.Join(dir, "sample", "subject.history"), policy)
	if !left.Proven() || !left.Complete || len(left.Events) < 2 {
		t.Fatalf("the sample history: %v, %d events", left.Problems, len(left.Events))
	}
	code, err := os.ReadFile(subject)
	if err != nil || strings.TrimSpace(string(code)) != string(left.Subject) {
		t.Fatalf("the sample history is of another: %v", err)
	}

	p = serve(t, "dev", "--data", dir)
	out := filepath.Join(t.TempDir(), "mine.history")
	made := ledgerd(t, "history", "--data", dir, "--subject-file", subject, "--out", out, "--json")
	answer := made.answer()
	if made.code != 0 || answer["schema"] != "traccia/ledgerd-history/1" || answer["events"] != float64(len(left.Events)+3) || // a consumer's calls, one of them denied
		answer["warning"] == "" || answer["cosignatures"] != 2.0 {
		t.Errorf("exit %d: %v\n%s", made.code, answer, made.stderr.String())
	}
	if r := judge(t, out, policy); !r.Complete {
		t.Errorf("a history while it serves: %v", r.Problems)
	}
	e := left.Events[0]
	made = ledgerd(t, "history", "--data", dir, "--subject-file", subject, "--out", out, "--excerpt", fmt.Sprintf("%d/%d", e.Epoch, e.Index))
	if r := judge(t, out, policy); made.code != 0 || !r.Proven() || !r.Excerpt || len(r.Events) != 1 {
		t.Errorf("an excerpt: exit %d, %v\n%s", made.code, r.Problems, made.stderr.String())
	}
	if strings.Contains(made.stdout.String()+made.stderr.String(), string(left.Subject)) {
		t.Error("the command prints the citizen's code")
	}
	two := filepath.Join(t.TempDir(), "two.txt")
	if err := os.WriteFile(two, []byte(nodetest.Person(1)+"\n"+nodetest.Person(2)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"two people":  {"--subject-file", two, "--out", out},
		"nobody":      {"--subject-file", policy, "--out", out},
		"no file":     {"--subject-file", subject},
		"a bad event": {"--subject-file", subject, "--out", out, "--excerpt", "x"},
	} {
		refused := ledgerd(t, append([]string{"history", "--data", dir}, args...)...)
		if refused.code == 0 || strings.Contains(refused.stderr.String(), string(left.Subject)) {
			t.Errorf("%s: exit %d\n%s", name, refused.code, refused.stderr.String())
		}
	}
	p.stop()
}
