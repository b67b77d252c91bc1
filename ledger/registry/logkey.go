// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// KindLogKey is the kind of a LogKey.
const KindLogKey = "log-key"

// LogKey announces the next shard before this one's final head: its origin and the verifier key of its log, so that who
// trusts this shard trusts the next (docs/formats.md §7). A shard announces one key for an origin; another is refused.
//
//	{"kind":"log-key","origin":"registro.example/2027","vkey":"registro.example/2027+530d903a+AekyeRrm56hA…"}
type LogKey struct {
	Kind   string `json:"kind"`
	Origin string `json:"origin"`
	VKey   string `json:"vkey"` // c2sp.org/signed-note, Ed25519; its name is Origin
}

// Announcement is a LogKey in the log.
type Announcement struct {
	VKey  string
	Index uint64 // log index of its record
}

// LogKey returns what the shard announced for an origin.
func (r *Registry) LogKey(origin string) (Announcement, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	a, ok := r.logKeys[origin]
	return a, ok
}

func (r *Registry) prepareLogKey(rec LogKey) (func(index uint64), error) {
	name, _, err := ledger.ParseOrigin(rec.Origin)
	if err != nil || name != r.name {
		return nil, refuse("other_ledger", "/origin", "an origin of "+r.name, rec.Origin)
	}
	if a, announced := r.logKeys[rec.Origin]; announced {
		return nil, refuse("log_key_repeated", "/origin", "one record for an origin", fmt.Sprintf("one more than that at log index %d", a.Index))
	}
	return func(index uint64) { r.logKeys[rec.Origin] = Announcement{rec.VKey, index} }, nil
}

func checkLogKey(r LogKey) error {
	if _, _, err := ledger.ParseOrigin(r.Origin); err != nil {
		return refuse("bad_origin", "/origin", "a ledger's name, / and a year", fmt.Sprintf("%d bytes", len(r.Origin)))
	}
	v, err := checkpoint.ParseKey(r.VKey)
	if err != nil {
		return refuse("bad_key", "/vkey", "an Ed25519 vkey of c2sp.org/signed-note", fmt.Sprintf("%d bytes", len(r.VKey)))
	}
	if v.Name() != r.Origin {
		return refuse("bad_key", "/vkey", "a key of "+r.Origin, "a key of "+v.Name())
	}
	return nil
}
