// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger"
)

// MaxProofAge is how old a DPoP proof may be, Leeway apart: a proof is made for one request.
const MaxProofAge = time.Minute

// Proof is what came with a voucher that is bound to a key (RFC 9449): the DPoP header's token, whose parts are
//
//	{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"l8tF…","y":"9VE4…"}}
//	{"jti":"e1j3V_bKic8-LAEB","htm":"POST","htu":"https://api.inps.example/pdnd/rest/…","iat":1767261700,"ath":"fUHyO2r2…"}
type Proof struct {
	Token   string
	Method  string
	URL     *url.URL // of the request as its sender wrote it; query and fragment don't count
	Voucher string   // compact
	// KeyThumbprint is the voucher's (Claims.KeyThumbprint).
	KeyThumbprint string
}

// CheckProof judges a proof at an instant as RFC 9449, section 4.3 says, without a nonce. It returns the proof's jti and
// until when it must be remembered: that it wasn't seen before is for the caller. Errors are as those of Check.
func CheckProof(p Proof, at time.Time) (jti string, until time.Time, err error) {
	profile := &proofProfile
	if p.Token == "" {
		return "", until, &ledger.Problem{Code: ledger.CodeMissing, Where: profile.where, Expected: "a proof of the key that the voucher is bound to", Found: "nothing"}
	}
	t, err := profile.parse(p.Token)
	if err != nil {
		return "", until, err
	}
	key, err := proofKey(t, p.KeyThumbprint)
	if err != nil {
		return "", until, err
	}
	if err := profile.verify(t, key); err != nil {
		return "", until, err
	}
	r := reader{where: profile.where, members: t.claims}
	jti = r.text("jti", 256)
	if htm := r.text("htm", 32); r.problem == nil && htm != p.Method {
		r.refuse(CodeMismatch, "htm", "the request's method, "+p.Method, show(htm))
	}
	judgeURL(&r, r.text("htu", 4096), p.URL)
	issued := r.seconds("iat")
	sum := sha256.Sum256([]byte(p.Voucher))
	if ath := r.text("ath", 256); r.problem == nil && ath != base64.RawURLEncoding.EncodeToString(sum[:]) {
		r.refuse(ledger.CodeDigestMismatch, "ath", "the SHA-256 of the voucher in base64url", "another digest")
	}
	if r.problem != nil {
		return "", until, r.problem
	}
	until = issued.Add(MaxProofAge + Leeway)
	switch {
	case issued.After(at.Add(Leeway)):
		return "", until, &ledger.Problem{Code: CodeNotYetValid, Where: profile.where + "#iat", Expected: "not after the access, " + stamp(at), Found: stamp(issued)}
	case !until.After(at):
		return "", until, &ledger.Problem{Code: CodeExpired, Where: profile.where + "#iat", Expected: "a minute before the access at most, " + stamp(at), Found: stamp(issued)}
	}
	return jti, until, nil
}

// proofKey takes the key that the proof carries, which is believed for being the one that the voucher names.
func proofKey(t *parsed, thumbprint string) (crypto.PublicKey, error) {
	refuse := func(code, expected, found string) error {
		return &ledger.Problem{Code: code, Where: proofProfile.where + "#jwk", Expected: expected, Found: found}
	}
	const shape = "a public key, RSA of 2048 to 4096 bits or EC on P-256"
	members, err := parseObject(t.jwk)
	if err != nil {
		return nil, refuse(ledger.CodeBadValue, shape, kind(t.jwk))
	}
	if find(members, "d") != nil || find(members, "k") != nil {
		return nil, refuse(ledger.CodeBadValue, shape, "a private key: it must be thrown away")
	}
	var k jose.JSONWebKey
	if k.UnmarshalJSON(t.jwk) != nil || !fits(k.Key, jose.RS256) && !fits(k.Key, jose.ES256) {
		return nil, refuse(ledger.CodeBadValue, shape, "something else")
	}
	if !fits(k.Key, t.alg) {
		return nil, &ledger.Problem{Code: CodeAlgorithm, Where: proofProfile.where + "#alg", Expected: "the algorithm of the key in jwk", Found: string(t.alg)}
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, refuse(ledger.CodeBadValue, shape, "something else")
	}
	if found := base64.RawURLEncoding.EncodeToString(sum); found != thumbprint {
		return nil, refuse(CodeMismatch, "the key that the voucher's cnf.jkt names, "+thumbprint, found)
	}
	return k.Key, nil
}

// judgeURL compares as RFC 3986, section 6.2.2 and 6.2.3 does: scheme and host without case, default ports left out. A path
// could name a person, so it isn't repeated.
func judgeURL(r *reader, htu string, want *url.URL) {
	if r.problem != nil {
		return
	}
	u, err := url.Parse(htu)
	if err != nil || u.Host == "" || u.User != nil {
		r.refuse(ledger.CodeBadValue, "htu", "an absolute URL", "something else")
		return
	}
	if found := origin(u); found != origin(want) {
		r.refuse(CodeMismatch, "htu", "the request's URL, at "+origin(want), "at "+show(found))
	} else if path(u) != path(want) {
		r.refuse(CodeMismatch, "htu", "the request's URL without query", "another path")
	}
}

func path(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

func origin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if port := map[string]string{"https": ":443", "http": ":80"}[scheme]; port != "" {
		host = strings.TrimSuffix(host, port)
	}
	return scheme + "://" + host
}
