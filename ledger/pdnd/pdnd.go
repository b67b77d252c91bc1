// SPDX-License-Identifier: EUPL-1.2

// Package pdnd judges the tokens that Italian administrations already exchange over PDND: the voucher (PDND's access
// token), the TrackingEvidence of the ModI patterns AUDIT_REST_01 and AUDIT_REST_02, and requests signed by
// INTEGRITY_REST_02, and the DPoP proof (RFC 9449) of who sends a voucher that is bound to a key.
//
// A voucher and an evidence, decoded:
//
//	{"alg":"RS256","use":"sig","typ":"at+jwt","kid":"qZndzptl…"}
//	{"jti":"9b2f1f0e-…","iss":"interop.pagopa.it","aud":"https://api.inps.example/…","client_id":"be54418b-…","sub":"be54418b-…",
//	 "iat":1767261601,"nbf":1767261601,"exp":1767262201,"purposeId":"4a153b51-…","digest":{"alg":"SHA256","value":"279faec4…"},
//	 "producerId":"53b40136-…","consumerId":"2d6de81f-…","eserviceId":"978e5066-…","descriptorId":"11111111-…"}
//
//	{"alg":"RS256","typ":"JWT","kid":"trc94gcA…"}
//	{"iss":"be54418b-…","aud":"https://api.inps.example/…","purposeId":"4a153b51-…","dnonce":1234567890123,"jti":"0a5b7a0e-…",
//	 "iat":1767261600,"exp":1767262200,"userID":"op-7f3c","userLocation":"sportello-12","LoA":"LOA3"}
//
// Trusted: the key sources, and the instant that the caller says the access took place at. What must always hold: a token
// is good only by RS256 (an evidence by RS256 or ES256 too, a signed request by EdDSA as well) under a published key of its
// kid, in force at that instant; claims are judged at that instant whether or not the signature was checked before.
//
// Administrations differ, and are tolerated, in exactly this: a voucher's aud is a string, a comma list or an array; dnonce
// is a number or a string of 13 digits; the level of assurance is LoA, userLoa or loa with the values "LOA3", "LoA3" or "3";
// userID holds an operator, or service:<name> for a job without one, or nothing sensible, which is flagged; an evidence
// lives for up to 30 days and serves several calls.
//
// Every refusal is a *ledger.Problem that names the token and claim (voucher#aud), or the header (header:Digest). Of what
// came it says kinds, lengths, times and identifiers of software and bodies: never a user, a token or a fiscal code. Any
// other error means that the check couldn't be made.
package pdnd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

const (
	// Leeway is how far the clocks of PDND, a consumer and a provider may lie apart.
	Leeway = 30 * time.Second
	// MaxEvidenceLife is the longest exp − iat of an evidence; above LongEvidenceLife it is flagged.
	MaxEvidenceLife  = 30 * 24 * time.Hour
	LongEvidenceLife = 24 * time.Hour
)

// Codes of problems, beside ledger.CodeSyntax, CodeBadValue, CodeMissing, CodeRepeated and CodeDigestMismatch.
const (
	CodeAlgorithm     = ledger.CodeAlgorithm
	CodeType          = "type_refused"
	CodeKeyUnknown    = "key_unknown"
	CodeKeyNotInForce = "key_not_in_force"
	CodeSignature     = "bad_signature"
	CodeIssuer        = "issuer_unknown"
	CodeAudience      = "wrong_audience"
	CodeExpired       = "expired"
	CodeNotYetValid   = "not_yet_valid"
	CodeLifetime      = "lifetime_wrong"
	CodeMismatch      = "claim_mismatch"
)

// Flags of data quality beside those of package ledger: the access is recorded, and shown with them.
const (
	FlagOperatorFiscalCode = "operator_fiscal_code" // a person's fiscal code where an opaque id would do
	FlagLoAMissing         = "loa_missing"
	FlagEvidenceIssuer     = "evidence_issuer_differs" // vouched for by digest, but signed for another client
	FlagEvidenceWithheld   = "evidence_withheld"       // the voucher carries a digest, and no evidence came
	FlagOldVoucher         = "voucher_without_parties" // issued before PDND wrote producer and consumer into it
)

// Call is an access as its receipt tells it. Ids are PDND's uuids; "" where the caller doesn't know one.
type Call struct {
	Voucher, Evidence string // compact; Evidence may be ""
	OccurredAt        time.Time

	ProducerID, ConsumerID, EServiceID, PurposeID string

	// Of the e-service, as its provider knows them; empty where the caller doesn't.
	DescriptorIDs []string // versions that are served
	Audience      []string // one of which each token is for
}

// Claims is what the tokens of a call say beyond their being good. UserID is personal: it belongs into the private part alone.
type Claims struct {
	VoucherJTI     string
	ClientID       string // of PDND
	ConsumerID     string // PDND's tenant; "" in vouchers older than July 2025
	ProducerID     string // the same of the provider
	PurposeID      string
	KeyThumbprint  string    // of the key that the voucher is bound to (cnf.jkt); "" for a Bearer voucher
	EvidenceDigest string    // SHA-256 of the compact evidence in lower-case hex; "" without one
	UserID         string    // an operator's, or service:<name>; "" where the evidence has none
	Expires        time.Time // until then one of the tokens is live
}

// Config of a Checker. All but CacheSize are required.
type Config struct {
	Issuers []string // of vouchers, such as interop.pagopa.it
	PDND    Keys     // sign vouchers
	Clients Keys     // sign evidences; published through PDND

	// CacheSize bounds the verified vouchers, and the verified evidences, that are remembered; 0 stands for 32,768 of each
	// (some 60 MB when full).
	CacheSize int
}

// Checker judges vouchers and evidences. It may be used by several goroutines.
type Checker struct {
	config    Config
	vouchers  *cache[voucher]
	evidences *cache[evidence]
}

// NewChecker returns an error for a Config that lacks something.
func NewChecker(c Config) (*Checker, error) {
	if len(c.Issuers) == 0 || c.PDND == nil || c.Clients == nil {
		return nil, errors.New("a checker of PDND tokens needs issuers, PDND's keys and its clients' keys")
	}
	if c.CacheSize == 0 {
		c.CacheSize = 32 << 10
	}
	return &Checker{config: c, vouchers: newCache[voucher](c.CacheSize), evidences: newCache[evidence](c.CacheSize)}, nil
}

// Check judges the tokens of a call at the instant it took place. The Assurance has profile and flags; whether the access
// was recorded late is for whoever knows when it is recorded. The error is a *ledger.Problem, or says why the check
// couldn't be made.
func (c *Checker) Check(ctx context.Context, call Call) (ledger.Assurance, *Claims, error) {
	token, err := open(ctx, &voucherProfile, c.vouchers, c.config.PDND, call.Voucher, readVoucher, call.OccurredAt)
	if err != nil {
		return ledger.Assurance{}, nil, err
	}
	v := &token.claims
	if p := c.judgeVoucher(v, &call); p != nil {
		return ledger.Assurance{}, nil, p
	}
	claims := &Claims{
		VoucherJTI: v.jti, ClientID: v.clientID, ConsumerID: v.consumerID, ProducerID: v.producerID, PurposeID: v.purposeID, KeyThumbprint: v.jkt, Expires: v.expires,
	}
	result := ledger.Assurance{
		Profile: ledger.ProfileVoucher,
		Voucher: ledger.VoucherCheck{Alg: string(token.alg), Kid: token.kid, Issuer: v.issuer},
		Flags:   v.flags(),
	}
	if call.Evidence != "" {
		err = c.checkEvidence(ctx, v, &call, &result, claims)
	} else if v.evidenceDigest != "" {
		result.Flags = append(result.Flags, FlagEvidenceWithheld)
	}
	if err != nil {
		return ledger.Assurance{}, nil, err
	}
	slices.Sort(result.Flags)
	return result, claims, nil
}

// checkEvidence adds to result and claims.
func (c *Checker) checkEvidence(ctx context.Context, v *voucher, call *Call, result *ledger.Assurance, claims *Claims) error {
	token, err := open(ctx, &evidenceProfile, c.evidences, c.config.Clients, call.Evidence, readEvidence, call.OccurredAt)
	if err != nil {
		return err
	}
	e := &token.claims
	if p := judgeEvidence(e, token.digest, v, call); p != nil {
		return p
	}
	result.Profile = ledger.ProfileAudit01
	if v.evidenceDigest != "" {
		result.Profile = ledger.ProfileAudit02
	}
	result.Evidence = &ledger.EvidenceCheck{Alg: string(token.alg), Kid: token.kid}
	result.LoA = e.loa
	result.Flags = append(result.Flags, e.flags(v)...)
	claims.EvidenceDigest, claims.UserID = token.digest.String(), e.userID
	if e.expires.After(claims.Expires) {
		claims.Expires = e.expires
	}
	return nil
}

// readAudience takes a string, a comma list or an array of strings: 1 to 64 values of up to 1,024 bytes, none empty.
func readAudience(r *reader) []string {
	const shape = "a string, a comma list or an array of strings"
	var values []string
	raw := find(r.members, "aud")
	switch {
	case len(raw) > 0 && raw[0] == '"':
		values = strings.Split(unquote(raw), ",")
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
	case len(raw) > 0 && raw[0] == '[':
		values = parseStrings(raw)
	}
	bad := func(v string) bool { return v == "" || len(v) > 1024 }
	if len(values) == 0 || len(values) > 64 || slices.ContainsFunc(values, bad) {
		r.wrong("aud", shape)
		return nil
	}
	return values
}

// judgeAudience refuses a token for none of the audiences that the caller knows.
func judgeAudience(where string, found, known []string) *ledger.Problem {
	if len(known) == 0 || slices.ContainsFunc(found, func(a string) bool { return slices.Contains(known, a) }) {
		return nil
	}
	return &ledger.Problem{Code: CodeAudience, Where: where + "#aud", Expected: strings.Join(known, " or "), Found: show(found[0])}
}

// stamp writes an instant for a problem.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// judgeTimes refuses a token that isn't in force at the instant of an access or a request. A zero notBefore isn't judged.
func judgeTimes(where, of string, issued, notBefore, expires, at time.Time) *ledger.Problem {
	refuse := func(code, name, expected string, found time.Time) *ledger.Problem {
		return &ledger.Problem{Code: code, Where: where + "#" + name, Expected: expected, Found: stamp(found)}
	}
	switch {
	case !expires.After(issued):
		return refuse(CodeLifetime, "exp", "later than iat, "+stamp(issued), expires)
	case issued.After(at.Add(Leeway)):
		return refuse(CodeNotYetValid, "iat", "not after the "+of+", "+stamp(at), issued)
	case notBefore.After(at.Add(Leeway)):
		return refuse(CodeNotYetValid, "nbf", "not after the "+of+", "+stamp(at), notBefore)
	case !expires.After(at.Add(-Leeway)):
		return refuse(CodeExpired, "exp", "after the "+of+", "+stamp(at), expires)
	}
	return nil
}

// show repeats a short identifier, and only the length of anything that could be a person's code or a token.
func show(s string) string {
	if s == "" {
		return "nothing"
	}
	bad := func(c rune) bool { return c < 0x20 || c > 0x7e }
	if len(s) > 100 || strings.ContainsFunc(s, bad) || namesSubject(s) {
		return fmt.Sprintf("%d characters", len([]rune(s)))
	}
	return s
}

// showID repeats a uuid: what stands where one belongs could be a person's name.
func showID(s string) string {
	if isUUID(s) {
		return s
	}
	return fmt.Sprintf("%d characters", len([]rune(s)))
}

func namesSubject(s string) bool {
	s = strings.ToUpper(s)
	for i := range len(s) {
		for _, n := range []int{11, 16} {
			if i+n <= len(s) {
				if _, err := ledger.ParseSubject(s[i : i+n]); err == nil {
					return true
				}
			}
		}
	}
	return false
}
