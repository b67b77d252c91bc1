// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/govway"
)

// traced is the command "traced LOG CONFIG N": N calls of BODY to PROVIDER, as its GovWay traces them by the topics that it
// ships, each about two persons, one in the request and one in the answer, and what apis they are of. Some lines come in
// another order than they were written.
func traced(ts *testscript.TestScript, _ bool, args []string) {
	s, r, err := reported()
	ts.Check(err)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	person := func(i int) ledger.Subject {
		other, err := world().Submission(5000 + 2*i)
		ts.Check(err)
		return other.Subjects[0].Subject
	}
	at := time.Now().UTC().Truncate(time.Second) // one clock for all
	stamp := at.Format("2006-01-02 15:04:05") + ":123"
	const url = "https://api.erogatore.example/rest/consultazione/v1/persone"
	var log strings.Builder
	for i := range n {
		id := fmt.Sprintf("b6cdd758-342c-4599-ae95-%012d", i)
		body := fmt.Sprintf(`{"cf":%q}`, person(2*i))
		sum := sha256.Sum256([]byte(body))
		common := []string{id, "govway-modipa", stamp, "+0000", "10.0.0.1", "HTTP/1.1", "POST", url}
		asked := govway.FormatFields(append(append([]string{"out-request"}, common...), "application/json", strconv.Itoa(len(body)), "HEADERS",
			"Authorization=Bearer "+s.Voucher, "Agid-JWT-TrackingEvidence="+s.Evidence, "Digest=SHA-256="+base64.StdEncoding.EncodeToString(sum[:])))
		told := govway.FormatFields(append(append([]string{"out-response"}, common...), "200", "4711", "application/json", "42", "HEADERS", "Content-Type=application/json"))
		askedBody := id + ".govway-modipa." + encode("2026") + "." + encode("application/json") + "." + encode(body)
		toldBody := id + ".govway-modipa." + encode("2026") + "." + encode("HTTP/1.1 200 OK\nContent-Type: application/json\nX-A: b") + "." + encode(fmt.Sprintf(`{"nucleo":[{"cf":%q}]}`, person(2*i+1)))
		lines := []string{asked, askedBody, told, toldBody}
		if i%2 == 1 {
			lines = []string{toldBody, told, askedBody, asked}
		}
		log.WriteString(strings.Join(lines, "\n") + "\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(log.String()), 0o600))
	config := fmt.Sprintf(`e_services:
  - id: %s
    provider: %s
    url: https://api.erogatore.example/rest/consultazione/v1
    operations:
      - method: POST
        path: /persone
        purpose: %q
        legal_basis: %q
        data_categories: [%q]
        request: [{json: /cf}]
        response: [{json: /nucleo/*/cf}]
`, r.EService, r.Provider, r.Purpose, r.LegalBasis, r.DataCategories[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(config), 0o600))
}

// TestImportProvided: of an API that the body provides the receipt is the provider's, for the consumer that the voucher
// names; what a gateway of ours recorded is left to it. The keys of all algorithms make the same bytes again.
func TestImportProvided(t *testing.T) {
	dir := t.TempDir()
	const tenant, eservice = "2d6de81f-961a-4e12-8617-cce887ed7f86", "843ac013-941a-4afe-8243-e668142e73e6"
	path := filepath.Join(dir, "apis.yaml")
	file := fmt.Sprintf(`pdnd:
  consumers: [{tenant: %s, body: c_a944}]
e_services:
  - id: %s
    provider: inps
    url: https://gw.example/govway/rest/in/INPS/isee/v1
    case: {header: X-Pratica, optional: true}
    operations:
      - {method: GET, path: "/persone/{cf}", purpose: Verifica, legal_basis: A6-1-e, data_categories: [isee], request: [{variable: cf}]}
      - {method: GET, path: /status, no_persons: true}
`, tenant, eservice)
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadTraced(path)
	if err != nil {
		t.Fatal(err)
	}
	consumers, err := checks.LoadConsumers(&c.PDND)
	if err != nil {
		t.Fatal(err)
	}
	token := func(claims string) string {
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + ".c2ln"
	}
	voucher := func(consumer string) string {
		return token(fmt.Sprintf(`{"jti":"v","purposeId":"9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e","eserviceId":%q,"consumerId":%q}`, eservice, consumer))
	}
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		key, err := agencykey.New("inps", alg)
		if err != nil {
			t.Fatal(err)
		}
		im := &importer{ledger: testLedger, key: key, config: c, consumers: consumers}
		make := func(path, voucher, receipt string) ([]byte, *ledger.Problem) {
			t.Helper()
			common := []string{"tx-1", "govway", "2026-11-22 09:30:00:123", "+0000", "ip", "HTTP/1.1", "GET", "https://gw.example/govway/rest/in/INPS/isee/v1" + path}
			asked, _ := govway.Parse([]byte(govway.FormatFields(append(append([]string{"in-request"}, common...), "", "0", "HEADERS", "authorization=bearer "+voucher,
				"X-Pratica=2026/7", "Agid-JWT-TrackingEvidence="+token(`{"userID":"m.rossi"}`)))))
			told, _ := govway.Parse([]byte(govway.FormatFields(append(append([]string{"in-response"}, common...), "200", "1", "application/json", "9", "HEADERS", receipt))))
			if asked == nil || told == nil {
				t.Fatal("no lines")
			}
			data, p, err := im.submission(&tracedCall{transaction: "tx-1", asked: asked, told: told, where: "a.log:1", askedWhere: "a.log:1", toldWhere: "a.log:2"})
			if err != nil {
				t.Fatal(err)
			}
			return data, p
		}
		data, p := make("/persone/RSSMRA80A01H501U", voucher(tenant), "")
		if p != nil {
			t.Fatal(p)
		}
		again, _ := make("/persone/RSSMRA80A01H501U", voucher(tenant), "")
		if !bytes.Equal(data, again) {
			t.Errorf("%s: another submission of the same call", alg)
		}
		s, err := ledger.ParseSubmission(data)
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		r := o.Receipt
		if r.Role != ledger.RoleProvider || r.Provider != "inps" || r.Consumer != "c_a944" || r.Actor != ledger.ActorOperator || r.Operation.Path != "/persone/{cf}" ||
			r.OccurredAt != "2026-11-22T09:30:00.123Z" || o.Private.Case != "2026/7" || o.Private.Operator.ID != "m.rossi" || r.JWS.Verify(key.Key) != nil {
			t.Errorf("%s: %+v, %+v", alg, r.Receipt, o.Private)
		}
		for where, p := range map[string]*ledger.Problem{
			"a.log:1#voucher#consumerId":              second(make("/persone/RSSMRA80A01H501U", voucher("11111111-2222-4333-8444-555555555555"), "")),
			"a.log:1#header:Authorization":            second(make("/persone/RSSMRA80A01H501U", "", "")),
			"a.log:1#header:Authorization#jti":        second(make("/persone/RSSMRA80A01H501U", token(`{}`), "")),
			"a.log:1#header:Authorization#eserviceId": second(make("/persone/RSSMRA80A01H501U", token(`{"jti":"v","eserviceId":"x"}`), "")),
			"a.log:1#request#{cf}":                    second(make("/persone/x", voucher(tenant), "")),
		} {
			if p == nil || p.Where != where && !strings.HasPrefix(p.Where, "a.log:1#request") {
				t.Errorf("%s: %v", where, p)
			}
		}
		if data, p := make("/persone/RSSMRA80A01H501U", voucher(tenant), "Traccia-Receipt=inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11; index=1"); data != nil || p != nil || im.answer.Skipped.Recorded != 1 {
			t.Errorf("recorded by a gateway: %v", p)
		}
		if data, p := make("/status", voucher(tenant), ""); data != nil || p != nil || im.answer.Skipped.NoPersons != 1 {
			t.Errorf("about nobody: %v", p)
		}
		if data, p := make("/altro", voucher(tenant), ""); data != nil || p != nil || im.answer.Skipped.Other != 1 {
			t.Errorf("another operation: %v", p)
		}
	}
}

func second(_ []byte, p *ledger.Problem) *ledger.Problem { return p }
