// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"encoding/json"
	"maps"
	"slices"
)

// KindRetention is a kind of which the last record holds; what it says is for others to read.
const KindRetention = "retention"

// InForce returns the log indexes of the records that are in force now, in the order in which the next shard repeats them
// right after its preamble (docs/formats.md §7): the last record of each body; every key and revocation, in log order, so
// that no kid is used twice and each key still stands on the one that vouched for it, and among them the opening and the
// last closing of each session of break-glass that isn't settled; the last record of each scope; the last policy,
// retention and build. Records that the registry refused are not among them.
//
// Applied in this order to an empty registry they give the same answers as this one.
func (r *Registry) InForce() []uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var keys, scopes []uint64
	for _, list := range r.keys {
		for _, k := range list {
			keys = append(keys, k.Index)
			if k.RevokedIndex != 0 {
				keys = append(keys, k.RevokedIndex)
			}
		}
	}
	for _, states := range r.sessions {
		if last := states[len(states)-1]; !last.Settled() {
			keys = append(keys, last.Index)
			if last.Closed != nil {
				keys = append(keys, last.ClosedIndex)
			}
		}
	}
	for _, states := range r.scopes {
		scopes = append(scopes, states[len(states)-1].from)
	}
	return slices.Concat(
		slices.Sorted(maps.Values(r.named)),
		slices.Sorted(slices.Values(keys)),
		slices.Sorted(slices.Values(scopes)),
		slices.Sorted(maps.Values(r.latest)),
	)
}

// latestOf returns the kind of a record of which the last one holds, "" for any other. A map and not a struct keeps the
// name exact.
func latestOf(record []byte) (kind string) {
	var members map[string]json.RawMessage
	if json.Unmarshal(record, &members) != nil || json.Unmarshal(members["kind"], &kind) != nil {
		return ""
	}
	if kind == KindRetention {
		return kind
	}
	return ""
}
