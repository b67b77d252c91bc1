// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
)

// KindCohort is the kind of a Cohort.
const KindCohort = "cohort"

// Cohort is the record of an aggregate that a body was given (docs/formats.md §10).
//
//	{"kind":"cohort","statement":"eyJhbGciOiJFUzI1NiIs…","decision":{"effect":"allow",…}}
type Cohort struct {
	Kind      string          `json:"kind"`
	Statement string          `json:"statement"` // compact JWS over ledger.Cohort, by a key in force of its iss
	Decision  json.RawMessage `json:"decision"`  // as in an event's body: allow, or recorded while no policies are active
}

func checkCohort(r Cohort) error {
	c, _, err := ledger.ParseCohort(r.Statement)
	if err != nil {
		return err
	}
	d, err := ledger.ParseDecision(r.Decision)
	if err != nil {
		return err
	}
	assurance := &ledger.Assurance{}
	if f := d.Facts; f != nil {
		// Of the tokens the record says no more than the decision does; no grant is one of a group.
		assurance.Profile, assurance.LoA, assurance.Late = f.Profile, f.LoA, f.Late
	}
	return ledger.CheckDecided(ledger.KindAccess, d, &ledger.Access{Receipt: c.Access(), Assurance: assurance})
}

func isCohort(record []byte) bool {
	var members map[string]json.RawMessage
	return json.Unmarshal(record, &members) == nil && string(members["kind"]) == `"`+KindCohort+`"`
}

// recordedCohort is where a cohort stands.
type recordedCohort struct {
	payload ledger.Hash // SHA-256 of its statement's
	index   uint64
}

// Recorded returns where a cohort of this identity stands, and the SHA-256 of its statement's payload.
func (r *Registry) Recorded(id string) (payload ledger.Hash, index uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.cohorts[sha256.Sum256([]byte(id))]
	return c.payload, c.index, ok
}

// prepareCohort takes a statement that a party who speaks for the provider signed, once, and that was decided on by the
// policies of its place.
func (r *Registry) prepareCohort(rec Cohort) (func(index uint64), error) {
	c, token, err := ledger.ParseCohort(rec.Statement)
	if err != nil {
		return nil, err
	}
	d, err := ledger.ParseDecision(rec.Decision)
	if err != nil {
		return nil, err
	}
	if c.Aud != r.name {
		return nil, refuse("wrong_audience", "cohort#aud", r.name, "another ledger's name")
	}
	for where, id := range map[string]string{"cohort#provider": c.Provider, "cohort#consumer": c.Consumer} {
		if _, known := r.bodies[id]; !known {
			return nil, refuse("unknown_body", where, "the id of a registered body", id)
		}
	}
	states := r.scopes[c.Iss]
	if len(states) == 0 || !slices.Contains(states[len(states)-1].providers, c.Provider) {
		return nil, refuse("no_scope", "cohort#iss", "the party that speaks for "+c.Provider, c.Iss)
	}
	i := r.find(c.Iss, token.Header.Kid)
	if i < 0 || r.keys[c.Iss][i].RevokedIndex != 0 {
		return nil, refuse("bad_signature", "cohort", "a signature by a key in force of "+c.Iss, "kid "+token.Header.Kid)
	}
	if err := token.Verify(r.keys[c.Iss][i].key); err != nil {
		return nil, refuse("bad_signature", "cohort", "a signature that verifies", err.Error())
	}
	var active ledger.Hex
	if n := len(r.policies); n > 0 {
		active = r.policies[n-1].SHA256
	}
	if d.Bundle != active {
		return nil, refuse(ledger.CodeDecision, "/decision/bundle", "a decision by the active policies, "+hex.EncodeToString(active[:]), hex.EncodeToString(d.Bundle[:]))
	}
	id := sha256.Sum256([]byte(c.ID()))
	if _, twice := r.cohorts[id]; twice {
		return nil, refuse(ledger.CodeRepeated, "cohort#jti", "a jti not used before by "+c.Iss, "one that was")
	}
	payload := sha256.Sum256(token.Payload)
	return func(index uint64) { r.cohorts[id] = recordedCohort{payload, index} }, nil
}
