// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestConsents: a consent shows in the operator's list and in the citizen's history, which is complete, and the rows that
// lead to it can be made again.
func TestConsents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	w := nodetest.NewWorld(t, time.Now())
	w.Create(t, dir, node.Options{})
	n, err := node.Open(t.Context(), dir, node.Options{Consents: webauthn.Rules{}})
	if err != nil {
		t.Fatal(err)
	}
	w.Register(t, n)
	citizen := &consenttest.Citizen{Code: nodetest.Person(3), At: w.Now.UTC().Truncate(time.Second)}
	collector := &consenttest.Collector{Ledger: nodetest.Name, ID: nodetest.Consumers[0], Key: nodetest.Signer(nodetest.Consumers[0], 0)}
	given := citizen.Record(t, nodetest.Name, ledger.KindConsentGiven)
	given.Terms.Recipients, given.Terms.Purposes = []string{nodetest.Consumers[0]}, []string{"Verifica dei requisiti"}
	raw, err := ledger.FormatConsentSubmission(collector.Submission(t, citizen, consenttest.Statement(t, given, consenttest.Desk)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.RecordConsent(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	access := nodetest.Access{Subjects: 1, First: 3, Provider: nodetest.Hub, Consumer: nodetest.Consumers[0], Consent: given.ID}
	if _, _, err := n.Submit(t.Context(), w.Make(t, 1, access)); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	subject := filepath.Join(t.TempDir(), "person.txt")
	if err := os.WriteFile(subject, []byte(nodetest.Person(3)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := ledgerd(t, "consents", "list", "--data", dir, "--subject-file", subject, "--json")
	list, _ := p.answer()["consents"].([]any)
	if p.code != 0 || p.answer()["schema"] != "traccia/ledgerd-consents-list/1" || len(list) != 1 {
		t.Fatalf("exit %d: %s%s", p.code, p.stdout.String(), p.stderr.String())
	}
	if c := list[0].(map[string]any); c["id"] != given.ID || c["state"] != ledger.ConsentInForce || c["evidence"] != consent.EvidenceDesk {
		t.Errorf("found %v", c)
	}
	if strings.Contains(p.stdout.String()+p.stderr.String(), string(nodetest.Person(3))) {
		t.Error("the command prints the citizen's code")
	}
	p = ledgerd(t, "consents", "list", "--data", dir, "--subject-file", subject)
	if text := p.stdout.String(); p.code != 0 || !strings.Contains(text, "in_force") || !strings.Contains(text, "for Verifica dei requisiti") {
		t.Errorf("exit %d: %s", p.code, text)
	}
	p = ledgerd(t, "consents", "rebuild", "--data", dir, "--json")
	if a := p.answer(); p.code != 0 || a["lists"] != 1.0 || a["events"] != 1.0 || a["rows_wrong"] != 0.0 {
		t.Errorf("exit %d: %v\n%s", p.code, a, p.stderr.String())
	}
	out := filepath.Join(t.TempDir(), "mine.history")
	if p = ledgerd(t, "history", "--data", dir, "--subject-file", subject, "--out", out); p.code != 0 {
		t.Fatalf("exit %d\n%s", p.code, p.stderr.String())
	}
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	_, absent, err := witness.NewKey("absent.example")
	if err != nil {
		t.Fatal(err)
	}
	// Nobody cosigned it: what is checked here is the events.
	policy := &checkpoint.Policy{
		Logs: []checkpoint.Log{{VKey: strings.TrimSpace(string(vkey))}}, Witnesses: []checkpoint.Witness{{Name: "absent", VKey: absent}}, K: 1,
	}
	rules := verifier.Rules{Consents: func(name string, partial bool) verifier.Consents { return consent.NewList(name, partial) }}
	r := verifier.History(file, policy, time.Now(), rules)
	explained := 0
	for _, e := range r.Events {
		if e.State == verifier.StateOpen {
			explained++
		}
	}
	if len(r.Consents) != 1 || r.Consents[0].ID != given.ID || explained != len(r.Events) || explained != 3 {
		t.Errorf("the history: %d of %d events explained, %+v, %v", explained, len(r.Events), r.Consents, r.Problems)
	}
}
