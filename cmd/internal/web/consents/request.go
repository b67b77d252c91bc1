// SPDX-License-Identifier: EUPL-1.2

package consents

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
)

// CodeNotAsked: nobody can be asked for this, or not any more.
const CodeNotAsked = "consent_request"

// Asked is a request that citizens may be shown: a body of the ledger signed it, it is still open, and what it asks for is in
// the vocabulary of the policies in force.
type Asked struct {
	*consent.Request
	PurposeTerms, CategoryTerms []policies.Term // of its purposes and categories, in their order
}

// Read reads a request that came in a link. Errors that aren't the ledger's own are *ledger.Problem.
func (d *Desk) Read(ctx context.Context, compact string) (*Asked, error) {
	u, err := consent.ParseRequest(compact)
	if err != nil {
		return nil, err
	}
	r, now := &u.Request, d.Ledger.Now()
	key, err := d.Ledger.Registry().Key(r.Body, u.JWS.Header.Kid, math.MaxUint64)
	switch {
	case r.Ledger != d.Name:
		return refuse("aud", d.Name, "another ledger's name")
	case err != nil || u.JWS.Verify(key) != nil:
		return refuse("signature", "one by a key in force of the body that asks", "another")
	case time.Unix(r.IssuedAt, 0).After(now.Add(time.Minute)):
		return refuse("iat", "an instant that is past", "a later one")
	case !now.Before(time.Unix(r.Expires, 0)):
		return refuse("exp", "an instant that is to come", time.Unix(r.Expires, 0).UTC().Format(time.RFC3339))
	}
	for i, id := range r.Recipients {
		if _, known := d.Ledger.Registry().Body(id); !known && !strings.HasPrefix(id, ledger.ConsentKind) {
			return refuse(fmt.Sprintf("recipients/%d", i), "a body of this ledger, or "+ledger.ConsentKind+" and a kind", "neither")
		}
	}
	a, err := d.Known(ctx, r)
	if err != nil {
		return nil, err
	}
	special := func(t policies.Term) bool { return t.Art9 }
	if i := slices.IndexFunc(a.CategoryTerms, special); i >= 0 && !slices.Contains(r.LegalBasis, consent.BasisExplicit) {
		return refuse("legal_basis", consent.BasisExplicit+", for a special category (GDPR Art. 9): "+a.CategoryTerms[i].ID, "without it")
	}
	return a, nil
}

func refuse(where, expected, found string) (*Asked, error) {
	return nil, &ledger.Problem{Code: CodeNotAsked, Where: "request#" + where, Expected: expected, Found: found}
}

// Known finds purposes and categories in the vocabulary of the policies in force. Errors that aren't the ledger's own are
// *ledger.Problem.
func (d *Desk) Known(ctx context.Context, r *consent.Request) (*Asked, error) {
	vocabulary, err := d.vocabulary(ctx)
	if err != nil {
		return nil, err
	}
	if vocabulary == nil {
		return refuse("purposes", "policies in force that know them", "none in force")
	}
	a := &Asked{Request: r}
	for _, list := range []struct {
		name  string
		words []string
		known []policies.Term
		into  *[]policies.Term
	}{{"purposes", r.Purposes, vocabulary.Purposes, &a.PurposeTerms}, {"categories", r.Categories, vocabulary.Categories, &a.CategoryTerms}} {
		for i, word := range list.words {
			n := slices.IndexFunc(list.known, func(t policies.Term) bool { return t.ID == word || t.IRI == word || slices.Contains(t.Also, word) })
			if n < 0 {
				return refuse(fmt.Sprintf("%s/%d", list.name, i), "a word of the vocabulary of the policies in force", "another")
			}
			*list.into = append(*list.into, list.known[n])
		}
	}
	return a, nil
}

// vocabulary is that of the policies in force; nil: none are.
func (d *Desk) vocabulary(ctx context.Context) (*policies.Vocabulary, error) {
	active, ok := d.Ledger.Registry().Policy(math.MaxUint64)
	if !ok {
		return nil, nil
	}
	digest := ledger.Hash(active.SHA256)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known != nil && d.of == digest {
		return d.known, nil
	}
	document, err := d.Ledger.Blob(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the policies in force: %w", err)
	}
	b, err := policies.ParseBundle(document)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the policies in force: %w", err)
	}
	d.of, d.known = digest, &b.Vocabulary
	return d.known, nil
}
