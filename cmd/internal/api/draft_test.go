// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// object is JSON that a test changes.
type object map[string]any

// absent, as a value of an edit, takes a member out.
var absent = new(struct{})

// draft is a good submission taken apart, so that one thing of it can be
// changed and all that depends on it made anew: digests, pair, root and
// signatures. Each part can be changed before that, or after.
type draft struct {
	f        *fixture
	evidence token
	voucher  token
	receipt  token
	private  object
	salt     string   // of the private part
	subjects []object // "subject" and "salt"

	unlinked     bool                // the voucher's digest isn't made anew
	privateLate  func(object)        // once the tokens are in the private part
	privateBytes func([]byte) []byte // of the private part, before its digest
	receiptLate  func(object)        // once digests, pair and root are in the receipt
	top          func(object)        // of the submission
	bytes        func([]byte) []byte // of the submission
}

// token is a JWS to be.
type token struct {
	header, claims object
	key            string              // among the fixture's secrets
	alg            string              // to sign with, where it isn't the header's
	headerBytes    func([]byte) []byte // before signing
	bytes          func([]byte) []byte // of the payload, before signing
	encode         func([]byte) string // of header and payload; nil: base64url
	compact        func(string) string // once signed
	made           string
}

// draft takes the n-th submission of the world apart that is signed by the
// hub, over persons with codes of 16 characters.
func (f *fixture) draft(t testing.TB, n int) *draft {
	t.Helper()
	for ; ; n++ {
		sub, err := f.world.Submission(n)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ledger.ParseReceipt(sub.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		if r.Role != ledger.RoleProvider || len(sub.Subjects[0].Subject) != 16 {
			continue
		}
		d := &draft{f: f, salt: encode(sub.Private.Salt[:])}
		d.receipt = takeApart(t, sub.Receipt, "body-"+r.Iss)
		d.voucher = takeApart(t, sub.Voucher, "pdnd")
		d.evidence = takeApart(t, sub.Evidence, "")
		for name, key := range f.secrets {
			if public, err := jws.NewKey("", key.Public()); err == nil && public.Kid == d.evidence.header["kid"] {
				d.evidence.key = name
			}
		}
		unmarshal(t, sub.Private.Content, &d.private)
		d.private["case"] = "2026/00123"
		for _, s := range sub.Subjects {
			d.subjects = append(d.subjects, object{"subject": string(s.Subject), "salt": encode(s.Salt[:])})
		}
		d.receipt.claims["jti"] = newUUID()
		return d
	}
}

func takeApart(t testing.TB, compact, key string) token {
	t.Helper()
	made := token{key: key}
	parts := strings.Split(compact, ".")
	unmarshal(t, decode(t, parts[0]), &made.header)
	unmarshal(t, decode(t, parts[1]), &made.claims)
	return made
}

// build puts the submission together again.
func (d *draft) build(t testing.TB) []byte {
	t.Helper()
	evidence := d.evidence.sign(t, d.f)
	evidenceDigest := fmt.Sprintf("%x", sha256.Sum256([]byte(evidence)))
	if digest, ok := d.voucher.claims["digest"].(map[string]any); ok && !d.unlinked {
		digest["value"] = evidenceDigest
	}
	voucher := d.voucher.sign(t, d.f)
	d.private["voucher"], d.private["evidence"] = voucher, evidence
	if d.privateLate != nil {
		d.privateLate(d.private)
	}
	content := change(marshal(t, d.private), d.privateBytes)

	claims := d.receipt.claims
	request, _ := d.private["request_digest"].(string)
	jti, _ := d.voucher.claims["jti"].(string)
	pair := ledger.Pair(jti, evidenceDigest, request)
	claims["pair"] = hex.EncodeToString(pair[:])
	var salt [32]byte
	copy(salt[:], lenientDecode(d.salt))
	private := ledger.PrivateDigest(&salt, content)
	claims["private_digest"] = hex.EncodeToString(private[:])
	if tree, err := ledger.NewSubjectTree(d.salted()); err == nil {
		root := tree.Root()
		claims["subjects"] = map[string]any{"count": tree.Len(), "root": hex.EncodeToString(root[:])}
	}
	if d.receiptLate != nil {
		d.receiptLate(claims)
	}
	submission := object{
		"receipt": d.receipt.sign(t, d.f), "voucher": voucher, "evidence": evidence,
		"private":  map[string]any{"salt": d.salt, "content": encode(content)},
		"subjects": d.subjects,
	}
	if d.top != nil {
		d.top(submission)
	}
	return change(marshal(t, submission), d.bytes)
}

func (d *draft) salted() []ledger.SaltedSubject {
	var list []ledger.SaltedSubject
	for _, s := range d.subjects {
		code, _ := s["subject"].(string)
		text, _ := s["salt"].(string)
		salted := ledger.SaltedSubject{Subject: ledger.Subject(code)}
		copy(salted.Salt[:], lenientDecode(text))
		list = append(list, salted)
	}
	return list
}

// personal lists what must not come back of a submission, nor be logged.
func (d *draft) personal() []string {
	list := []string{d.salt}
	if operator, ok := d.private["operator"].(map[string]any); ok {
		list = append(list, fmt.Sprint(operator["id"]))
	}
	if len(d.subjects) <= 100 {
		for _, s := range d.subjects {
			list = append(list, fmt.Sprint(s["subject"]), fmt.Sprint(s["salt"]))
		}
	}
	for _, t := range []token{d.receipt, d.voucher, d.evidence} {
		list = append(list, strings.Split(t.made, ".")...)
		if jti, ok := t.claims["jti"].(string); ok {
			list = append(list, jti)
		}
	}
	long := list[:0]
	for _, s := range list {
		if len(s) >= 7 {
			long = append(long, s)
		}
	}
	return long
}

func (k *token) sign(t testing.TB, f *fixture) string {
	t.Helper()
	alg := k.alg
	if alg == "" {
		alg, _ = k.header["alg"].(string)
	}
	write := k.encode
	if write == nil {
		write = encode
	}
	input := write(change(marshal(t, k.header), k.headerBytes)) + "." + write(change(marshal(t, k.claims), k.bytes))
	k.made = input + "." + encode(signature(t, alg, f.secrets[k.key], []byte(input)))
	if k.compact != nil {
		k.made = k.compact(k.made)
	}
	return k.made
}

// signature signs as asked, whatever the key is meant for. HS256 takes the
// public key, as PEM, for the secret: algorithm confusion.
func signature(t testing.TB, alg string, key crypto.Signer, input []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(input)
	switch alg {
	case "none":
		return nil
	case "HS256":
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, der)
		mac.Write(input)
		return mac.Sum(nil)
	case "EdDSA":
		signed, err := key.Sign(rand.Reader, input, crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	signed, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := key.(*ecdsa.PrivateKey); !ok {
		return signed
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signed, &pair); err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 64)
	pair.R.FillBytes(out[:32])
	pair.S.FillBytes(out[32:])
	return out
}

func change(b []byte, f func([]byte) []byte) []byte {
	if f == nil {
		return b
	}
	return f(b)
}

func (o object) set(name string, value any) {
	if value == absent {
		delete(o, name)
		return
	}
	o[name] = value
}

// again returns an edit that writes a member of a JSON object a second time.
func again(name string) func([]byte) []byte {
	return func(b []byte) []byte {
		var members map[string]json.RawMessage
		if json.Unmarshal(b, &members) != nil {
			panic("not an object")
		}
		return fmt.Appendf(nil, "{%q:%s,%s", name, members[name], b[1:])
	}
}

// literal returns an edit that writes a member's value as it stands.
func literal(name, value string) func([]byte) []byte {
	return func(b []byte) []byte {
		var members map[string]json.RawMessage
		if json.Unmarshal(b, &members) != nil || members[name] == nil {
			panic("no such member: " + name)
		}
		old := fmt.Appendf(nil, "%q:%s", name, members[name])
		if !bytes.Contains(b, old) {
			panic("not written as expected: " + name)
		}
		return bytes.Replace(b, old, fmt.Appendf(nil, "%q:%s", name, value), 1)
	}
}

// with returns an edit that puts text before the closing brace.
func with(text string) func([]byte) []byte {
	return func(b []byte) []byte { return append(bytes.Clone(b[:len(b)-1]), text+"}"...) }
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

func unmarshal(t testing.TB, data []byte, v any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(v); err != nil {
		t.Fatal(err)
	}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func lenientDecode(s string) []byte {
	b, _ := base64.RawURLEncoding.DecodeString(s)
	return b
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
