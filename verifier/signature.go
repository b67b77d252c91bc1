// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"strconv"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// signature checks the receipt: that it is the one the answer names, what it
// says of ledger, scope and agency, and its signature.
func (c *receiptCheck) signature() error {
	body := c.bodies[0]
	if body == nil {
		return unchecked("there is no body with a receipt")
	}
	if c.receipt == nil {
		_, err := ledger.ParseReceipt(body.Receipt)
		p := asProblem(err)
		return problem(p.Code, entry(0, "body#"+p.Where), p.Expected, p.Found)
	}
	r := &c.receipt.Receipt
	if id := r.ReceiptID(); id != c.answer.ReceiptID {
		return problem(CodeOtherReceipt, "/receipt_id", id, c.answer.ReceiptID)
	}
	if beside := c.answer.Receipt; beside != "" && beside != body.Receipt {
		return problem(CodeOtherReceipt, "/receipt", "the receipt in the body", "another")
	}
	if r.Aud != c.name {
		return problem(CodeWrongAudience, entry(0, "body#receipt#aud"), c.name, r.Aud)
	}
	if body.Agency != r.Consumer {
		return problem(CodeWrongAgency, entry(0, "body#agency"), r.Consumer, body.Agency)
	}
	if p := checkScope(body, r); p != nil {
		return p
	}
	key, basis, err := c.key()
	if err != nil {
		return err
	}
	if c.receipt.JWS.Verify(key) != nil {
		return problem(CodeBadSignature, entry(0, "body#receipt"), "a signature by kid "+strconv.Quote(key.Kid)+" of "+r.Iss, "one that doesn't verify")
	}
	c.report.Key = &ReceiptKey{Index: c.answer.Key.Index, Kid: key.Kid, Alg: key.Alg, Basis: basis}
	return nil
}

// checkScope checks that scope, issuer and role can go together (formats §3).
// Whether a scope record speaks for the provider, only the log tells.
func checkScope(body *ledger.Body, r *ledger.Receipt) *ledger.Problem {
	kind, _ := ledger.KindOf(body.Kind)
	expected := "a scope that " + r.Iss + " can have as " + r.Role
	ok := r.Role == kind.RoleIn(body.Scope)
	switch {
	case kind.Scope != "":
		expected = kind.Scope + ", signed by the agency"
		ok = body.Scope == kind.Scope && r.Iss == body.Agency
	case body.Scope == ledger.ScopeReported:
		ok = ok && r.Iss == r.Consumer
	default:
		ok = ok && (body.Scope == r.Iss || body.Scope == ledger.ScopeDeferred)
	}
	if !ok {
		return problem(CodeWrongScope, entry(0, "body#scope"), expected, body.Scope)
	}
	return nil
}

// key returns the key that the log registers for the receipt's issuer and kid,
// and on whose word.
func (c *receiptCheck) key() (key jws.Key, basis string, err error) {
	k := c.answer.Key
	if k == nil {
		return key, "", problem(ledger.CodeMissing, "/key", "the record that registers the receipt's key", "nothing")
	}
	if first := c.answer.FirstIndex; k.Index >= first {
		return key, "", problem(CodeKeyTooLate, "/key/index", "an index lower than "+strconv.FormatUint(first, 10), strconv.FormatUint(k.Index, 10))
	}
	registered, err := c.registered(k.Leaf)
	if err != nil {
		return key, "", err
	}
	if c.log == nil {
		return key, "", unchecked("without a signed checkpoint no key is known to be registered")
	}
	if err := c.proof("/key/proof", k.Proof, k.Index, k.Leaf); err != nil {
		return key, "", err
	}
	if key, err = jws.ParseKey(registered.JWK); err != nil {
		return key, "", problem(CodeWrongKey, "/key/leaf", "a public key", "something else")
	}
	return key, registered.Basis, nil
}

// registered reads the record of a key, which must be that of the receipt.
func (c *receiptCheck) registered(text []byte) (registry.Key, error) {
	const where = "/key/leaf"
	leaf, err := ledger.ParseLeaf(text)
	record, ok := leaf.(ledger.Record)
	if err != nil || !ok {
		return registry.Key{}, problem(CodeMalformedLeaf, where, "the leaf of a record", "something else")
	}
	if record.Epoch != c.epoch {
		return registry.Key{}, problem(CodeWrongEpoch, where, strconv.Itoa(int(c.epoch)), strconv.Itoa(int(record.Epoch)))
	}
	parsed, err := registry.ParseRecord(record.JSON)
	key, ok := parsed.(registry.Key)
	if err != nil || !ok {
		return registry.Key{}, problem(CodeWrongKey, where, "a record of kind "+registry.KindKey, "something else")
	}
	if kid := c.receipt.JWS.Header.Kid; key.Body != c.receipt.Iss || key.Kid != kid {
		return registry.Key{}, problem(CodeWrongKey, where, "kid "+strconv.Quote(kid)+" of "+c.receipt.Iss, "kid "+strconv.Quote(key.Kid)+" of "+key.Body)
	}
	return key, nil
}
