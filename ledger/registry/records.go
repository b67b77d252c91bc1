// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// Kinds of record that the registry folds. Records of other kinds are none of
// its business and are passed over.
const (
	KindBody       = "body"
	KindKey        = "key"
	KindKeyRevoked = "key-revoked"
	KindScope      = "scope"
	KindPolicy     = "policy"
)

// Basis says on whose word a key was registered (formats §2).
const (
	// BasisOperator: the ledger's operator alone says that the key is the
	// body's. Readers show it as such.
	BasisOperator = "operator"
	// BasisSigned: a key of the body already in force signed the new one.
	BasisSigned = "signed"
)

// KeyProofType is the typ of the JWS by which a body's key in force vouches
// for a further key.
const KeyProofType = "traccia-key+jwt"

// Body names a body of the ledger: an administration, or a private aderente
// of PDND.
//
//	{"kind":"body","id":"c_a944","name":"Comune di Bologna","tenant":"1d19a0bd-…"}
type Body struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Name   string `json:"name"`             // as PDND writes it, 1 to 300 bytes
	Tenant string `json:"tenant,omitempty"` // PDND tenant uuid
	// Attributes are the body's in PDND, as its open data write them ("Comuni e
	// loro Consorzi e Associazioni"): policies ask which kind of body it is.
	Attributes []string `json:"attributes,omitempty"`
}

// Key registers one verification key of a body.
//
//	{"kind":"key","body":"c_a944","kid":"Zk3…","jwk":{"kty":"EC",…},"basis":"signed","proof":"eyJ…"}
type Key struct {
	Kind  string          `json:"kind"`
	Body  string          `json:"body"`
	Kid   string          `json:"kid"`
	JWK   json.RawMessage `json:"jwk"`
	Basis string          `json:"basis"`
	Proof string          `json:"proof,omitempty"` // compact JWS over KeyStatement, with basis "signed"
}

// KeyStatement is the payload of a key proof: the body says that the key with
// this RFC 7638 thumbprint is its own, in the ledger of this name.
//
//	{"aud":"registro.example","body":"c_a944","kid":"Zk3…","thumbprint":"NzbLsXh8uDCcd-…"}
type KeyStatement struct {
	Aud        string `json:"aud"`
	Body       string `json:"body"`
	Kid        string `json:"kid"`
	Thumbprint string `json:"thumbprint"`
}

// KeyRevoked ends a key: receipts recorded at a higher index no longer verify
// with it, those before it still do.
//
//	{"kind":"key-revoked","body":"c_a944","kid":"Zk3…","reason":"rotation"}
type KeyRevoked struct {
	Kind   string `json:"kind"`
	Body   string `json:"body"`
	Kid    string `json:"kid"`
	Reason string `json:"reason,omitempty"`
}

// Scope names the providers that a party with a recording gateway speaks for.
// Its three names are part of formats §2.
//
//	{"kind":"scope","id":"inps","providers":["inps","c_a944"]}
type Scope struct {
	Kind      string   `json:"kind"`
	ID        string   `json:"id"`
	Providers []string `json:"providers,omitzero"` // always written; a record without speaks for nobody
}

// FormatRecord returns the JSON of one of Body, Key, KeyRevoked, Scope, LogKey,
// ProviderCheck, BreakGlass, Policy, Cohort or Build, with its kind filled in.
func FormatRecord(record any) ([]byte, error) {
	switch r := record.(type) {
	case Body:
		r.Kind = KindBody
		record = r
	case Key:
		r.Kind = KindKey
		record = r
	case KeyRevoked:
		r.Kind = KindKeyRevoked
		record = r
	case Scope:
		r.Kind = KindScope
		if r.Providers == nil {
			r.Providers = []string{}
		}
		record = r
	case LogKey:
		r.Kind = KindLogKey
		record = r
	case ProviderCheck:
		r.Kind = KindProviderCheck
		record = r
	case BreakGlass:
		r.Kind = KindBreakGlass
		record = r
	case Policy:
		r.Kind = KindPolicy
		record = r
	case Cohort:
		r.Kind = KindCohort
		record = r
	case Build:
		r.Kind = KindBuild
		record = r
	default:
		return nil, fmt.Errorf("couldn't format a %T as a record of the registry", record)
	}
	return json.Marshal(record)
}

// ParseRecord returns a Body, Key, KeyRevoked, Scope, LogKey, ProviderCheck,
// BreakGlass, Policy, Cohort or Build, or nil for a record of any other kind. Members that a kind doesn't have are passed
// over (formats §2). The error is a ledger.Problem that names the member.
func ParseRecord(data []byte) (any, error) {
	var head struct {
		Kind string `json:"kind,omitempty"`
	}
	if err := decode(data, &head); err != nil {
		return nil, err
	}
	switch head.Kind {
	case KindBody:
		var r Body
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		return r, checkBody(r)
	case KindKey:
		var r Key
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		return r, checkKey(r)
	case KindKeyRevoked:
		var r KeyRevoked
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		if len(r.Reason) > 300 {
			return nil, refuse("too_long", "/reason", "at most 300 bytes", fmt.Sprintf("%d bytes", len(r.Reason)))
		}
		return r, checkOwner(r.Body, r.Kid)
	case KindScope:
		var r Scope
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		return r, checkScope(r)
	case KindLogKey:
		var r LogKey
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		return r, checkLogKey(r)
	case KindProviderCheck:
		var r ProviderCheck
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		return r, checkProviderCheck(r)
	case KindBreakGlass:
		var r BreakGlass
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		return r, checkBreakGlass(r)
	case KindPolicy:
		var r Policy
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		return r, checkPolicy(r)
	case KindCohort:
		var r Cohort
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		return r, checkCohort(r)
	case KindBuild:
		var r Build
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		return r, checkBuild(r)
	}
	return nil, nil
}

func decode(data []byte, into any) error {
	if err := ijson.UnmarshalKnown(data, into); err != nil {
		if e, ok := err.(*ijson.Error); ok {
			return refuse(ledger.CodeSyntax, e.Pointer, e.Expected, e.Found)
		}
		return refuse(ledger.CodeSyntax, "", "a record of this kind", err.Error())
	}
	return nil
}

// Unread says whether an error of Apply is that a record of a known kind hasn't the members of that kind, or of other types.
// Such a record is well formed, and adds nothing (formats §2).
func Unread(err error) bool {
	p, ok := err.(*ledger.Problem)
	return ok && p.Code == ledger.CodeSyntax && (p.Where == "" || p.Where[0] == '/')
}

func checkBody(r Body) error {
	if ledger.CheckID(r.ID) != nil {
		return refuse("bad_id", "/id", "1 to 64 bytes of [a-z0-9_-]", fmt.Sprintf("%d bytes", len(r.ID)))
	}
	if n := len(r.Name); n < 1 || n > 300 {
		return refuse("too_long", "/name", "1 to 300 bytes", fmt.Sprintf("%d bytes", n))
	}
	if r.Tenant != "" && ledger.CheckUUID(r.Tenant) != nil {
		return refuse("bad_uuid", "/tenant", "a PDND tenant uuid in lower case", fmt.Sprintf("%d bytes", len(r.Tenant)))
	}
	return checkAttributes(r.Attributes)
}

func checkKey(r Key) error {
	if err := checkOwner(r.Body, r.Kid); err != nil {
		return err
	}
	k, err := jws.ParseKey(r.JWK)
	if err != nil {
		return refuse("bad_key", "/jwk", "a public P-256, RSA or Ed25519 JWK", err.Error())
	}
	if k.Kid != r.Kid {
		return refuse("bad_key", "/kid", k.Kid, r.Kid)
	}
	if (r.Basis == BasisSigned) != (r.Proof != "") || r.Basis != BasisSigned && r.Basis != BasisOperator {
		return refuse("bad_basis", "/basis", "signed with a proof, or operator without", r.Basis)
	}
	return nil
}

func checkOwner(body, kid string) error {
	if ledger.CheckID(body) != nil {
		return refuse("bad_id", "/body", "1 to 64 bytes of [a-z0-9_-]", fmt.Sprintf("%d bytes", len(body)))
	}
	if n := len(kid); n < 1 || n > 128 {
		return refuse("too_long", "/kid", "1 to 128 bytes", fmt.Sprintf("%d bytes", n))
	}
	return nil
}

func checkScope(r Scope) error {
	if ledger.CheckID(r.ID) != nil {
		return refuse("bad_id", "/id", "the id of a body, not a reserved word", fmt.Sprintf("%d bytes", len(r.ID)))
	}
	for i, p := range r.Providers {
		where := fmt.Sprintf("/providers/%d", i)
		if ledger.CheckID(p) != nil {
			return refuse("bad_id", where, "1 to 64 bytes of [a-z0-9_-]", fmt.Sprintf("%d bytes", len(p)))
		}
		if slices.Contains(r.Providers[:i], p) {
			return refuse("repeated", where, "each provider once", p)
		}
	}
	return nil
}

func refuse(code, where, expected, found string) *ledger.Problem {
	return &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
}
