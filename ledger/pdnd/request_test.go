// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

const ledgerURL = "https://ledger.example/rest/access-receipts/v1"

var requestHeader = object{"alg": "RS256", "typ": "JWT", "kid": "client"}

func requestClaims(digest string) object {
	return object{
		"iss": client, "aud": ledgerURL, "jti": "d3c1e7c8-0f2b-4b34-9d7d-62f0f6c0c333", "iat": noon.Unix() - 10, "exp": noon.Unix() + 90,
		"signed_headers": []object{{"digest": digest}, {"content-type": "application/json"}},
	}
}

// signedRequest is one by its parts.
type signedRequest struct {
	token, digest, kind, body string
	more                      http.Header
}

func (s signedRequest) check(t *testing.T, audience []string, keys Keys, at time.Time) (*Signature, error) {
	r := httptest.NewRequest(http.MethodPost, ledgerURL, nil)
	maps.Copy(r.Header, s.more)
	for name, value := range map[string]string{"Agid-JWT-Signature": s.token, "Digest": s.digest, "Content-Type": s.kind} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return CheckRequest(t.Context(), r, []byte(s.body), audience, keys, at)
}

func TestCheckRequest(t *testing.T) {
	a := people()
	const digest = "SHA-256=RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=" // of {}
	const empty = "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	const header = "header:Agid-JWT-Signature"
	request := func(head, claims any) signedRequest {
		return signedRequest{token: sign(a.client, head, claims), digest: digest, kind: "application/json", body: "{}"}
	}
	good := requestClaims(digest)
	headers := func(list ...object) signedRequest { return request(requestHeader, with(good, "signed_headers", list)) }

	if s, err := request(requestHeader, good).check(t, []string{ledgerURL}, a.clientKeys, noon); err != nil || s.Issuer != client || s.Kid != "client" {
		t.Fatalf("got %+v, %v", s, err)
	}
	get := signedRequest{token: sign(a.client, requestHeader, with(requestClaims(empty), "signed_headers", []object{{"digest": empty}})), digest: empty}
	for _, get.kind = range []string{"", "application/json"} { // as some clients send, without content
		if _, err := get.check(t, []string{ledgerURL}, a.clientKeys, noon); err != nil {
			t.Fatal(err)
		}
	}
	more := []object{{"digest": digest}, {"content-type": "application/json"}, {"content-encoding": "identity"}, {"Host": "ledger.example"}, {"x-list": "1, 2"}}
	rich := headers(more...)
	rich.more = http.Header{"Content-Encoding": {"identity"}, "X-List": {"1", "2"}}
	if _, err := rich.check(t, []string{ledgerURL}, a.clientKeys, noon); err != nil {
		t.Fatal(err)
	}
	otherMore := rich
	otherMore.more = http.Header{"Content-Encoding": {"identity"}, "X-List": {"1"}}

	otherBody := request(requestHeader, good)
	otherBody.body = "{ }"
	noDigest := request(requestHeader, good)
	noDigest.digest = ""
	noToken := request(requestHeader, good)
	noToken.token = ""
	otherType := request(requestHeader, good)
	otherType.kind = "application/x-ndjson"
	stranger := request(requestHeader, good)
	stranger.token = sign(a.stranger, requestHeader, good)
	for _, test := range []struct {
		name        string
		request     signedRequest
		code, where string
	}{
		{"other body", otherBody, ledger.CodeDigestMismatch, "header:Digest"},
		{"no digest", noDigest, ledger.CodeDigestMismatch, "header:Digest"},
		{"no token", noToken, ledger.CodeMissing, header},
		{"other content type", otherType, CodeMismatch, header + "#signed_headers"},
		{"a header signed that didn't come", headers(more[:3]...), CodeMismatch, header + "#signed_headers"},
		{"a header signed that came otherwise", otherMore, CodeMismatch, header + "#signed_headers"},
		{"another host signed", headers(more[0], more[1], object{"host": "altro.example"}), CodeMismatch, header + "#signed_headers"},
		{"digest not signed", headers(object{"content-type": "application/json"}), ledger.CodeMissing, header + "#signed_headers"},
		{"content type not signed", headers(object{"digest": digest}), ledger.CodeMissing, header + "#signed_headers"},
		{"other digest signed", headers(object{"digest": empty}, object{"content-type": "application/json"}), CodeMismatch, header + "#signed_headers"},
		{"digest signed twice", headers(object{"digest": digest}, object{"digest": empty}), ledger.CodeBadValue, header + "#signed_headers"},
		{"two in one", headers(object{"digest": digest, "content-type": "application/json"}), ledger.CodeBadValue, header + "#signed_headers"},
		{"no list", request(requestHeader, with(good, "signed_headers", object{"digest": digest})), ledger.CodeBadValue, header + "#signed_headers"},
		{"no signed_headers", request(requestHeader, with(good, "signed_headers", absent)), ledger.CodeMissing, header + "#signed_headers"},
		{"no iss", request(requestHeader, with(good, "iss", absent)), ledger.CodeMissing, header + "#iss"},
		{"no jti", request(requestHeader, with(good, "jti", absent)), ledger.CodeMissing, header + "#jti"},
		{"no aud", request(requestHeader, with(good, "aud", absent)), ledger.CodeMissing, header + "#aud"},
		{"no iat", request(requestHeader, with(good, "iat", absent)), ledger.CodeMissing, header + "#iat"},
		{"no exp", request(requestHeader, with(good, "exp", absent)), ledger.CodeMissing, header + "#exp"},
		{"other audience", request(requestHeader, with(good, "aud", api)), CodeAudience, header + "#aud"},
		{"expired", request(requestHeader, with(with(good, "iat", noon.Unix()-60), "exp", noon.Unix()-30)), CodeExpired, header + "#exp"},
		{"not yet valid", request(requestHeader, with(good, "iat", noon.Unix()+31)), CodeNotYetValid, header + "#iat"},
		{"no typ", request(with(requestHeader, "typ", absent), good), ledger.CodeMissing, header + "#typ"},
		{"alg none", request(with(requestHeader, "alg", "none"), good), CodeAlgorithm, header + "#alg"},
		{"unknown key", request(with(requestHeader, "kid", "other"), good), CodeKeyUnknown, header + "#kid"},
		{"another's key", stranger, CodeSignature, header},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.request.check(t, []string{ledgerURL}, a.clientKeys, noon)
			checkProblem(t, err, test.code, test.where)
			if strings.Contains(err.Error(), "access,") {
				t.Errorf("a request is no access: %v", err)
			}
		})
	}
	if _, err := request(requestHeader, good).check(t, []string{ledgerURL}, brokenKeys{}, time.Now()); err == nil {
		t.Error("want an error when keys can't be had")
	}
}
