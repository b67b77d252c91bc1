// SPDX-License-Identifier: EUPL-1.2

package history

import (
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// KindRetention is that of the record that says how long bodies open: {"kind":"retention","months":24}.
const KindRetention = registry.KindRetention

// MaxMonths is the longest term that a retention record states.
const MaxMonths = 1200

// ParseRetention returns the term of a retention record in calendar months; false for any other record, and for one
// without a term of 1 to MaxMonths.
func ParseRetention(record []byte) (months int, ok bool) {
	var r struct {
		Kind   string `json:"kind"`
		Months int    `json:"months"`
	}
	if ijson.UnmarshalKnown(record, &r) != nil || r.Kind != KindRetention || r.Months < 1 || r.Months > MaxMonths {
		return 0, false
	}
	return r.Months, true
}

// Catalogue finds the records that a reader needs for an event: who a key belongs to, on whose word, whether it was
// revoked, for whom a scope speaks, what kind of body it is and which policies decided. It belongs to one goroutine.
type Catalogue struct {
	bodies    map[string][]uint64 // every record of each: its attributes are those of the event's place
	policies  []uint64
	keys      map[keyName]keyRecord
	revoked   map[keyName][]uint64
	scopes    map[string][]uint64
	retention []uint64
	logKeys   []uint64
	checks    map[checkOf]checkRecord // the last of each
	sessions  map[sessionOf][]checkRecord
}

type keyName struct{ body, kid string }

type checkOf struct{ scope, aud string }

type sessionOf struct{ scope, session string }

type checkRecord struct {
	index uint64
	kid   string // that signed it
}

type keyRecord struct {
	index uint64
	by    string // kid of the key that vouched for it, "" for none
}

// NewCatalogue returns an empty Catalogue.
func NewCatalogue() *Catalogue {
	return &Catalogue{
		bodies: map[string][]uint64{}, keys: map[keyName]keyRecord{}, revoked: map[keyName][]uint64{},
		scopes: map[string][]uint64{}, checks: map[checkOf]checkRecord{}, sessions: map[sessionOf][]checkRecord{},
	}
}

// Add notes the record at this log index; indexes ascend.
func (c *Catalogue) Add(index uint64, record []byte) {
	if _, ok := ParseRetention(record); ok {
		c.retention = append(c.retention, index)
		return
	}
	parsed, err := registry.ParseRecord(record)
	if err != nil {
		return // the registry passes it over too
	}
	switch r := parsed.(type) {
	case registry.Body:
		c.bodies[r.ID] = append(c.bodies[r.ID], index)
	case registry.Key:
		name := keyName{r.Body, r.Kid}
		if _, ok := c.keys[name]; ok {
			return
		}
		k := keyRecord{index: index}
		if u, err := jws.Parse(r.Proof); err == nil {
			k.by = u.Header.Kid
		}
		c.keys[name] = k
	case registry.KeyRevoked:
		name := keyName{r.Body, r.Kid}
		c.revoked[name] = append(c.revoked[name], index)
	case registry.Scope:
		c.scopes[r.ID] = append(c.scopes[r.ID], index)
	case registry.Policy:
		c.policies = append(c.policies, index)
	case registry.LogKey:
		c.logKeys = append(c.logKeys, index)
	case registry.ProviderCheck:
		if s, token, err := registry.ParseCheckStatement(r.Statement); err == nil {
			c.checks[checkOf{s.Scope, s.Aud}] = checkRecord{index, token.Header.Kid}
		}
	case registry.BreakGlass:
		statement, token, err := registry.ParseSession(r.Statement)
		if err != nil {
			return
		}
		of := sessionOf{scope: r.Scope}
		switch s := statement.(type) {
		case registry.SessionOpened:
			of.session = s.Session
		case registry.SessionClosed:
			of.session = s.Session
		}
		c.sessions[of] = append(c.sessions[of], checkRecord{index, token.Header.Kid})
	}
}

// Signer returns the records about a signature of a body by a key: the body, the key, those that vouched for it one by
// the other, their revocations, and the providers that the body speaks for.
func (c *Catalogue) Signer(body, kid string) (indexes []uint64) {
	indexes = c.Bodies(body)
	for seen := map[string]bool{}; kid != "" && !seen[kid]; {
		seen[kid] = true
		name := keyName{body, kid}
		k, ok := c.keys[name]
		if !ok {
			break
		}
		indexes = append(append(indexes, k.index), c.revoked[name]...)
		kid = k.by
	}
	return append(indexes, c.scopes[body]...)
}

// Bodies returns the records that name bodies.
func (c *Catalogue) Bodies(ids ...string) (indexes []uint64) {
	for _, id := range ids {
		indexes = append(indexes, c.bodies[id]...)
	}
	return indexes
}

// Policies returns every record that activates a bundle of policies.
func (c *Catalogue) Policies() []uint64 { return slices.Clone(c.policies) }

// Terms returns every retention record.
func (c *Catalogue) Terms() []uint64 { return slices.Clone(c.retention) }

// LogKeys returns every record that announces the next year's log.
func (c *Catalogue) LogKeys() []uint64 { return slices.Clone(c.logKeys) }

// LastCheck returns the last provider-check record of a scope about the log of this origin, with those about its
// signature; none if there was no check.
func (c *Catalogue) LastCheck(scope, origin string) (indexes []uint64) {
	last, ok := c.checks[checkOf{scope, origin}]
	if !ok {
		return nil
	}
	return append(c.Signer(scope, last.kid), last.index)
}

// Session returns the records about a session of break-glass that a receipt is of, with those about their signatures;
// none where it is of no session.
func (c *Catalogue) Session(r *ledger.Receipt) (indexes []uint64) {
	if r.BreakGlass == nil {
		return nil
	}
	for _, s := range c.sessions[sessionOf{r.Iss, r.BreakGlass.Session}] {
		indexes = append(append(indexes, c.Signer(r.Iss, s.kid)...), s.index)
	}
	return indexes
}

// NearHeads is up to how far apart the heads around an event may be without being shown to be neighbours: an open shard
// gets one at least that often.
const NearHeads = 5 * time.Minute
