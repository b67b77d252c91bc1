// SPDX-License-Identifier: EUPL-1.2

// Package register is what the public page of a ledger tells, drawn from its public log alone: who is registered with which
// keys, the totals of each month, who watches, which policies decide, who attested checks, and how old the last head is.
//
// Everything has the place of the record in the log that says it, so that whoever reads the log finds the same. Of totals
// there are the lines of the records (docs/formats.md §8) and nothing else: no number of a running month, no sum over other
// spans, no body that a record joins with others. Nothing here is about a person, and nothing is trusted because it is
// here: a page of the ledger says what its log says.
package register

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/statistics"
)

// Schema of a Register in JSON.
const Schema = "traccia/register/1"

// Place is where a record or a head stands, "2026/4711": the year's log and the leaf.
type Place struct {
	Epoch uint32
	Index uint64
}

func (p Place) String() string { return fmt.Sprintf("%d/%d", p.Epoch, p.Index) }

// MarshalText writes it as String does.
func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Register is what the public logs say at one publication. It never changes.
type Register struct {
	Schema    string   `json:"schema"`
	Ledger    string   `json:"ledger"`
	Logs      []Log    `json:"logs"` // ascending; the last is recorded in
	Watch     Watch    `json:"watch"`
	Months    []*Month `json:"months"`    // whose totals are told, the latest first
	Policies  []Policy `json:"policies"`  // the one in force first
	Retention []Term   `json:"retention"` // the one in force first
	Checks    []Check  `json:"checks"`    // by scope
	Builds    []Build  `json:"builds"`    // the latest first
	Bodies    int      `json:"bodies"`

	Since time.Time `json:"-"` // of the first head there is; zero without one
	list  []*Body   // by name
	byID  map[string]*Body
}

// Log is one year's.
type Log struct {
	Origin    string `json:"origin"`
	Epoch     uint32 `json:"epoch"`
	VKey      string `json:"vkey"`
	Announced *Place `json:"announced,omitempty"` // the record of the year before that names the key; none for the first log
	Size      uint64 `json:"size"`
	Root      Digest `json:"root"`
	Final     bool   `json:"final"`
	Head      *Head  `json:"head,omitempty"` // the last one
	Witnesses int    `json:"witnesses"`      // that cosigned its checkpoint, of those that the ledger asks
	Monitors  int    `json:"monitors"`       // likewise
}

// Digest is a SHA-256, lower-case hex in JSON.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes it as String does.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Head of a log.
type Head struct {
	Place Place     `json:"place"`
	At    time.Time `json:"at"` // that it states
}

// Watch is who cosigned the latest checkpoint of the log that is recorded in, of those that the ledger asks. Whom to
// believe is for each reader's own policy.
type Watch struct {
	Needed    int       `json:"needed"` // witnesses, by the ledger's own policy; 0: it asks nobody
	Witnesses []Watcher `json:"witnesses"`
	Monitors  []Watcher `json:"monitors"` // which cosign what they recomputed
}

// Watcher is a witness or a monitor.
type Watcher struct {
	Name string     `json:"name"`
	VKey string     `json:"vkey"`
	At   *time.Time `json:"cosigned_at,omitempty"` // of the latest checkpoint; nil: it didn't cosign that
}

// Cosigned is how many of a list did.
func Cosigned(list []Watcher) (n int) {
	for _, w := range list {
		if w.At != nil {
			n++
		}
	}
	return n
}

// Month is the totals of one.
type Month struct {
	Month  string             `json:"month"` // "2026-11", UTC
	Origin string             `json:"origin"`
	From   uint64             `json:"from"`
	To     uint64             `json:"to"`
	Events uint64             `json:"events"`
	Lines  int                `json:"lines"` // bodies with one of their own
	Others *statistics.Joined `json:"others,omitempty"`
	Told   Place              `json:"told"`               // the last of its records
	Wrong  []string           `json:"problems,omitempty"` // what its lines alone show to be wrong, by code

	lines []statistics.Line // ascending by id
}

// Line is a body's; false where it has none of its own: it had no event, or is joined with others.
func (m *Month) Line(id string) (events uint64, ok bool) {
	i, ok := slices.BinarySearchFunc(m.lines, id, func(l statistics.Line, id string) int { return cmp.Compare(l.ID, id) })
	if !ok {
		return 0, false
	}
	return m.lines[i].Events, true
}

// Time is the month's first instant.
func (m *Month) Time() time.Time {
	t, _ := time.Parse("2006-01", m.Month) // statistics.Parse took it
	return t
}

// Policy is a bundle of policies that was activated.
type Policy struct {
	Version string `json:"version"`
	SHA256  Digest `json:"sha256"`
	From    Place  `json:"from"`  // the record that activated it
	Place   Place  `json:"place"` // its latest repetition, or the same
}

// Term of retention, in calendar months.
type Term struct {
	Months int   `json:"months"`
	From   Place `json:"from"`
	Place  Place `json:"place"`
}

// Build is a verifier that browsers got.
type Build struct {
	Version   string `json:"version"`
	Toolchain string `json:"toolchain"`
	SHA256    Digest `json:"sha256"`
	From      Place  `json:"from"`
	Place     Place  `json:"place"`
}

// Check is whether a scope's party attested that its own records and the log agree.
type Check struct {
	Scope     string    `json:"scope"`
	Name      string    `json:"name"`
	Providers []string  `json:"providers"` // for which it speaks
	Place     Place     `json:"place"`
	Attested  *Attested `json:"attested,omitempty"` // nil: declared, not checked
}

// Attested is the last check of a scope.
type Attested struct {
	Proven bool      `json:"proven"` // else the party says that they don't agree
	Origin string    `json:"origin"` // of the log that it compared
	Signed time.Time `json:"signed_at"`
	Until  time.Time `json:"until"`
	Kid    string    `json:"kid"`
	Place  Place     `json:"place"`
}

// Body is a registered one.
type Body struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Attributes []string `json:"attributes,omitempty"`
	Place      Place    `json:"place"`
	Keys       []Key    `json:"keys"` // in the order of their registration

	folded string // for Find
}

// Valid is how many of its keys aren't revoked.
func (b *Body) Valid() (n int) {
	for _, k := range b.Keys {
		if k.Revoked == nil {
			n++
		}
	}
	return n
}

// Key of a body.
type Key struct {
	Kid     string `json:"kid"`
	Alg     string `json:"alg"`
	Signed  bool   `json:"vouched_for"` // by a key of the body; else the operator alone says that it is the body's
	Place   Place  `json:"place"`       // what is recorded after it may be signed with the key
	Revoked *Place `json:"revoked,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Body returns one by its id; nil where it isn't registered.
func (r *Register) Body(id string) *Body { return r.byID[id] }

// Current is the log that is recorded in.
func (r *Register) Current() Log { return r.Logs[len(r.Logs)-1] }

// Latest is the latest month that is told, nil without one.
func (r *Register) Latest() *Month {
	if len(r.Months) == 0 {
		return nil
	}
	return r.Months[0]
}

// Of returns the month "2026-11"; nil where it isn't told.
func (r *Register) Of(month string) *Month {
	i := slices.IndexFunc(r.Months, func(m *Month) bool { return m.Month == month })
	if i < 0 {
		return nil
	}
	return r.Months[i]
}

// Years are those of the months that are told, the latest first.
func (r *Register) Years() (years []int) {
	for _, m := range r.Months {
		if y := m.Time().Year(); !slices.Contains(years, y) {
			years = append(years, y)
		}
	}
	return years
}

// How late a head, and the totals of a month that is over, may be (docs/formats.md §5 and §8); a little more than that, for
// publication.
const (
	headAge   = 6 * time.Minute
	totalsAge = 49 * time.Hour
)

// State says at a glance how the register stands: "stopped", nothing is recorded; "late", the last head is too old; "unseen",
// the ledger asks no witness; "few", too few cosigned; "good".
func (r *Register) State(now time.Time, stopped bool) string {
	head := r.Current().Head
	switch {
	case stopped:
		return "stopped"
	case head == nil || now.Sub(head.At) > headAge:
		return "late"
	case r.Watch.Needed == 0:
		return "unseen"
	case Cosigned(r.Watch.Witnesses) < r.Watch.Needed:
		return "few"
	}
	return "good"
}

// Untold are the months whose totals should have been told by now, and aren't.
func (r *Register) Untold(now time.Time) (months []time.Time) {
	if r.Since.IsZero() {
		return nil
	}
	first := r.Since.UTC()
	for m := time.Date(first.Year(), first.Month(), 1, 0, 0, 0, 0, time.UTC); ; {
		end := m.AddDate(0, 1, 0)
		if now.Sub(end) <= totalsAge {
			return months
		}
		if r.Of(m.Format("2006-01")) == nil {
			months = append(months, m)
		}
		m = end
	}
}

// newKey shows a key of the registry.
func newKey(epoch uint32, k registry.KeyInForce) Key {
	key := Key{Kid: k.Kid, Alg: k.Alg, Signed: k.Basis == registry.BasisSigned, Place: Place{epoch, k.Index}, Reason: k.Reason}
	if k.Revoked {
		key.Revoked = &Place{epoch, k.RevokedIndex}
	}
	return key
}
