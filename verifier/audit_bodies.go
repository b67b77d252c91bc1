// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// AuditBody is what an audit of all bodies comes to for one of them.
type AuditBody struct {
	ID        string `json:"id"`
	Name      string `json:"name,omitempty"`
	Accesses  uint64 `json:"accesses"`
	Denied    uint64 `json:"denied"`
	Citizens  uint64 `json:"citizens"`
	Operators uint64 `json:"operators"`
	Broken    uint64 `json:"broken"`  // occurrences of findings of integrity and conformity
	Unusual   uint64 `json:"unusual"` // of anomalies and data quality
}

// ofBody is an operator's id or a case reference as one body's: others may use the same.
func (a *Audit) ofBody(body, value string) string {
	if !a.All {
		return value
	}
	return body + "/" + value
}

// bodyOf takes what ofBody made apart. Ids of bodies have no "/".
func (a *Audit) bodyOf(value string) (body, rest string) {
	if !a.All {
		return "", value
	}
	body, rest, _ = strings.Cut(value, "/")
	return body, rest
}

// body is the count of one body, in an audit of all.
func (a *Audit) body(id string) *AuditBody {
	b := a.bodies[id]
	if b == nil {
		b = &AuditBody{ID: id, Name: a.names[id]}
		a.bodies[id] = b
	}
	return b
}

// consumerOf is who consulted, as the key of an access has it: behind the call's pair, citizen, provider and e-service.
func consumerOf(i *AuditItem) string {
	parts := strings.Split(i.Key, "\x00")
	return parts[len(parts)-2]
}

// blame counts a finding for the body that it is about.
func (a *Audit) blame(class string) {
	if !a.All || a.about == "" {
		return
	}
	if b := a.body(a.about); class == ClassIntegrity || class == ClassConformity {
		b.Broken++
	} else {
		b.Unusual++
	}
}

// Problem takes what is wrong with a ledger as a whole, beside its lists.
func (a *Audit) Problem(p ledger.Problem) error { return a.ofList(p) }

// sums are the bodies, those with the most broken rules first.
func (a *Audit) sums() []AuditBody {
	list := make([]AuditBody, 0, len(a.bodies))
	for _, id := range slices.Sorted(maps.Keys(a.bodies)) {
		list = append(list, *a.bodies[id])
	}
	slices.SortStableFunc(list, func(x, y AuditBody) int {
		return cmp.Or(cmp.Compare(y.Broken, x.Broken), cmp.Compare(y.Accesses, x.Accesses))
	})
	return list
}
