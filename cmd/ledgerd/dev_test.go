// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestDevOnce runs the sample ledger to its end, twice, and serves it.
func TestDevOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT CHECKED with -short: the sample ledger has ten thousand bodies")
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := ledgerd(t, "dev", "--once", "--json", "--receipts", "300", "--data", dir)
	first := p.answer()
	if p.code != 0 || first["result"] != "proven" || first["receipts"] != 300.0 || first["schema"] != "traccia/ledgerd-dev/1" {
		t.Fatalf("exit %d, %v\n%s", p.code, first, p.stderr.String())
	}
	events, size := first["events"].(float64), first["log_size"].(float64)
	if events < 300 || size <= events || len(first["root"].(string)) != 64 || first["seconds"].(float64) <= 0 || len(first["problems"].([]any)) != 0 {
		t.Errorf("%v", first)
	}
	if want := ledger.Origin(devName, ledger.EpochOf(time.Now())); first["origin"] != want {
		t.Errorf("origin %v, expected %s", first["origin"], want)
	}
	if first["log_key_file"] != filepath.Join(dir, "log.vkey") {
		t.Errorf("log_key_file %v", first["log_key_file"])
	}
	for _, name := range []string{"log.vkey", "policy.txt", "sample/submission.json", "sample/receipt.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%v", err)
		}
	}
	// The hub compared its records with the log, and the sample history says so.
	file, err := os.ReadFile(historyFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(policyFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := checkpoint.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	report := verifier.History(file, policy, time.Now(), verifier.Rules{})
	for _, s := range report.Scopes {
		if s.Scope == "inps" && time.Since(s.Attested) > 10*time.Minute {
			t.Errorf("inps attested at %s", s.Attested)
		}
	}
	// Started again it goes on with what it has.
	p = serve(t, "dev", "--data", dir)
	submission, err := os.ReadFile(filepath.Join(dir, "sample", "submission.json"))
	if err != nil {
		t.Fatal(err)
	}
	status, again, err := post(p.ready.URL, submission)
	if err != nil || status != http.StatusOK {
		t.Fatalf("the sample submission again: %d, %v", status, err)
	}
	receipt, err := os.ReadFile(filepath.Join(dir, "sample", "receipt.json"))
	if err != nil {
		t.Fatal(err)
	}
	before, err := ledger.ParseAnswer(receipt)
	if err != nil {
		t.Fatal(err)
	}
	if err := nodetest.SameEntries(before, again); err != nil {
		t.Errorf("the sample receipt: %v", err)
	}
	if p.ready.PolicyFile != filepath.Join(dir, "policy.txt") {
		t.Errorf("the ready file says %+v", p.ready)
	}
	// The calls that it prints go through the gateway, which keeps a trace of each.
	var receipts []string
	for name, want := range map[string]int{"pensioni": http.StatusOK, "accompagnamento": http.StatusOK, "negata": http.StatusForbidden, "flussi": http.StatusOK} {
		status, receipt := callSample(t, dir, p.ready.GatewayURL, name)
		if status != want || !strings.HasPrefix(receipt, "inps/") {
			t.Errorf("%s: status %d, expected %d, receipt %q", name, status, want, receipt)
		}
		receipts = append(receipts, receipt)
	}
	p.stop()
	traces, err := os.ReadFile(filepath.Join(dir, "sample", "traces.log"))
	if err != nil {
		t.Error(err)
	}
	for _, receipt := range receipts {
		if bytes.Count(traces, []byte(receipt)) != 1 {
			t.Errorf("no trace of %s:\n%s", receipt, traces)
		}
	}
	p = ledgerd(t, "dev", "--once", "--json", "--data", dir)
	second := p.answer()
	if p.code != 0 || second["result"] != "proven" || second["receipts"] != 0.0 || second["events"].(float64) < events+12 || second["log_size"].(float64) < size {
		t.Errorf("exit %d, after %v: %v", p.code, first, second)
	}
}

// callSample makes a call as the printed commands do.
func callSample(t *testing.T, dir, gateway, name string) (status int, receipt string) {
	t.Helper()
	method, path, body := http.MethodPost, pensionsURL+"/puntuale", []byte(nil)
	switch name {
	case "accompagnamento", "negata":
		path = benefitsURL + "/puntuale"
	case "flussi":
		method, path = http.MethodGet, flowsURL+"/flussi?since=0"
	}
	headers, err := os.ReadFile(filepath.Join(dir, "sample", "calls", name+".headers"))
	if err == nil && method == http.MethodPost {
		body, err = os.ReadFile(filepath.Join(dir, "sample", "calls", name+".json"))
	}
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(method, gateway+at.RequestURI(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(headers)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		r.Header.Set(key, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Traccia-Receipt")
}

// TestDevInterrupted stops the sample ledger while it is being filled, at
// several points, and lets it finish.
func TestDevInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT CHECKED with -short: the sample ledger has ten thousand bodies")
	}
	dir := filepath.Join(t.TempDir(), "data")
	// Bodies of whom some have keys, as if it had been killed in between.
	world, _, err := prepareDev(t.Context(), dir, 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	// The witness's policy is written before the ledger is opened.
	w, err := startWitness(filepath.Join(dir, "dev"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.watch(filepath.Join(dir, "dev"), filepath.Join(dir, "log.vkey"), policyFile(dir)); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(context.Background(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := dev.AllBodies()
	if err != nil {
		t.Fatal(err)
	}
	var bodies []registry.Body
	for _, b := range all {
		bodies = append(bodies, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant, Attributes: b.Attributes})
	}
	if _, err := n.AddBodies(t.Context(), bodies); err != nil {
		t.Fatal(err)
	}
	for _, b := range world.Bodies()[:5] {
		key, _ := world.Key(b.ID)
		if _, err := n.AddKey(t.Context(), b.ID, key, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	w.close()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		p := start(t, "dev", "--receipts", "1000000", "--listen", "127.0.0.1:0", "--data", dir)
		if !strings.Contains(p.awaitLog("serving"), "serving") {
			t.Fatalf("it never served:\n%s", p.stderr.String())
		}
		time.Sleep(300 * time.Millisecond) // it loads
		p.signal(signal)
		if code := p.finish(); code == 0 {
			t.Errorf("interrupted by %s while loading: exit 0", signal)
		}
	}
	p := ledgerd(t, "dev", "--once", "--json", "--receipts", "50", "--data", dir)
	if answer := p.answer(); p.code != 0 || answer["result"] != "proven" {
		t.Fatalf("exit %d, %v\n%s", p.code, answer, p.stderr.String())
	}
	if p := ledgerd(t, "fsck", "--data", dir, "--json"); p.code != 0 || p.answer()["result"] != "proven" {
		t.Errorf("fsck: exit %d\n%.2000s\n%s", p.code, p.stdout.String(), p.stderr.String())
	}
}
