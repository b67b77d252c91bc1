// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// overPDND is a request as GovWay sends it for a body that consumes the ledger's e-service, to be.
type overPDND struct {
	f         *fixture
	draft     *draft
	voucher   token
	signature token
	own       bool              // the content has a receipt of its own
	content   []byte            // once made, as it is signed
	headers   map[string]string // "" takes one out
	late      func(*overPDND)   // once all is signed
}

// gatewayKey is the PDND client's key that the body's GovWay signs with, registered in the log for it.
const gatewayKey = "client-0"

func (f *fixture) pdndCall(t testing.TB, n int) *overPDND {
	t.Helper()
	d := f.draft(t, n)
	body, ok := f.node.Registry().Body("inps")
	if !ok {
		t.Fatal("inps isn't registered")
	}
	key, err := jws.NewKey("", f.secrets[gatewayKey].Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, known := f.node.Registry().KeyIndex("inps", key.Kid); !known {
		if _, err := f.node.AddKey(t.Context(), "inps", key, ""); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Unix()
	client := newUUID()
	return &overPDND{
		f: f, draft: d,
		voucher: token{
			key: "pdnd", header: d.voucher.header,
			claims: object{
				"jti": newUUID(), "iss": d.voucher.claims["iss"], "aud": eserviceURL + "/v1", "client_id": client, "sub": client,
				"iat": now, "nbf": now, "exp": now + 600, "purposeId": newUUID(),
				"producerId": producerID, "consumerId": body.Tenant, "eserviceId": eserviceID, "descriptorId": newUUID(),
			},
		},
		signature: token{
			key: gatewayKey, header: object{"alg": "RS256", "typ": "JWT", "kid": key.Kid},
			// GovWay's iss and sub are the names of its own subject and application.
			claims: object{
				"iss": "INPS", "sub": "registro-accessi", "client_id": client, "aud": eserviceURL + "/v1", "jti": newUUID(),
				"iat": now, "nbf": now, "exp": now + 300,
			},
		},
		headers: map[string]string{"Content-Type": "application/json"},
	}
}

func (c *overPDND) send(t testing.TB) reply {
	t.Helper()
	if c.content == nil {
		var submission map[string]any
		unmarshal(t, c.draft.build(t), &submission)
		if !c.own {
			delete(submission, "receipt")
			c.headers[ledger.ClaimsHeader] = encode(marshal(t, c.draft.receipt.claims))
		}
		c.content = marshal(t, submission)
	}
	sum := sha256.Sum256(c.content)
	digest := "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
	signed := []any{object{"digest": digest}, object{"content-type": "application/json"}}
	if claims := c.headers[ledger.ClaimsHeader]; claims != "" {
		signed = append(signed, object{"traccia-claims": claims})
	}
	c.signature.claims["signed_headers"] = signed
	c.headers["Digest"] = digest
	c.headers["Authorization"] = "Bearer " + c.voucher.sign(t, c.f)
	c.headers["Agid-JWT-Signature"] = c.signature.sign(t, c.f)
	if c.late != nil {
		c.late(c)
	}
	var headers []string
	for name, value := range c.headers {
		if value != "" {
			headers = append(headers, name, value)
		}
	}
	return c.f.do(t, http.MethodPost, "/v1/access-receipts", bytes.NewReader(c.content), headers...)
}

// A body whose gateway signs requests, and that signs nothing else, has its accesses recorded; what proves them is the
// token that its gateway made.
func TestSubmitOverPDND(t *testing.T) {
	f := sharedFixture(t)
	c := f.pdndCall(t, 3)
	answer := c.send(t).answer(t, http.StatusCreated)
	body, err := ledger.ParseBody(answer.Entries[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	if body.Receipt != c.headers["Agid-JWT-Signature"] {
		t.Error("the event's receipt isn't the request's signature")
	}
	receipt, err := ledger.ParseReceipt(body.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := jws.NewKey("", f.secrets[gatewayKey].Public())
	if err := receipt.JWS.Verify(key); err != nil {
		t.Error(err)
	}
	if answer.ReceiptID != "inps/"+c.draft.receipt.claims["jti"].(string) {
		t.Errorf("recorded as %s", answer.ReceiptID)
	}

	// Sent again, GovWay makes new tokens: the same entry.
	c.signature.claims["jti"], c.voucher.claims["jti"] = newUUID(), newUUID()
	again := c.send(t).answer(t, http.StatusOK)
	if again.FirstIndex != answer.FirstIndex {
		t.Errorf("sent again it stands at %d, and stood at %d", again.FirstIndex, answer.FirstIndex)
	}
	// Under its jti nothing else.
	other := f.pdndCall(t, 3)
	other.draft.receipt.claims["jti"] = c.draft.receipt.claims["jti"]
	other.draft.receipt.claims["purpose"] = "Altro"
	other.send(t).problem(t, http.StatusConflict, "conflict", "receipt#jti")
}

// A submission with a receipt of its own may come over PDND too; its gateway's key needn't be in the log then.
func TestSubmitOverPDNDWithReceipt(t *testing.T) {
	f := sharedFixture(t)
	c := f.pdndCall(t, 4)
	c.own = true
	key, err := jws.NewKey("", f.secrets["client-1"].Public())
	if err != nil {
		t.Fatal(err)
	}
	c.signature.key, c.signature.header["kid"] = "client-1", key.Kid
	c.send(t).answer(t, http.StatusCreated)
}

func TestSubmitOverPDNDRefused(t *testing.T) {
	f := sharedFixture(t)
	header := func(name, value string) func(*overPDND) {
		return func(c *overPDND) { c.late = func(c *overPDND) { c.headers[name] = value } }
	}
	const authorization, signature = "header:Authorization", "header:Agid-JWT-Signature"
	for i, test := range []struct {
		name        string
		change      func(*overPDND)
		status      int
		code, where string
	}{
		{"no voucher", header("Authorization", ""), 401, ledger.CodeMissing, authorization},
		{"a password", header("Authorization", "Basic eDp5"), 401, ledger.CodeMissing, authorization},
		{"no token", header("Authorization", "Bearer x"), 401, ledger.CodeSyntax, authorization},
		{"a voucher for another e-service", func(c *overPDND) { c.voucher.claims["eserviceId"] = newUUID() }, 401, "claim_mismatch", authorization + "#eserviceId"},
		{"another producer's", func(c *overPDND) { c.voucher.claims["producerId"] = newUUID() }, 401, "claim_mismatch", authorization + "#producerId"},
		{"for another audience", func(c *overPDND) { c.voucher.claims["aud"] = "https://api.inps.example" }, 401, "wrong_audience", authorization + "#aud"},
		{"of another issuer", func(c *overPDND) { c.voucher.claims["iss"] = "interop.example" }, 401, "issuer_unknown", authorization + "#iss"},
		{"over", func(c *overPDND) {
			for _, name := range []string{"iat", "nbf", "exp"} {
				c.voucher.claims[name] = c.voucher.claims[name].(int64) - 3600
			}
		}, 401, "expired", authorization + "#exp"},
		{"signed by a client", func(c *overPDND) { c.voucher.key = gatewayKey }, 401, "bad_signature", authorization},
		{"bound to a key", func(c *overPDND) { c.voucher.claims["cnf"] = object{"jkt": strings.Repeat("A", 43)} }, 401, ledger.CodeBadValue, authorization + "#cnf"},
		{"another body's voucher", func(c *overPDND) { c.voucher.claims["consumerId"] = newUUID() }, 401, "not_caller", authorization + "#consumerId"},
		{"no signature", header("Agid-JWT-Signature", ""), 400, ledger.CodeMissing, signature},
		{"no signature over a receipt of its own", func(c *overPDND) { c.own = true; header("Agid-JWT-Signature", "")(c) }, 400, ledger.CodeMissing, signature},
		{"no digest", header("Digest", ""), 400, ledger.CodeDigestMismatch, "header:Digest"},
		{"another content", func(c *overPDND) { c.late = func(c *overPDND) { c.content = append(bytes.Clone(c.content), '\n') } }, 400, ledger.CodeDigestMismatch, "header:Digest"},
		{"a content with a receipt beside the claims", func(c *overPDND) {
			c.draft.top = func(o object) { o["receipt2"] = o["receipt"] }
		}, 400, ledger.CodeUnknownName, "body"},
		{"claims that aren't signed", func(c *overPDND) {
			c.late = func(c *overPDND) { c.headers[ledger.ClaimsHeader] = encode([]byte(`{"aud":"registro.example"}`)) }
		}, 400, "claim_mismatch", signature + "#signed_headers"},
		{"claims that are no receipt", func(c *overPDND) { c.draft.receiptLate = func(o object) { delete(o, "provider") } }, 400, ledger.CodeMissing, signature + "#provider"},
		{"a token for another", func(c *overPDND) { c.signature.claims["aud"] = "https://api.inps.example" }, 400, "wrong_audience", signature + "#aud"},
		{"a token that is over", func(c *overPDND) {
			c.signature.claims["iat"], c.signature.claims["exp"] = time.Now().Unix()-900, time.Now().Unix()-600
		}, 400, "expired", signature + "#exp"},
		{"a key that nobody knows", func(c *overPDND) { c.signature.header["kid"] = "nobodys" }, 400, "key_unknown", signature + "#kid"},
		{"another's signature", func(c *overPDND) { c.signature.key = "client-2" }, 400, "bad_signature", signature},
		{"another client's signature", func(c *overPDND) { c.signature.claims["client_id"] = newUUID() }, 400, "claim_mismatch", signature + "#client_id"},
		{"an operator in the token", func(c *overPDND) { c.signature.claims["userID"] = "m.rossi" }, 400, ledger.CodeUnknownName, signature},
		{"a key that the log has for another", func(c *overPDND) {
			key, err := jws.NewKey("", f.secrets["client-3"].Public())
			if err != nil {
				t.Fatal(err)
			}
			c.signature.key, c.signature.header["kid"] = "client-3", key.Kid
		}, 422, "key_unknown", "receipt#kid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := f.pdndCall(t, i%20)
			test.change(c)
			logged, size := f.log.len(), f.node.Latest().Root.Size
			got := c.send(t)
			got.problem(t, test.status, test.code, test.where)
			if has := got.header.Get("WWW-Authenticate") != ""; has != (test.status == http.StatusUnauthorized) {
				t.Errorf("WWW-Authenticate: %v", has)
			}
			if t.Failed() {
				t.Logf("answer %s", got.body)
			}
			tokens := append(strings.Split(c.voucher.made, "."), strings.Split(c.signature.made, ".")...)
			for _, personal := range append(c.draft.personal(), tokens...) {
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

// A header twice is refused, and a Digest is held against the content wherever it comes.
func TestSubmitHeaders(t *testing.T) {
	f := sharedFixture(t)
	raw := f.draft(t, 5).build(t)
	post := func(headers ...string) reply {
		return f.do(t, http.MethodPost, "/v1/access-receipts", bytes.NewReader(raw), append(headers, "Content-Type", "application/json")...)
	}
	post("Digest", emptyDigest).problem(t, http.StatusBadRequest, ledger.CodeDigestMismatch, "header:Digest")
	post("Digest", emptyDigest, "Digest", emptyDigest).problem(t, http.StatusBadRequest, ledger.CodeRepeated, "header:Digest")
	sum := sha256.Sum256(raw)
	post("Digest", "SHA-256="+base64.StdEncoding.EncodeToString(sum[:])).answer(t, http.StatusCreated)
}
