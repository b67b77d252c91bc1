// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger"
)

// profile is what one kind of token must look like.
type profile struct {
	where string // names the token in problems
	algs  []jose.SignatureAlgorithm
	typs  []string // "" where the header needn't carry one
	jwk   bool     // the header carries the key itself, and no kid
}

var (
	voucherProfile  = profile{"voucher", []jose.SignatureAlgorithm{jose.RS256}, []string{"at+jwt"}, false}
	evidenceProfile = profile{"evidence", []jose.SignatureAlgorithm{jose.RS256, jose.ES256}, []string{"JWT", ""}, false}
	requestProfile  = profile{"header:Agid-JWT-Signature", []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}, []string{"JWT"}, false}
	proofProfile    = profile{"header:DPoP", []jose.SignatureAlgorithm{jose.RS256, jose.ES256}, []string{"dpop+jwt"}, true}
)

// parsed is a token whose form is right. Nothing in it may be believed before verify.
type parsed struct {
	kid     string
	alg     jose.SignatureAlgorithm
	jwk     []byte // raw, where the profile has it
	claims  []member
	compact string
}

func (p *profile) parse(compact string) (*parsed, error) {
	header, payload, err := p.split(compact)
	if err != nil {
		return nil, err
	}
	members, err := p.object("header", header)
	if err != nil {
		return nil, err
	}
	h := reader{where: p.where, members: members}
	for _, name := range []string{"crit", "b64"} {
		if h.has(name) {
			h.refuse(ledger.CodeBadValue, name, "no such header parameter", kind(find(members, name)))
		}
	}
	t := &parsed{alg: jose.SignatureAlgorithm(h.text("alg", 16)), compact: compact}
	if h.problem == nil && !slices.Contains(p.algs, t.alg) {
		h.refuse(CodeAlgorithm, "alg", p.algorithms(), algorithmName(string(t.alg)))
	}
	if typ := ""; h.problem == nil {
		if h.has("typ") || !slices.Contains(p.typs, "") {
			typ = h.text("typ", 32)
		}
		if !slices.Contains(p.typs, typ) {
			h.refuse(CodeType, "typ", p.typs[0], show(typ))
		}
	}
	if p.jwk {
		if t.jwk = find(members, "jwk"); t.jwk == nil {
			h.wrong("jwk", "a public key")
		}
	} else if t.kid = h.text("kid", 128); strings.ContainsFunc(t.kid, func(c rune) bool { return c <= ' ' || c > '~' }) {
		h.wrong("kid", "visible ASCII characters")
	}
	if h.problem != nil {
		return nil, h.problem
	}
	if t.claims, err = p.object("payload", payload); err != nil {
		return nil, err
	}
	return t, nil
}

// split undoes the compact form. The text must be the only one for these bytes: no padding, no line breaks (Go's decoder
// skips them), no stray trailing bits.
func (p *profile) split(compact string) (header, payload []byte, err error) {
	refused := func(found string) error {
		return &ledger.Problem{Code: ledger.CodeSyntax, Where: p.where, Expected: "a compact JWS: three parts of base64url without padding", Found: found}
	}
	if len(compact) > ledger.MaxToken {
		return nil, nil, refused(fmt.Sprintf("%d bytes, more than %d", len(compact), ledger.MaxToken))
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, nil, refused(fmt.Sprintf("%d parts", len(parts)))
	}
	var decoded [3][]byte
	for i, part := range parts {
		decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") || i < 2 && part == "" {
			return nil, nil, refused(fmt.Sprintf("part %d is something else", i+1))
		}
	}
	return decoded[0], decoded[1], nil
}

func (p *profile) object(part string, data []byte) ([]member, error) {
	members, err := parseObject(data)
	var twice *duplicateError
	switch {
	case errors.As(err, &twice):
		return nil, &ledger.Problem{Code: ledger.CodeRepeated, Where: p.where, Expected: "no name twice in the " + part, Found: "twice " + show(twice.name)}
	case err != nil:
		return nil, &ledger.Problem{Code: ledger.CodeSyntax, Where: p.where, Expected: "one JSON object as " + part, Found: "something else"}
	}
	return members, nil
}

func (p *profile) algorithms() string {
	names := make([]string, len(p.algs))
	for i, a := range p.algs {
		names[i] = string(a)
	}
	return strings.Join(names, " or ")
}

// algorithmName repeats only names that it knows.
func algorithmName(alg string) string {
	known := []string{"none", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, alg) }); i >= 0 {
		return known[i]
	}
	return "another algorithm"
}

// lookUp finds the key that a token names, as it stood at the instant.
func (p *profile) lookUp(ctx context.Context, keys Keys, kid string, alg jose.SignatureAlgorithm, at time.Time) (crypto.PublicKey, error) {
	k, err := keys.Key(ctx, kid, at)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return nil, &ledger.Problem{Code: CodeKeyUnknown, Where: p.where + "#kid", Expected: "the kid of a key that is published", Found: show(kid)}
	case errors.Is(err, ErrKeyNotInForce):
		return nil, &ledger.Problem{Code: CodeKeyNotInForce, Where: p.where + "#kid", Expected: "a key in force at " + stamp(at), Found: show(kid)}
	case err != nil:
		return nil, fmt.Errorf("couldn't look up the key of the %s: %w", p.where, err)
	}
	if !fits(k.Key, alg) || k.Algorithm != "" && k.Algorithm != string(alg) {
		return nil, &ledger.Problem{Code: CodeAlgorithm, Where: p.where + "#alg", Expected: "the algorithm of the key that kid names", Found: string(alg)}
	}
	return k.Key, nil
}

// fits also keeps a public key from ever being taken for a shared secret.
func fits(key crypto.PublicKey, alg jose.SignatureAlgorithm) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return alg == jose.RS256 && k.N.BitLen() >= 2048 && k.N.BitLen() <= 4096
	case *ecdsa.PublicKey:
		return alg == jose.ES256 && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == jose.EdDSA
	}
	return false
}

func (p *profile) verify(t *parsed, key crypto.PublicKey) error {
	signed, err := jose.ParseSignedCompact(t.compact, p.algs)
	if err == nil {
		_, err = signed.Verify(key)
	}
	if err != nil {
		return &ledger.Problem{Code: CodeSignature, Where: p.where, Expected: "a signature by the key that kid names", Found: "another signature"}
	}
	return nil
}

// verified is a token whose signature the key has made: what the cache remembers. The claims are judged anew at every use.
type verified[T any] struct {
	claims T
	digest digest
	kid    string
	alg    jose.SignatureAlgorithm
	key    crypto.PublicKey
}

// open parses and verifies a token, or finds it in the cache. A remembered result stands only while the kid still names
// the same key at the instant asked about.
func open[T any](ctx context.Context, p *profile, c *cache[T], keys Keys, compact string, read func(*reader) T, at time.Time) (*verified[T], error) {
	d := digest(sha256.Sum256([]byte(compact)))
	if v, ok := c.get(d); ok {
		key, err := p.lookUp(ctx, keys, v.kid, v.alg, at)
		if err != nil {
			return nil, err
		}
		if same(v.key, key) {
			return v, nil
		}
	}
	t, err := p.parse(compact)
	if err != nil {
		return nil, err
	}
	r := reader{where: p.where, members: t.claims}
	claims := read(&r)
	if r.problem != nil {
		return nil, r.problem
	}
	key, err := p.lookUp(ctx, keys, t.kid, t.alg, at)
	if err != nil {
		return nil, err
	}
	if err := p.verify(t, key); err != nil {
		return nil, err
	}
	v := &verified[T]{claims: claims, digest: d, kid: t.kid, alg: t.alg, key: key}
	c.put(v)
	return v, nil
}

func same(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// digest is the SHA-256 of a compact token.
type digest [sha256.Size]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

// cache holds between half of and all of its limit; what isn't asked for during a whole half is forgotten.
type cache[T any] struct {
	limit int

	mu       sync.Mutex
	now, old map[digest]*verified[T] // guarded by mu
}

func newCache[T any](limit int) *cache[T] {
	return &cache[T]{limit: limit, now: make(map[digest]*verified[T])}
}

func (c *cache[T]) get(d digest) (*verified[T], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.now[d]
	if !ok {
		if v, ok = c.old[d]; ok {
			c.add(v)
		}
	}
	return v, ok
}

func (c *cache[T]) put(v *verified[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(v)
}

func (c *cache[T]) add(v *verified[T]) {
	if len(c.now) >= max(c.limit/2, 1) {
		c.old, c.now = c.now, make(map[digest]*verified[T])
	}
	c.now[v.digest] = v
}
