// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// signedPost is a request of a body about its list, to be sent by post.
type signedPost struct {
	token   *token
	path    string
	content []byte
	digest  string // that is sent; "" for the content's
}

func (f *fixture) signedPost(t testing.TB, body, path string, content any) *signedPost {
	t.Helper()
	p := &signedPost{token: f.request(body), path: "/v1/agencies/" + body + "/" + path, content: marshal(t, content)}
	sum := sha256.Sum256(p.content)
	p.digest = "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
	p.token.claims["signed_headers"] = []any{object{"digest": p.digest}, object{"content-type": "application/json"}}
	return p
}

func (p *signedPost) send(t testing.TB, f *fixture) reply {
	t.Helper()
	return f.do(t, http.MethodPost, p.path, bytes.NewReader(p.content),
		"Content-Type", "application/json", "Digest", p.digest, "Agid-JWT-Signature", p.token.sign(t, f))
}

// publishing publishes now and then, until the test ends.
func (f *fixture) publishing(t testing.TB) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
				f.node.Settle(t.Context())
			}
		}
	}()
	t.Cleanup(func() { close(done); <-ended })
}

func (f *fixture) at(from uint64, count int) object {
	return object{"epoch": f.node.Epoch(), "from": from, "count": count}
}

func (o object) with(name string, value any) object {
	o[name] = value
	return o
}

// lookUp signs the receipt that a body's look-up takes.
func (f *fixture) lookUp(t testing.TB, body, jti string, unseen ledger.SubjectCommitment) (receipt string, private object) {
	t.Helper()
	salt, content := [32]byte{7}, []byte(`{"operator":{"id":"dpo"}}`)
	key, _ := f.world.Key(body)
	receipt, err := ledger.SignReceipt(&ledger.Receipt{
		Aud: ledgerName, Iss: body, JTI: jti, IssuedAt: time.Now().Unix(), Role: ledger.RoleRequester, Provider: body, Consumer: body,
		Purpose: "Verifica del proprio elenco", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c",
		DataCategories: []string{"https://w3id.org/dpv#ObservedPersonalData"}, Actor: ledger.ActorOperator,
		Operation:  ledger.Operation{Method: "POST", Path: "/v1/agencies/{agency}/list"},
		OccurredAt: time.Now().UTC().Format(time.RFC3339), PrivateDigest: ledger.Hex(ledger.PrivateDigest(&salt, content)), Subjects: unseen,
	}, key.Kid, f.world.Signer(body))
	if err != nil {
		t.Fatal(err)
	}
	return receipt, object{"salt": encode(salt[:]), "content": encode(content)}
}

func TestAgencyList(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	f.publishing(t)
	body := ""
	for n := range 40 {
		answer := f.submit(t, f.submission(t, n)).answer(t, http.StatusCreated)
		first, err := ledger.ParseBody(answer.Entries[0].Body)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := f.world.Key(first.Agency); ok && body == "" {
			body = first.Agency
		}
	}
	before := f.log.len()

	// Without openings it takes no look-up.
	closed := f.part(t, body, f.at(0, 1000).with("open", false))
	if len(closed.Events) == 0 || closed.Events[0].Body != nil {
		t.Fatalf("%d events", len(closed.Events))
	}
	f.signedPost(t, body, "list", f.at(0, 1000).with("open", true)).send(t, f).problem(t, http.StatusConflict, "not_looked_up", "/open")

	unseen := f.unseen(t, body, uuidOf(1))
	receipt, private := f.lookUp(t, body, uuidOf(1), unseen)
	look := f.at(0, 1000).with("receipt", receipt).with("private", private)
	answer := f.signedPost(t, body, "list/look-up", look).send(t, f).answer(t, http.StatusOK)
	again := f.signedPost(t, body, "list/look-up", look).send(t, f).answer(t, http.StatusOK)
	if answer.Count != unseen.Count || again.FirstIndex != answer.FirstIndex {
		t.Errorf("%d and %d looked up at %d and %d, want %d", answer.Count, again.Count, answer.FirstIndex, again.FirstIndex, unseen.Count)
	}
	opened := f.part(t, body, f.at(0, 1000).with("open", true))
	if len(opened.Private) != 0 {
		t.Error("private parts that nobody asked for")
	}
	// The accesses' vouchers are live: there is the private part of the look-up alone.
	if with := f.part(t, body, f.at(0, 1000).with("open", true).with("private", true)); len(with.Private) != 1 {
		t.Errorf("%d private parts of live vouchers and one look-up", len(with.Private))
	}
	if got, want := len(opened.Events), len(closed.Events)+unseen.Count; got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	for _, e := range opened.Events {
		if e.Body == nil {
			t.Error("an event isn't opened")
		}
	}
	if left := f.unseen(t, body, uuidOf(2)); left.Count != 0 {
		t.Errorf("%d citizens are left", left.Count)
	}
	receipt, private = f.lookUp(t, body, uuidOf(2), unseen)
	f.signedPost(t, body, "list/look-up", f.at(0, 1000).with("receipt", receipt).with("private", private)).send(t, f).
		problem(t, http.StatusConflict, "look_up_moved", "receipt#subjects")

	for _, e := range opened.Events {
		if b, err := ledger.ParseBody(e.Body); err != nil || bytes.Contains(f.log.since(before), []byte(b.Subject.Code)) {
			t.Fatalf("a citizen in the log file: %v", err)
		}
	}
}

// part asks for a part and reads it.
func (f *fixture) part(t testing.TB, body string, ask object) *history.AgencyPart {
	t.Helper()
	got := f.signedPost(t, body, "list", ask).send(t, f)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/gzip" || got.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v: %.300s", got.status, got.header, got.body)
	}
	p, err := history.NewAgencyReader(bytes.NewReader(got.body)).Next()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *fixture) unseen(t testing.TB, body, jti string) (c ledger.SubjectCommitment) {
	t.Helper()
	got := f.signedPost(t, body, "list/citizens", f.at(0, 1000).with("jti", jti)).send(t, f)
	if err := json.Unmarshal(got.body, &c); got.status != http.StatusOK || err != nil {
		t.Fatalf("%d: %.300s", got.status, got.body)
	}
	return c
}

func uuidOf(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func TestAgencyListRefused(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	f.publishing(t)
	f.submit(t, f.submission(t, 0)).answer(t, http.StatusCreated)
	const body = "inps"
	ask := func() object { return f.at(0, 10).with("open", false) }
	other := "c_h501"
	receipt, private := f.lookUp(t, other, uuidOf(1), ledger.SubjectCommitment{Count: 1, Root: ledger.Hex{1}})
	const header = "header:Agid-JWT-Signature"
	for _, test := range []struct {
		name, path string
		content    object
		change     func(p *signedPost)
		status     int
		code       string
		where      string
	}{
		{"signed by another body", "list", ask(), func(p *signedPost) { p.token.key = "body-" + other }, 403, "not_signer", header},
		{"by another body in its own name", "list", ask(), func(p *signedPost) {
			headers := p.token.claims["signed_headers"]
			p.token = f.request(other)
			p.token.claims["signed_headers"] = headers
		}, 403, "not_signer", header},
		{"by an unregistered key", "list", ask(), func(p *signedPost) { p.token.header["kid"] = "unknown" }, 403, "not_signer", header},
		{"in another's name", "list", ask(), func(p *signedPost) { p.token.claims["iss"] = other }, 403, "not_signer", header},
		{"of a body that isn't there", "list", ask(), func(p *signedPost) { p.path = "/v1/agencies/c_zzzz/list" }, 403, "not_signer", header},
		{"unsigned", "list", ask(), func(p *signedPost) { p.token.compact = func(string) string { return "" } }, 400, "missing", header},
		{"for another ledger", "list", ask(), func(p *signedPost) { p.token.claims["aud"] = "other.example" }, 400, "wrong_audience", header + "#aud"},
		{"of a token of last week", "list", ask(), func(p *signedPost) { p.token.claims["iat"] = seconds(-7 * 24 * time.Hour) }, 400, "token_too_old", header + "#iat"},
		{"with other content", "list", ask(), func(p *signedPost) { p.content = append(p.content, ' ') }, 400, "digest_mismatch", "header:Digest"},
		{"with a digest that isn't signed", "list", ask(), func(p *signedPost) { p.token.claims["signed_headers"] = []any{object{"digest": p.digest}} }, 400, "missing", header + "#signed_headers"},
		{"of a year without a log", "list", ask().with("epoch", 2001), nil, 404, "no_log", "/epoch"},
		{"of nothing", "list", ask().with("count", 0), nil, 400, "bad_count", "/count"},
		{"of private parts alone", "list", ask().with("private", true), nil, 400, "bad_value", "/private"},
		{"of too much", "list", ask().with("count", 2049), nil, 400, "bad_count", "/count"},
		{"from before the start", "list", ask().with("from", -1), nil, 400, "syntax", "/from"},
		{"that says more", "list", ask().with("x", 1), nil, 400, "syntax", ""},
		{"that says less", "list", f.at(0, 1), nil, 400, "syntax", ""},
		{"too long", "list", ask().with("x", strings.Repeat("x", maxContent)), nil, 413, "too_large", "body"},
		{"of citizens for no jti", "list/citizens", f.at(0, 1).with("jti", "x"), nil, 400, "bad_uuid", "/jti"},
		{"to look up without a receipt", "list/look-up", f.at(0, 1).with("receipt", "x").with("private", private), nil, 400, "syntax", "receipt"},
		{"to look up with another's receipt", "list/look-up", f.at(0, 1).with("receipt", receipt).with("private", private), nil, 400, "bad_value", "receipt#iss"},
		{"to look up with a short salt", "list/look-up", f.at(0, 1).with("receipt", f.own(t, body)).with("private", object{"salt": "AA", "content": "e30"}), nil, 400, "bad_salt", "/private/salt"},
		{"to look up with half a private part", "list/look-up", f.at(0, 1).with("receipt", f.own(t, body)).with("private", object{"salt": private["salt"], "content": "ew"}), nil, 400, "syntax", "private"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := f.signedPost(t, body, test.path, test.content)
			if test.change != nil {
				test.change(p)
			}
			got := p.send(t, f)
			var refused problem
			if err := json.Unmarshal(got.body, &refused); err != nil {
				t.Fatal(err)
			}
			where := test.where
			if where == "" {
				where = refused.Where // ijson's own
			}
			got.problem(t, test.status, test.code, where)
		})
	}
	t.Run("of another type", func(t *testing.T) {
		f.do(t, http.MethodPost, "/v1/agencies/inps/list", strings.NewReader("{}"), "Content-Type", "text/plain").
			problem(t, http.StatusUnsupportedMediaType, "wrong_content_type", "header:Content-Type")
	})
	t.Run("sent twice", func(t *testing.T) {
		p := f.signedPost(t, body, "list", ask())
		if got := p.send(t, f); got.status != http.StatusOK {
			t.Fatalf("%d: %s", got.status, got.body)
		}
		p.send(t, f).problem(t, http.StatusBadRequest, "token_used", header+"#jti")
	})
	t.Run("by a revoked key", func(t *testing.T) {
		key, _ := f.world.Key(body)
		if _, err := f.node.RevokeKey(t.Context(), body, key.Kid, "lost"); err != nil {
			t.Fatal(err)
		}
		f.signedPost(t, body, "list", ask()).send(t, f).problem(t, http.StatusForbidden, "not_signer", header)
	})
}

// own is a receipt of a body's own about nobody in particular.
func (f *fixture) own(t testing.TB, body string) string {
	receipt, _ := f.lookUp(t, body, uuidOf(9), ledger.SubjectCommitment{Count: 1, Root: ledger.Hex{1}})
	return receipt
}
