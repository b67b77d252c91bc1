// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
)

// MaxAttributes is how many attributes of PDND a body record states at most.
const MaxAttributes = 16

// Policy activates a bundle of policies: accesses recorded at a higher index are
// decided on by it, until the next record of this kind. The log serves the
// bundle by its digest.
//
//	{"kind":"policy","version":"1.0.0","sha256":"4c1d…64 hex"}
type Policy struct {
	Kind    string     `json:"kind"`
	Version string     `json:"version"` // as the bundle says, 1 to 40 bytes
	SHA256  ledger.Hex `json:"sha256"`  // of the bundle's bytes
}

type policyState struct {
	from uint64 // log index of the record; events after it are under it
	Policy
}

// attributesState is what one record says of a body's attributes.
type attributesState struct {
	from uint64
	list []string
}

func checkPolicy(r Policy) error {
	if n := len(r.Version); n < 1 || n > 40 {
		return refuse("too_long", "/version", "1 to 40 bytes", fmt.Sprintf("%d bytes", n))
	}
	if r.SHA256 == (ledger.Hex{}) {
		return refuse("bad_hash", "/sha256", "the digest of a bundle", hex.EncodeToString(r.SHA256[:]))
	}
	return nil
}

func checkAttributes(list []string) error {
	if n := len(list); n > MaxAttributes {
		return refuse("too_many", "/attributes", fmt.Sprintf("at most %d attributes", MaxAttributes), fmt.Sprint(n))
	}
	for i, a := range list {
		if n := len(a); n < 1 || n > 300 {
			return refuse("too_long", fmt.Sprintf("/attributes/%d", i), "1 to 300 bytes", fmt.Sprintf("%d bytes", n))
		}
		if slices.Contains(list[:i], a) {
			return refuse("repeated", fmt.Sprintf("/attributes/%d", i), "each attribute once", "one that occurs before")
		}
	}
	return nil
}

// Policy returns the bundle active at log index at: that of the last policy
// record before it. False where there is none.
func (r *Registry) Policy(at uint64) (Policy, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i := len(r.policies) - 1; i >= 0; i-- {
		if r.policies[i].from < at {
			return r.policies[i].Policy, true
		}
	}
	return Policy{}, false
}

// Policies returns the digests of all bundles that were active, in log order.
func (r *Registry) Policies() []Policy {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]Policy, len(r.policies))
	for i, p := range r.policies {
		list[i] = p.Policy
	}
	return list
}

// Attributes returns those that the body's last record before log index at
// states. The caller doesn't change them.
func (r *Registry) Attributes(body string, at uint64) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	states := r.attributes[body]
	for i := len(states) - 1; i >= 0; i-- {
		if states[i].from < at {
			return states[i].list
		}
	}
	return nil
}
