// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/store"
)

const emptyDigest = "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

// request is a signed one to be (INTEGRITY_REST_02), for a receipt of a body.
func (f *fixture) request(body string) *token {
	key, _ := f.world.Key(body)
	now := time.Now().Unix()
	return &token{
		key:    "body-" + body,
		header: object{"alg": "ES256", "typ": "JWT", "kid": key.Kid},
		claims: object{
			"iss": body, "aud": ledgerName, "jti": newUUID(), "iat": now, "nbf": now, "exp": now + 60,
			"signed_headers": []any{object{"digest": emptyDigest}},
		},
	}
}

func (f *fixture) fetch(t testing.TB, path string, signed *token, headers ...string) reply {
	t.Helper()
	headers = append(headers, "Digest", emptyDigest)
	if signed != nil {
		headers = append(headers, "Agid-JWT-Signature", signed.sign(t, f))
	}
	return f.get(t, "/v1/access-receipts/"+path, headers...)
}

func TestFetch(t *testing.T) {
	f := sharedFixture(t)
	first := f.submit(t, f.draft(t, 0).build(t)).answer(t, http.StatusCreated)
	other := f.submit(t, f.draft(t, 1).build(t)).answer(t, http.StatusCreated)
	path := first.ReceiptID
	again := f.fetch(t, path, f.request("inps")).answer(t, http.StatusOK)
	// All is the same but the checkpoint, which may be newer, and the proofs to it.
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Checkpoint" || p.Last().String() == ".Proof" }, cmp.Ignore())
	if diff := cmp.Diff(first, again, ignore); diff != "" {
		t.Errorf("another answer:\n%s", diff)
	}
	if head := f.do(t, http.MethodHead, "/v1/access-receipts/"+path, nil, "Digest", emptyDigest, "Agid-JWT-Signature", f.request("inps").sign(t, f)); head.status != http.StatusOK || len(head.body) > 0 {
		t.Errorf("HEAD: %d", head.status)
	}

	consumer := strings.Split(path, "/")[1]
	body, err := ledger.ParseBody(first.Entries[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	type change func(*token)
	for _, test := range []struct {
		name   string
		path   string
		change change
		status int
		code   string
		where  string
	}{
		// To whoever isn't the issuer there is nothing, whether or not there is.
		{"the consumer", path, func(k *token) { *k = *f.request(body.Agency) }, 404, "not_found", "path"},
		{"another body in the issuer's name", path, func(k *token) { k.key = "body-c_h501" }, 404, "not_found", "path"},
		{"another body by its own key", path, func(k *token) { iss := k.claims["iss"]; *k = *f.request("c_h501"); k.claims["iss"] = iss }, 404, "not_found", "path"},
		{"the issuer's key in another's name", path, claims("iss", "c_h501"), 404, "not_found", "path"},
		{"an unknown key", path, header("kid", "unknown"), 404, "not_found", "path"},
		{"a signature changed", path, compact(func(s string) string { return s[:len(s)-8] + "AAAAAAAA" }), 404, "not_found", "path"},
		{"no such receipt", "inps/" + newUUID(), nil, 404, "not_found", "path"},
		{"no uuid", "inps/RSSMRA80A01H501U", nil, 404, "not_found", "path"},
		{"another issuer's", body.Agency + "/" + consumer, nil, 404, "not_found", "path"},
		{"an unknown issuer's", "c_zzzz/" + consumer, nil, 404, "not_found", "path"},
		{"upper case", strings.ToUpper(path[:4]) + path[4:], nil, 404, "not_found", "path"},
		// What a caller can mend is said.
		{"another ledger", path, claims("aud", "other.example"), 404, "wrong_audience", "header:Agid-JWT-Signature#aud"},
		{"no audience", path, claims("aud", absent), 404, "missing", "header:Agid-JWT-Signature#aud"},
		{"no jti", path, claims("jti", absent), 404, "missing", "header:Agid-JWT-Signature#jti"},
		{"no signed headers", path, claims("signed_headers", absent), 404, "missing", "header:Agid-JWT-Signature#signed_headers"},
		{"another digest signed", path, claims("signed_headers", []any{object{"digest": "SHA-256=" + repeat("A", 43) + "="}}), 404, "claim_mismatch", "header:Agid-JWT-Signature#signed_headers"},
		{"expired", path, func(k *token) { k.claims["iat"], k.claims["exp"] = seconds(-10*time.Minute), seconds(-5*time.Minute) }, 404, "expired", "header:Agid-JWT-Signature#exp"},
		{"not yet valid", path, func(k *token) { k.claims["iat"], k.claims["exp"] = seconds(5*time.Minute), seconds(10*time.Minute) }, 404, "not_yet_valid", "header:Agid-JWT-Signature#iat"},
		{"good for a day", path, func(k *token) { k.claims["exp"] = seconds(24 * time.Hour) }, 404, "lifetime_wrong", "header:Agid-JWT-Signature#exp"},
		{"alg none", path, header("alg", "none"), 404, "wrong_algorithm", "header:Agid-JWT-Signature#alg"},
		{"HS256 with the public key", path, header("alg", "HS256"), 404, "wrong_algorithm", "header:Agid-JWT-Signature#alg"},
		{"RS256 for a P-256 key", path, func(k *token) { k.header["alg"], k.key = "RS256", "pdnd" }, 404, "wrong_algorithm", "header:Agid-JWT-Signature#alg"},
		{"no JWS", path, compact(func(string) string { return "x" }), 404, "syntax", "header:Agid-JWT-Signature"},
		{"a receipt for a token", path, func(k *token) { k.header["typ"] = ledger.ReceiptType }, 404, "type_refused", "header:Agid-JWT-Signature#typ"},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := f.request("inps")
			if test.change != nil {
				test.change(request)
			}
			f.fetch(t, test.path, request).problem(t, test.status, test.code, test.where)
		})
	}
	url := "/v1/access-receipts/" + path
	t.Run("unsigned", func(t *testing.T) {
		f.fetch(t, path, nil).problem(t, http.StatusNotFound, "missing", "header:Agid-JWT-Signature")
	})
	t.Run("without digest", func(t *testing.T) {
		f.get(t, url, "Agid-JWT-Signature", f.request("inps").sign(t, f)).problem(t, http.StatusNotFound, "digest_mismatch", "header:Digest")
	})
	t.Run("digest of something", func(t *testing.T) {
		f.get(t, url, "Agid-JWT-Signature", f.request("inps").sign(t, f), "Digest", "SHA-256="+repeat("A", 43)+"=").problem(t, http.StatusNotFound, "digest_mismatch", "header:Digest")
	})

	t.Run("a content type of no content", func(t *testing.T) {
		f.fetch(t, path, f.request("inps"), "Content-Type", "application/json").answer(t, http.StatusOK)
	})
	t.Run("a wrong header says the same of no receipt", func(t *testing.T) {
		request := f.request("inps")
		request.claims["aud"] = "other.example"
		there, none := f.fetch(t, path, request), f.fetch(t, "inps/"+newUUID(), request)
		if there.status != none.status || !bytes.Equal(there.body, none.body) {
			t.Errorf("%s\n%s", there.body, none.body)
		}
	})

	t.Run("a token for one receipt", func(t *testing.T) {
		request := f.request("inps")
		signed := request.sign(t, f)
		ask := func(id string, headers ...string) reply {
			return f.get(t, "/v1/access-receipts/"+id, "Digest", emptyDigest, "Agid-JWT-Signature", signed)
		}
		ask(path).answer(t, http.StatusOK)
		ask(path).answer(t, http.StatusOK) // the same again
		ask(other.ReceiptID).problem(t, http.StatusNotFound, "token_used", "header:Agid-JWT-Signature#jti")
		// ECDSA gives the same claims another signature.
		f.fetch(t, other.ReceiptID, request).problem(t, http.StatusNotFound, "token_used", "header:Agid-JWT-Signature#jti")
		f.fetch(t, other.ReceiptID, f.request("inps")).answer(t, http.StatusOK)
		// The same jti of another body is another token.
		stranger := f.request("c_h501")
		stranger.claims["jti"] = request.claims["jti"]
		f.fetch(t, "c_h501/"+newUUID(), stranger).problem(t, http.StatusNotFound, "not_found", "path")
	})
}

func TestFetchErased(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	d := f.draft(t, 0)
	raw := d.build(t)
	first := f.submit(t, raw).answer(t, http.StatusCreated)
	f.fetch(t, first.ReceiptID, f.request("inps")).answer(t, http.StatusOK)
	f.eraseAll(t)
	p := f.fetch(t, first.ReceiptID, f.request("inps")).problem(t, http.StatusGone, "erased", "path")
	if strings.Contains(p.Found, "inps") {
		t.Errorf("found %q", p.Found)
	}
	// Nobody else learns that there was something.
	f.fetch(t, first.ReceiptID, f.request("c_h501")).problem(t, http.StatusNotFound, "not_found", "path")
	f.submit(t, raw).problem(t, http.StatusGone, "erased", "path")
}

// eraseAll destroys every wrapped key.
func (f *fixture) eraseAll(t testing.TB) {
	t.Helper()
	snap, err := f.store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	var gone []store.Row
	err = snap.Scan(t.Context(), store.TableWrap, nil, nil, 1<<20, func(key, _ []byte) error {
		gone = append(gone, store.Row{Table: store.TableWrap, Key: bytes.Clone(key)})
		return nil
	})
	if err != nil || len(gone) == 0 {
		t.Fatalf("%d wraps, %v", len(gone), err)
	}
	if err := f.store.Commit(t.Context(), nil, gone); err != nil {
		t.Fatal(err)
	}
}

func TestFetchRevoked(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	first := f.submit(t, f.draft(t, 0).build(t)).answer(t, http.StatusCreated)
	key, _ := f.world.Key("inps")
	if _, err := f.node.RevokeKey(t.Context(), "inps", key.Kid, "lost"); err != nil {
		t.Fatal(err)
	}
	f.fetch(t, first.ReceiptID, f.request("inps")).problem(t, http.StatusNotFound, "not_found", "path")
}
