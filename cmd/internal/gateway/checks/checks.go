// SPDX-License-Identifier: EUPL-1.2

// Package checks judges a call as a provider on PDND must, before it looks at whose data the call asks for: the voucher
// (Bearer, or DPoP by RFC 9449), the TrackingEvidence of AUDIT_REST_01 and AUDIT_REST_02, the request's signature by
// INTEGRITY_REST_02, INPS's identity headers. Package pdnd judges each token; here is what they must be together, for the
// e-service that the call is for.
//
// What must hold: a token that came is checked, asked for or not; a voucher that is bound to a key is never taken as Bearer;
// a DPoP proof and a request's signature are good once, which is noted after everything else was good, so that a call that is
// refused can be mended and sent again. A voucher and an evidence may be used again while they live.
//
// Every refusal is a *ledger.Problem that names header, claim, what was expected and what came, and never a user, a token or
// a code. Any other error means that the check couldn't be made.
package checks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/subjects"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

// Headers that tokens and identities come in.
const (
	HeaderEvidence  = "Agid-JWT-TrackingEvidence"
	HeaderSignature = "Agid-JWT-Signature"
	HeaderDigest    = "Digest"
	HeaderProof     = "DPoP"
	HeaderUser      = "INPS-Identity-UserId"
	HeaderOffice    = "INPS-Identity-CodiceUfficio"
)

// Codes of problems, beside those of packages pdnd and ledger.
const (
	CodeUsed = "token_used"    // a token that may be used once, and was
	CodeDPoP = "dpop_required" // a voucher sent as Bearer that is bound to a key, or has to be
)

// Config of a Checker. All but Now are required.
type Config struct {
	PDND, Clients pdnd.Keys
	Issuers       []string
	Consumers     *Consumers
	Seen          Seen
	Now           func() time.Time // nil for time.Now
}

// Checker judges calls. It may be used by several goroutines.
type Checker struct {
	config    Config
	tokens    *pdnd.Checker
	vouchers  *recent
	evidences *recent
}

// New returns an error for a Config that lacks something.
func New(c Config) (*Checker, error) {
	tokens, err := pdnd.NewChecker(pdnd.Config{Issuers: c.Issuers, PDND: c.PDND, Clients: c.Clients})
	if err != nil {
		return nil, err
	}
	if c.Seen == nil || c.Consumers == nil {
		return nil, errors.New("a checker of calls needs to know consumers, and a memory of tokens used")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Checker{config: c, tokens: tokens, vouchers: newRecent(), evidences: newRecent()}, nil
}

// Check judges a call with its whole content. The error is a *ledger.Problem, or says why the check couldn't be made.
func (c *Checker) Check(ctx context.Context, r *http.Request, body []byte, route *config.Route) (*Call, error) {
	t, err := readTokens(r.Header)
	if err != nil {
		return nil, err
	}
	s := route.Service
	if p := demand(s, t, r.Header); p != nil {
		return nil, p
	}
	now := c.config.Now()
	assurance, claims, err := c.tokens.Check(ctx, pdnd.Call{
		Voucher: t.voucher, Evidence: t.evidence, OccurredAt: now,
		ProducerID: s.ProducerID, EServiceID: s.ID, DescriptorIDs: s.Descriptors, Audience: s.Audience,
	})
	if err != nil {
		return nil, err
	}
	if s.Profile == config.ProfileAudit02 && assurance.Profile != ledger.ProfileAudit02 {
		return nil, &ledger.Problem{Code: ledger.CodeMissing, Where: "voucher#digest", Expected: `{"alg":"SHA256","value":…}: ask PDND for the voucher with the digest of the evidence`, Found: "nothing"}
	}
	proof, err := judgeProof(r, t, claims, s, route.Rest, now)
	if err != nil {
		return nil, err
	}
	signature, err := c.judgeIntegrity(ctx, r, t, body, claims, s, now)
	if err != nil {
		return nil, err
	}
	consumer, p := c.config.Consumers.Of(claims)
	if p != nil {
		return nil, p
	}
	call := &Call{At: now, Consumer: consumer, VoucherID: claims.VoucherJTI, PurposeID: claims.PurposeID, Actor: ledger.ActorOperator, Assurance: assurance}
	call.Private = ledger.Private{Voucher: t.voucher, Evidence: t.evidence, Integrity: t.signature}
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		call.Private.RequestDigest = hex.EncodeToString(sum[:])
	}
	call.Pair = ledger.Hex(ledger.Pair(claims.VoucherJTI, claims.EvidenceDigest, call.Private.RequestDigest))
	if err := identify(call, r, body, s, claims.UserID); err != nil {
		return nil, err
	}
	if _, err := ledger.FormatPrivate(&call.Private); err != nil {
		return nil, err
	}
	for _, once := range []*once{proof, signature} {
		if err := c.use(once); err != nil {
			return nil, err
		}
	}
	call.VoucherReused = c.vouchers.again(t.voucher)
	call.EvidenceReused = t.evidence != "" && c.evidences.again(t.evidence)
	return call, nil
}

// tokens of a call, compact; "" where none came.
type tokens struct {
	voucher, evidence, signature, proof string
	dpop                                bool // the voucher came as DPoP
}

func readTokens(h http.Header) (*tokens, error) {
	t := new(tokens)
	for _, header := range []struct {
		name string
		into *string
	}{{"Authorization", &t.voucher}, {HeaderEvidence, &t.evidence}, {HeaderSignature, &t.signature}, {HeaderDigest, new(string)}, {HeaderProof, &t.proof}} {
		values := h.Values(header.name)
		if len(values) > 1 {
			return nil, &ledger.Problem{Code: ledger.CodeRepeated, Where: "header:" + header.name, Expected: "the header once", Found: fmt.Sprintf("%d times", len(values))}
		}
		if len(values) == 1 {
			*header.into = strings.TrimSpace(values[0])
		}
	}
	const where, expected = "header:Authorization", "Bearer or DPoP and a voucher of PDND"
	if t.voucher == "" {
		return nil, &ledger.Problem{Code: ledger.CodeMissing, Where: where, Expected: expected, Found: "nothing"}
	}
	scheme, token, _ := strings.Cut(t.voucher, " ")
	t.voucher, t.dpop = strings.TrimSpace(token), strings.EqualFold(scheme, "DPoP")
	if !t.dpop && !strings.EqualFold(scheme, "Bearer") || t.voucher == "" {
		return nil, &ledger.Problem{Code: ledger.CodeBadValue, Where: where, Expected: expected, Found: "something else"}
	}
	return t, nil
}

// demand refuses a call that lacks what the e-service asks for.
func demand(s *config.EService, t *tokens, h http.Header) *ledger.Problem {
	missing := func(header, expected string) *ledger.Problem {
		return &ledger.Problem{Code: ledger.CodeMissing, Where: "header:" + header, Expected: expected, Found: "nothing"}
	}
	switch {
	case (s.Profile == config.ProfileAudit01 || s.Profile == config.ProfileAudit02) && t.evidence == "":
		return missing(HeaderEvidence, "the consumer's tracking evidence, a compact JWS ("+s.Profile+")")
	case s.Profile == config.ProfileINPSHeaders && h.Get(HeaderUser) == "":
		return missing(HeaderUser, "who acts at the consumer, or service:<name>")
	case s.Integrity && t.signature == "":
		return missing(HeaderSignature, "the request's signature, a compact JWS (INTEGRITY_REST_02)")
	case s.DPoP && !t.dpop:
		return &ledger.Problem{Code: CodeDPoP, Where: "header:Authorization", Expected: "DPoP and a voucher that is bound to a key: this e-service takes no other", Found: "Bearer"}
	}
	return nil
}

// once is a token to be used up.
type once struct {
	kind, jti, where string
	until            time.Time
}

// judgeProof refuses a bound voucher without its proof, and a proof without one.
func judgeProof(r *http.Request, t *tokens, claims *pdnd.Claims, s *config.EService, rest string, now time.Time) (*once, error) {
	const where = "header:Authorization"
	switch bound := claims.KeyThumbprint != ""; {
	case bound && !t.dpop:
		return nil, &ledger.Problem{Code: CodeDPoP, Where: where, Expected: "DPoP: the voucher is bound to a key (cnf.jkt)", Found: "Bearer"}
	case !bound && t.dpop:
		return nil, &ledger.Problem{Code: ledger.CodeMissing, Where: "voucher#cnf", Expected: "the thumbprint (jkt) of the key that signs the DPoP proof", Found: "nothing"}
	case !bound && t.proof != "":
		return nil, &ledger.Problem{Code: ledger.CodeBadValue, Where: "header:" + HeaderProof, Expected: "none beside a voucher of type Bearer", Found: "one"}
	case !bound:
		return nil, nil
	}
	u, err := url.Parse(s.URL + rest)
	if err != nil {
		return nil, fmt.Errorf("couldn't make the request's URL: %w", err)
	}
	jti, until, err := pdnd.CheckProof(pdnd.Proof{Token: t.proof, Method: r.Method, URL: u, Voucher: t.voucher, KeyThumbprint: claims.KeyThumbprint}, now)
	return &once{"dpop", claims.KeyThumbprint + " " + jti, "header:" + HeaderProof + "#jti", until}, err
}

// judgeIntegrity checks the request's signature where one came.
func (c *Checker) judgeIntegrity(ctx context.Context, r *http.Request, t *tokens, body []byte, claims *pdnd.Claims, s *config.EService, now time.Time) (*once, error) {
	if t.signature == "" {
		return nil, nil
	}
	const where = "header:" + HeaderSignature
	signature, err := pdnd.CheckRequest(ctx, r, body, s.Audience, c.config.Clients, now)
	if err != nil {
		return nil, err
	}
	if signature.Issuer != claims.ClientID && signature.ClientID != claims.ClientID && (claims.ConsumerID == "" || signature.Issuer != claims.ConsumerID) {
		return nil, &ledger.Problem{Code: pdnd.CodeMismatch, Where: where + "#iss", Expected: "the voucher's client_id, " + claims.ClientID + ", as iss or client_id", Found: "another"}
	}
	return &once{"integrity", signature.Kid + " " + signature.JTI, where + "#jti", signature.Expires.Add(pdnd.Leeway)}, nil
}

func (c *Checker) use(t *once) error {
	if t == nil {
		return nil
	}
	seen, err := c.config.Seen.Seen(t.kind, t.jti, t.until)
	if err != nil {
		return fmt.Errorf("couldn't note a token as used: %w", err)
	}
	if seen {
		return &ledger.Problem{Code: CodeUsed, Where: t.where, Expected: "a token of its own for each request", Found: "one that was used before"}
	}
	return nil
}

// identify says who acted: by the places that the configuration names, else by the evidence, else by INPS's headers.
func identify(call *Call, r *http.Request, body []byte, s *config.EService, evidence string) error {
	user, office := r.Header.Get(HeaderUser), r.Header.Get(HeaderOffice)
	for _, h := range []struct{ name, value string }{{HeaderUser, user}, {HeaderOffice, office}} {
		if h.value == "" {
			continue
		}
		if n := len(r.Header.Values(h.name)); n > 1 {
			return &ledger.Problem{Code: ledger.CodeRepeated, Where: "header:" + h.name, Expected: "the header once", Found: fmt.Sprintf("%d times", n)}
		}
		if call.Private.IdentityHeaders == nil {
			call.Private.IdentityHeaders = make(map[string]string)
		}
		call.Private.IdentityHeaders[h.name] = h.value
	}
	operator := evidence
	if operator == "" {
		operator = user
	}
	for _, place := range []struct {
		source *config.Source
		into   *string
	}{{s.Operator, &operator}, {s.Office, &office}, {s.Case, &call.Private.Case}} {
		if place.source == nil {
			continue
		}
		text, err := subjects.Text(place.source, r, bytes.NewReader(body))
		if err != nil {
			return err
		}
		if text != "" {
			*place.into = text
		}
	}
	switch fits := func(s string) bool { return s != "" && len([]rune(s)) <= ledger.MaxText }; {
	case fits(operator) && (office == "" || fits(office)):
		call.Private.Operator = &ledger.Operator{ID: operator, Office: office}
	case fits(operator):
		call.Private.Operator = &ledger.Operator{ID: operator} // the office stands in its header
	}
	if operator == "" || strings.HasPrefix(operator, "service:") {
		call.Actor = ledger.ActorService
	}
	if operator == "" {
		call.flag(ledger.FlagOperatorMissing)
	}
	if call.Private.Case == "" {
		call.flag(ledger.FlagCaseMissing)
	}
	return nil
}
