// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Signature is what a good signed request says of itself. That its jti wasn't seen before is for the caller.
type Signature struct {
	Kid, Issuer, JTI string
	ClientID         string // of PDND, as GovWay writes it beside an iss of its own; "" where there is none
	Issued, Expires  time.Time
}

// CheckRequest judges, at an instant, an HTTP request that came under INTEGRITY_REST_02, with its whole body:
//
//	Digest: SHA-256=rwHI7WmnTqjVzrf3OafVdxdXvNoin81vYV29ioA7BjI=
//	Content-Type: application/json
//	Agid-JWT-Signature: eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRyYzk0…
//
// The token's payload:
//
//	{"iss":"be54418b-…","aud":"https://ledger.example/…","jti":"d3c1e7c8-…","iat":1767261700,"exp":1767261800,
//	 "signed_headers":[{"digest":"SHA-256=rwHI7Wmn…"},{"content-type":"application/json"}]}
//
// The body has the Digest, and the token, by one of the keys (RS256, ES256 or EdDSA), is for one of these audiences and covers
// Digest and Content-Type, each header that it names as it came. Errors are as those of Check.
func CheckRequest(ctx context.Context, request *http.Request, body []byte, audience []string, keys Keys, at time.Time) (*Signature, error) {
	sum := sha256.Sum256(body)
	if want, came := "SHA-256="+base64.StdEncoding.EncodeToString(sum[:]), cameAs(request, "digest"); came != want {
		found := "another digest"
		if came == "" {
			found = "nothing"
		}
		return nil, &ledger.Problem{Code: ledger.CodeDigestMismatch, Where: "header:Digest", Expected: want, Found: found}
	}
	p := &requestProfile
	token := cameAs(request, "agid-jwt-signature")
	if token == "" {
		return nil, &ledger.Problem{Code: ledger.CodeMissing, Where: p.where, Expected: "a compact JWS", Found: "nothing"}
	}
	t, err := p.parse(token)
	if err != nil {
		return nil, err
	}
	r := reader{where: p.where, members: t.claims}
	s := &Signature{Kid: t.kid, Issuer: r.text("iss", 256), JTI: r.text("jti", 256), Issued: r.seconds("iat"), Expires: r.seconds("exp")}
	if r.has("client_id") {
		s.ClientID = r.text("client_id", 256)
	}
	if aud := readAudience(&r); r.problem == nil && !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(audience, a) }) {
		r.refuse(CodeAudience, "aud", strings.Join(audience, " or "), show(aud[0]))
	}
	judgeSignedHeaders(&r, request, body)
	if r.problem != nil {
		return nil, r.problem
	}
	if problem := judgeTimes(p.where, "request", s.Issued, time.Time{}, s.Expires, at); problem != nil {
		return nil, problem
	}
	key, err := p.lookUp(ctx, keys, t.kid, t.alg, at)
	if err != nil {
		return nil, err
	}
	if err := p.verify(t, key); err != nil {
		return nil, err
	}
	return s, nil
}

// cameAs is a header as the signer wrote it.
func cameAs(r *http.Request, name string) string {
	if strings.EqualFold(name, "host") {
		return r.Host // package http takes it out of the others
	}
	return strings.Join(r.Header.Values(name), ", ")
}

// judgeSignedHeaders refuses a token that doesn't cover digest and content-type, each once, or that covers any header
// otherwise than it came. A content-type of no content needn't be covered.
func judgeSignedHeaders(r *reader, request *http.Request, body []byte) {
	const name = "signed_headers"
	raw := find(r.members, name)
	var list []map[string]string
	if raw == nil || json.Unmarshal(raw, &list) != nil || list == nil {
		r.wrong(name, `[{"digest":…},{"content-type":…}]`)
		return
	}
	signed := make(map[string]string)
	for _, one := range list {
		for header, value := range one {
			if _, twice := signed[header]; twice || len(one) != 1 {
				r.refuse(ledger.CodeBadValue, name, "one header in each object, none twice", "something else")
				return
			}
			signed[header] = value
		}
	}
	required := []string{"digest"}
	if len(body) > 0 {
		required = append(required, "content-type")
	}
	for _, header := range required {
		if _, ok := signed[header]; !ok && cameAs(request, header) != "" {
			r.refuse(ledger.CodeMissing, name, "also "+header, "not in the list")
		}
	}
	for _, header := range slices.Sorted(maps.Keys(signed)) {
		if signed[header] != cameAs(request, header) {
			r.refuse(CodeMismatch, name, show(header)+" as in the header of the request", "another value")
		}
	}
}
