// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"
)

// refusal is one change to a good submission, and what the ledger must say.
type refusal struct {
	name   string
	change func(*draft)
	status int
	code   string
	where  string
	found  string // a part of what the problem says was found; "" for any
}

// checkRefusals sends each, and checks the answer's form and that nothing
// personal is in it or in what was logged meanwhile.
func checkRefusals(t *testing.T, refusals []refusal) {
	f := sharedFixture(t)
	for i, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			d := f.draft(t, i%20)
			before := d.personal()
			test.change(d)
			raw := d.build(t)
			logged, size := f.log.len(), f.node.Latest().Root.Size
			got := f.submit(t, raw)
			p := got.problem(t, test.status, test.code, test.where)
			if !strings.Contains(p.Found, test.found) {
				t.Errorf("found %q, want %q in it", p.Found, test.found)
			}
			if t.Failed() {
				t.Logf("answer %s", got.body)
			}
			for _, personal := range append(before, d.personal()...) {
				for what, text := range map[string][]byte{"the answer": got.body, "the log": f.log.since(logged)} {
					if bytes.Contains(bytes.ToLower(text), []byte(strings.ToLower(personal))) {
						t.Errorf("%s repeats %q: %s", what, personal, text)
					}
				}
			}
			if now := f.node.Latest().Root.Size; now != size {
				t.Errorf("the log grew from %d to %d", size, now)
			}
		})
	}
}

func TestGoodDrafts(t *testing.T) {
	f := sharedFixture(t)
	many := 10_000
	if testing.Short() {
		many = 1000
	}
	for _, test := range []struct {
		name   string
		change func(*draft)
	}{
		{"as it is", func(*draft) {}},
		{"white space around it", func(d *draft) { d.bytes = func(b []byte) []byte { return []byte(" \r\n\t" + string(b) + "\n") } }},
		{"one subject", func(d *draft) { d.subjects = d.subjects[:1] }},
		{"many subjects", people(many)},
		{"eleven digits", func(d *draft) { d.subjects[0]["subject"] = "80078750587" }},
		{"omocodia is another person", func(d *draft) {
			d.subjects[0]["subject"], d.subjects[1]["subject"] = "RSSMRA80A01H501U", "RSSMRA80A01H50MM"
		}},
		{"names beyond ASCII", func(d *draft) { d.receipt.claims["purpose"] = "Misure di sostegno: «à è €»" }},
		{"a minute ahead", func(d *draft) { d.receipt.claims["occurred_at"] = at(50 * time.Second) }},
		{"no case, no operator", func(d *draft) { delete(d.private, "case"); delete(d.private, "operator") }},
		{"aud in an array", func(d *draft) { d.voucher.claims["aud"] = []any{"x", d.voucher.claims["aud"]} }},
		{"another subject's code", func(d *draft) { d.receipt.claims["legal_reference"] = "RSSMRA80A01H501U" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := f.draft(t, 0)
			test.change(d)
			raw := d.build(t)
			first := f.submit(t, raw).answer(t, http.StatusCreated)
			again := f.submit(t, raw).answer(t, http.StatusOK)
			if first.FirstIndex != again.FirstIndex || first.Count != again.Count || !bytes.Equal(first.Entries[0].Body, again.Entries[0].Body) {
				t.Error("sent again it is another entry")
			}
		})
	}
}

// at is an instant as a receipt writes it.
func at(from time.Duration) string {
	return time.Now().Add(from).UTC().Format("2006-01-02T15:04:05Z")
}

func TestConflict(t *testing.T) {
	f := sharedFixture(t)
	d := f.draft(t, 0)
	first := f.submit(t, d.build(t)).answer(t, http.StatusCreated)
	// The same payload under another signature is the same entry.
	same := f.submit(t, d.build(t)).answer(t, http.StatusOK)
	if same.FirstIndex != first.FirstIndex {
		t.Errorf("index %d, then %d", first.FirstIndex, same.FirstIndex)
	}
	d.receipt.claims["purpose"] = "another"
	got := f.submit(t, d.build(t))
	got.problem(t, http.StatusConflict, "conflict", "receipt#jti")
}

func TestRequestForm(t *testing.T) {
	f := sharedFixture(t)
	good := f.draft(t, 0).build(t)
	const path = "/v1/access-receipts"
	post := func(path string, body []byte, headers ...string) reply {
		return f.do(t, http.MethodPost, path, bytes.NewReader(body), headers...)
	}
	long := append(bytes.Repeat([]byte(" "), MaxSubmission+1-len(good)), good...)
	for _, test := range []struct {
		name   string
		got    reply
		status int
		code   string
		where  string
	}{
		{"form", post(path, good, "Content-Type", "application/x-www-form-urlencoded"), 415, "wrong_content_type", "header:Content-Type"},
		{"another charset", post(path, good, "Content-Type", "application/json; charset=latin1"), 415, "wrong_content_type", "header:Content-Type"},
		{"two types", post(path, good, "Content-Type", "application/json", "Content-Type", "text/plain"), 415, "wrong_content_type", "header:Content-Type"},
		{"no type at all", post(path, good, "Content-Type", "json"), 415, "wrong_content_type", "header:Content-Type"},
		{"NDJSON to the wrong path", post(path, good, "Content-Type", "application/x-ndjson"), 415, "wrong_content_type", "header:Content-Type"},
		{"a form as batch", post(path+"/batch", good, "Content-Type", "multipart/form-data"), 415, "wrong_content_type", "header:Content-Type"},
		{"too large", post(path, long, "Content-Type", "application/json"), 413, "too_large", "body"},
		{"empty", post(path, nil, "Content-Type", "application/json"), 400, "syntax", "body"},
		{"GET", f.get(t, path), 405, "method_not_allowed", "method"},
		{"PUT", f.do(t, http.MethodPut, path, bytes.NewReader(good)), 405, "method_not_allowed", "method"},
		{"GET of the batch", f.get(t, path+"/batch"), 405, "method_not_allowed", "method"},
		{"POST to a receipt", post(path+"/inps/"+newUUID(), nil), 405, "method_not_allowed", "method"},
		{"POST to the log", post("/log/2026/checkpoint", nil), 405, "method_not_allowed", "method"},
		{"DELETE of the status", f.do(t, http.MethodDelete, "/status", nil), 405, "method_not_allowed", "method"},
		{"no such path", f.get(t, "/v1"), 404, "not_found", "path"},
		{"root", f.get(t, "/"), 404, "not_found", "path"},
		{"slash behind", post(path+"/", good, "Content-Type", "application/json"), 404, "not_found", "path"},
		{"double slash", post("/v1//access-receipts", good, "Content-Type", "application/json"), 404, "not_found", "path"},
		{"dots", post("/v1/x/../access-receipts", good, "Content-Type", "application/json"), 404, "not_found", "path"},
		{"percent-encoded", post("/v1/access%2Dreceipts", good, "Content-Type", "application/json"), 404, "not_found", "path"},
		{"upper case", post("/V1/access-receipts", good, "Content-Type", "application/json"), 404, "not_found", "path"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.got.problem(t, test.status, test.code, test.where)
			if allow := test.got.header.Get("Allow"); (allow != "") != (test.status == 405) {
				t.Errorf("Allow %q", allow)
			}
		})
	}
	for name, want := range map[string]string{http.MethodPut: "PUT", "RSSMRA85T10A562S": "another method"} {
		if p := f.do(t, name, path, nil).problem(t, 405, "method_not_allowed", "method"); p.Found != want {
			t.Errorf("%s: found %q, want %q", name, p.Found, want)
		}
	}
	for _, headers := range [][]string{{}, {"Content-Type", "application/json"}, {"Content-Type", "application/json; charset=UTF-8"}, {"Content-Type", "Application/JSON"}} {
		if got := post(path, good, headers...); got.status != http.StatusCreated && got.status != http.StatusOK {
			t.Errorf("%v: %d %s", headers, got.status, got.body)
		}
	}
}
