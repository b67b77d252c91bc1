// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// What a body may state of a receipt that was recorded before.
const (
	// StatementError: its issuer recorded it in error. Such a statement stands in
	// the scope of what it is about.
	StatementError = "recorded-in-error"
	// StatementUndelivered: its issuer released nothing of what the receipt
	// authorised. It stands in the scope of what it is about too.
	StatementUndelivered = "undelivered"
	// StatementNotAsked: its consumer didn't ask for that. Such a statement stands
	// in ScopeReported.
	StatementNotAsked = "not-asked"
)

// Statement is what a receipt says of another one, which stands in the log before
// it: an event that the citizen sees beside the first. Nothing that is recorded is
// ever taken out.
//
//	{"kind":"not-asked","receipt":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","text":"Nessuna pratica del nostro ente"}
type Statement struct {
	Kind    string `json:"kind"`           // a Statement constant
	Receipt string `json:"receipt"`        // ReceiptID of the one that it is about
	Text    string `json:"text,omitempty"` // text for the citizen
}

// UndeliveredJTI is the jti of the statement that a gateway makes of itself: nothing was released of the receipt with this
// ReceiptID. It is the same whenever it is made, so the ledger records one, and who has ids alone can tell it from an access.
func UndeliveredJTI(receipt string) string {
	var none [16]byte // the namespace of RFC 9562, 6.5
	sum := sha256.Sum256(append(none[:], "traccia/v1/undelivered\x00"+receipt...))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// Issuer is the body that signed the receipt which the statement is about.
func (s *Statement) Issuer() string {
	iss, _, _ := strings.Cut(s.Receipt, "/")
	return iss
}

// JTI is that of the receipt which the statement is about.
func (s *Statement) JTI() string {
	_, jti, _ := strings.Cut(s.Receipt, "/")
	return jti
}

// StatedKind returns the kind of event that a statement makes.
func (s *Statement) StatedKind() Kind {
	for _, k := range kinds {
		if k.Statement != "" && k.Statement == s.Kind {
			return k
		}
	}
	return Kind{} // of none that was parsed
}

// statement checks what a receipt states of another, and that who signs it may.
// What it must have in common with the other is for whoever has both, see
// [Receipt.States].
func (c *checker) statement(r *Receipt) {
	s := r.Statement
	var known []string
	for _, k := range kinds {
		if k.Statement != "" {
			known = append(known, k.Statement)
		}
	}
	c.word("statement/kind", s.Kind, known...)
	iss, jti, found := strings.Cut(s.Receipt, "/")
	if !found || CheckID(iss) != nil || !isUUID(jti) {
		c.fail(CodeBadValue, "statement/receipt", "<iss>/<jti> of a receipt", textFound(s.Receipt))
		return
	}
	if s.Text != "" {
		c.text("statement/text", s.Text, MaxText)
	}
	if r.ReceiptID() == s.Receipt {
		c.fail(CodeBadValue, "statement/receipt", "another receipt", "this one")
	}
	if r.ConsentID != "" {
		c.fail(CodeBadValue, "consent_id", "none in a statement", "one")
	}
	if s.StatedKind().Role == RoleConsumer {
		c.word("role", r.Role, RoleConsumer)
		if r.Iss != r.Consumer {
			c.fail(CodeBadValue, "iss", "the consumer with "+s.Kind, "another")
		}
		return
	}
	c.word("role", r.Role, RoleProvider, RoleConsumer)
	if r.Iss != iss {
		c.fail(CodeBadValue, "iss", "the issuer of the receipt that it is about with "+s.Kind, "another")
	}
}

// States checks that the receipt, which has a statement, can be about another: it
// names that one, and the same ledger, provider and consumer; an issuer speaks of
// its own receipt in the same role, and a consumer of one that the provider's side
// signed. The error is a *Problem at "receipt#…".
func (r *Receipt) States(about *Receipt) error {
	var c checker
	for _, claim := range []struct{ where, expected, found string }{
		{"statement/receipt", about.ReceiptID(), r.Statement.Receipt},
		{"aud", about.Aud, r.Aud},
		{"provider", about.Provider, r.Provider},
		{"consumer", about.Consumer, r.Consumer},
	} {
		if claim.expected != claim.found {
			c.fail(CodeNotParty, claim.where, claim.expected+", as the receipt that it is about", "another")
		}
	}
	switch own := r.Statement.StatedKind().Role == ""; {
	case about.Statement != nil:
		c.fail(CodeNotParty, "statement/receipt", "the receipt of an access", "one of a statement")
	case own && r.Role != about.Role:
		c.fail(CodeNotParty, "role", about.Role+", as the receipt that it is about", r.Role)
	case !own && about.Role != RoleProvider:
		c.fail(CodeNotParty, "statement/receipt", "a receipt that the provider's side signed", "another")
	}
	if c.problem != nil {
		return c.problem.under("receipt")
	}
	return nil
}
