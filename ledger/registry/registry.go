// SPDX-License-Identifier: EUPL-1.2

// Package registry folds the public records of one shard into what a reader
// must know of bodies, their keys and scopes (formats §2 and §3).
//
// Log order decides everything: each answer is "as of log index n", so that a
// receipt recorded before its key was revoked verifies for ever. The registry
// is derived: applying the shard's records in order rebuilds it, for the
// ledger that wrote them as for any monitor. It trusts nobody: a record that
// the rules refuse is reported and changes nothing.
package registry

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// MaxScopes is how many scope ids an epoch lists (formats §3).
const MaxScopes = 300

// Decisions of look-ups.
var (
	ErrUnknownKey = errors.New("no such key is registered for this body")
	ErrRevokedKey = errors.New("this key was revoked")
	ErrNoScope    = errors.New("the submitter neither speaks for the provider nor is the consumer")
)

// Registry is safe for concurrent use.
type Registry struct {
	name string // ledger name, the aud of key proofs

	mu         sync.RWMutex
	bodies     map[string]Body
	tenants    map[string]string
	keys       map[string][]keyState // by body id, in log order
	scopes     map[string][]scopeState
	logKeys    map[string]Announcement // by origin
	checks     map[checkOf]Attestation // the last of each
	sessions   map[sessionOf][]Session // as each record about them left them
	named      map[string]uint64       // by body id: log index of its last record
	latest     map[string]uint64       // by kind: log index of the last record, where that is the one that holds
	policies   []policyState
	cohorts    map[ledger.Hash]recordedCohort // by the SHA-256 of their identity
	builds     map[ledger.Hash]uint64         // by digest: log index of the last record
	attributes map[string][]attributesState   // by body id, where they change
	version    uint64
}

type keyState struct {
	KeyInForce
	key jws.Key
}

type scopeState struct {
	from      uint64 // log index of the record; events after it are under it
	providers []string
}

// KeyInForce is what the registry shows of a key.
type KeyInForce struct {
	Kid, Alg, Basis string
	Index           uint64 // log index of its record
	Revoked         bool
	RevokedIndex    uint64 // log index of its revocation; 0 while in force (index 0 is the preamble)
	Reason          string
}

// New returns the empty registry of a ledger.
func New(name string) *Registry {
	return &Registry{
		name: name, bodies: map[string]Body{}, tenants: map[string]string{},
		keys: map[string][]keyState{}, scopes: map[string][]scopeState{},
		logKeys: map[string]Announcement{}, attributes: map[string][]attributesState{}, checks: map[checkOf]Attestation{},
		cohorts:  map[ledger.Hash]recordedCohort{},
		sessions: map[sessionOf][]Session{}, named: map[string]uint64{}, builds: map[ledger.Hash]uint64{}, latest: map[string]uint64{},
	}
}

// Version changes whenever a record that the registry understands was
// applied. A check that relied on the registry is done again when it moved.
func (r *Registry) Version() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.version
}

// Check says whether the ledger may write the record now. It asks more than
// Apply, which must follow whatever a log says: a scope and its providers are
// registered bodies, an epoch has at most MaxScopes scopes, and a session is that
// of a listed one.
func (r *Registry) Check(record []byte) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, err := r.prepare(record); err != nil {
		return err
	}
	if parsed, _ := ParseRecord(record); parsed != nil {
		switch rec := parsed.(type) {
		case Scope:
			return r.checkNewScope(rec)
		case BreakGlass:
			if len(r.scopes[rec.Scope]) == 0 {
				return refuse("unknown_scope", "/scope", "a listed scope", rec.Scope)
			}
		}
	}
	return nil
}

func (r *Registry) checkNewScope(rec Scope) error {
	if _, known := r.bodies[rec.ID]; !known {
		return refuse("unknown_body", "/id", "a registered body", rec.ID)
	}
	if _, listed := r.scopes[rec.ID]; !listed && len(r.scopes) >= MaxScopes {
		return refuse("too_many", "/id", fmt.Sprintf("at most %d scopes in an epoch", MaxScopes), rec.ID)
	}
	for i, p := range rec.Providers {
		if _, known := r.bodies[p]; !known {
			return refuse("unknown_body", fmt.Sprintf("/providers/%d", i), "a registered body", p)
		}
	}
	return nil
}

// Apply folds the record at this log index; indexes ascend. On error nothing
// changed; the error is a *ledger.Problem.
func (r *Registry) Apply(index uint64, record []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	apply, err := r.prepare(record)
	if err != nil {
		return err
	}
	if apply != nil {
		apply(index)
		if !isCohort(record) { // on which no check relies
			r.version++
		}
	} else if kind := latestOf(record); kind != "" {
		r.latest[kind] = index
	}
	return nil
}

// prepare returns the change a record makes, nil for one of another kind.
func (r *Registry) prepare(record []byte) (func(index uint64), error) {
	parsed, err := ParseRecord(record)
	if err != nil {
		return nil, err
	}
	switch rec := parsed.(type) {
	case Body:
		if owner := r.tenants[rec.Tenant]; rec.Tenant != "" && owner != "" && owner != rec.ID {
			return nil, refuse("tenant_taken", "/tenant", "a tenant of no other body", "the tenant of "+owner)
		}
		return func(index uint64) {
			delete(r.tenants, r.bodies[rec.ID].Tenant)
			if !slices.Equal(r.bodies[rec.ID].Attributes, rec.Attributes) {
				r.attributes[rec.ID] = append(r.attributes[rec.ID], attributesState{index, rec.Attributes})
			}
			r.bodies[rec.ID], r.named[rec.ID] = rec, index
			if rec.Tenant != "" {
				r.tenants[rec.Tenant] = rec.ID
			}
		}, nil
	case Key:
		return r.prepareKey(rec)
	case KeyRevoked:
		i := r.find(rec.Body, rec.Kid)
		if i < 0 || r.keys[rec.Body][i].RevokedIndex != 0 {
			return nil, refuse("unknown_key", "/kid", "a key in force of "+rec.Body, rec.Kid)
		}
		return func(index uint64) {
			k := &r.keys[rec.Body][i]
			k.RevokedIndex, k.Revoked, k.Reason = index, true, rec.Reason
		}, nil
	case Scope:
		return func(index uint64) {
			r.scopes[rec.ID] = append(r.scopes[rec.ID], scopeState{index, slices.Clone(rec.Providers)})
		}, nil
	case LogKey:
		return r.prepareLogKey(rec)
	case ProviderCheck:
		return r.prepareProviderCheck(rec)
	case BreakGlass:
		return r.prepareBreakGlass(rec)
	case Cohort:
		return r.prepareCohort(rec)
	case Policy:
		return func(index uint64) {
			r.policies = append(r.policies, policyState{index, rec})
			r.latest[KindPolicy] = index
		}, nil
	case Build:
		return func(index uint64) { r.builds[ledger.Hash(rec.SHA256)], r.latest[KindBuild] = index, index }, nil
	}
	return nil, nil
}

func (r *Registry) prepareKey(rec Key) (func(index uint64), error) {
	if _, known := r.bodies[rec.Body]; !known {
		return nil, refuse("unknown_body", "/body", "a registered body", rec.Body)
	}
	if r.find(rec.Body, rec.Kid) >= 0 {
		return nil, refuse("key_repeated", "/kid", "a kid not used before by "+rec.Body, rec.Kid)
	}
	key, err := jws.ParseKey(rec.JWK)
	if err != nil {
		return nil, refuse("bad_key", "/jwk", "a public P-256, RSA or Ed25519 JWK", err.Error())
	}
	if rec.Basis == BasisSigned {
		if err := r.checkProof(rec, key); err != nil {
			return nil, err
		}
	}
	return func(index uint64) {
		r.keys[rec.Body] = append(r.keys[rec.Body], keyState{
			KeyInForce: KeyInForce{Kid: rec.Kid, Alg: key.Alg, Basis: rec.Basis, Index: index}, key: key,
		})
	}, nil
}

// checkProof verifies that a key in force of the body signed the new one.
func (r *Registry) checkProof(rec Key, key jws.Key) error {
	token, err := jws.Parse(rec.Proof)
	if err != nil || token.Header.Typ != KeyProofType {
		return refuse("bad_proof", "/proof", "a compact JWS with typ "+KeyProofType, "something else")
	}
	i := r.find(rec.Body, token.Header.Kid)
	if i < 0 || r.keys[rec.Body][i].RevokedIndex != 0 {
		return refuse("bad_proof", "/proof", "a signature by a key in force of "+rec.Body, "kid "+token.Header.Kid)
	}
	if err := token.Verify(r.keys[rec.Body][i].key); err != nil {
		return refuse("bad_proof", "/proof", "a signature that verifies", err.Error())
	}
	var s KeyStatement
	if err := ijson.Unmarshal(token.Payload, &s); err != nil {
		return refuse("bad_proof", "/proof", "a key statement", err.Error())
	}
	print, err := jws.Thumbprint(key.Public)
	if err != nil {
		return refuse("bad_key", "/jwk", "a key with a thumbprint", err.Error())
	}
	if want := (KeyStatement{r.name, rec.Body, rec.Kid, print}); s != want {
		return refuse("bad_proof", "/proof", "a statement about this key, body and ledger", "another statement")
	}
	return nil
}

func (r *Registry) find(body, kid string) int {
	return slices.IndexFunc(r.keys[body], func(k keyState) bool { return k.Kid == kid })
}

// Key returns the body's key with this kid as it stood before log index at:
// registered by a record of lower index and not revoked by one. ErrUnknownKey
// and ErrRevokedKey tell the two refusals apart.
func (r *Registry) Key(body, kid string, at uint64) (jws.Key, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := r.find(body, kid)
	if i < 0 || r.keys[body][i].Index >= at {
		return jws.Key{}, ErrUnknownKey
	}
	k := r.keys[body][i]
	if k.RevokedIndex != 0 && k.RevokedIndex < at {
		return jws.Key{}, ErrRevokedKey
	}
	return k.key, nil
}

// KeyIndex returns the log index of the record that registered a key.
func (r *Registry) KeyIndex(body, kid string) (uint64, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := r.find(body, kid)
	if i < 0 {
		return 0, false
	}
	return r.keys[body][i].Index, true
}

// Scope returns the scope of a receipt as of log index at (formats §3): the
// submitter's own where its record speaks for the provider, +reported where
// the submitter is the consumer, else ErrNoScope.
func (r *Registry) Scope(iss, provider, consumer string, at uint64) (string, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	states := r.scopes[iss]
	for i := len(states) - 1; i >= 0; i-- {
		if states[i].from < at {
			if slices.Contains(states[i].providers, provider) {
				return iss, nil
			}
			break
		}
	}
	if iss == consumer {
		return ledger.ScopeReported, nil
	}
	return "", ErrNoScope
}

// Body returns a registered body.
func (r *Registry) Body(id string) (Body, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	b, ok := r.bodies[id]
	return b, ok
}

// BodyIndex returns the log index of a body's last record; false where there is none.
func (r *Registry) BodyIndex(id string) (uint64, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	index, ok := r.named[id]
	return index, ok
}

// Tenant returns the body that bears a tenant uuid of PDND.
func (r *Registry) Tenant(uuid string) (Body, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	b, ok := r.bodies[r.tenants[uuid]]
	return b, ok
}

// Bodies returns all registered bodies, by id.
func (r *Registry) Bodies() []Body {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]Body, 0, len(r.bodies))
	for _, b := range r.bodies {
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b Body) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return list
}

// Keys returns every key ever registered for a body, in log order.
func (r *Registry) Keys(body string) []KeyInForce {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]KeyInForce, len(r.keys[body]))
	for i, k := range r.keys[body] {
		list[i] = k.KeyInForce
	}
	return list
}

// Providers returns the providers that a scope speaks for now; false where no
// scope of that id is listed.
func (r *Registry) Providers(scope string) ([]string, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	states := r.scopes[scope]
	if len(states) == 0 {
		return nil, false
	}
	return slices.Clone(states[len(states)-1].providers), true
}

// ScopeIndex returns the log index of the last record of a scope; false where there is none.
func (r *Registry) ScopeIndex(scope string) (uint64, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	states := r.scopes[scope]
	if len(states) == 0 {
		return 0, false
	}
	return states[len(states)-1].from, true
}

// Scopes returns the ids of the scope records so far, ascending, without the
// reserved words.
func (r *Registry) Scopes() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := make([]string, 0, len(r.scopes))
	for id := range r.scopes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
