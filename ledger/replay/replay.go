// SPDX-License-Identifier: EUPL-1.2

// Package replay reads the leaves of one shard in order and computes all that is a public function of them
// (docs/formats.md §1, §2, §5): the log's root, the index and its keys, the scopes, and what each head should have said.
// fsck, a monitor and the check of an export stand on it, and an index is rebuilt with it.
//
// Nothing in a leaf is trusted, and no leaf stops the reading: what breaks a rule is an alarm in the Report, and the
// leaf keeps its index. That the leaves are those of a signed checkpoint is for the caller to see, from Report.LogRoot
// or before.
//
// What must always hold: the same leaves give the same Report however the calls fall, and two readers that follow the
// formats agree on every key, root and scope. Where the formats are silent:
//
//   - unix_ms grows strictly over all heads of the shard before, the wrong ones included, so a clock that stepped back
//     stays wrong until it has caught up;
//   - a leaf after the final head is that one alarm, whatever else is wrong with it;
//   - leaf 0 that isn't a preamble, and an event before the first head, are alarms and count all the same;
//   - a scope record without "providers" speaks for nobody; one whose "providers" isn't a list of ids without repeats is
//     an alarm, and its id is listed all the same;
//   - other members of a scope record are passed over, and the record is listed.
package replay

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/index"
)

// Reader reads one shard. It belongs to one goroutine.
type Reader struct {
	name     string
	epoch    uint32
	log      *compact.Range
	index    *index.Tree
	scopes   map[string]bool
	scopesIs ledger.Hash // ScopesHash of scopes
	clock    uint64      // the highest unix_ms of a head
	final    *uint64     // the leaf of the final head
	events   uint64
	heads    []Head
	again    []Duplicate
	problems []Problem
}

// Report is what a Reader has seen so far. Its slices are shared with the Reader, which only appends to them.
type Report struct {
	Leaves     uint64
	Events     uint64      // that count: of this epoch, and not after the final head
	LogRoot    ledger.Hash // RFC 6962, over Leaves leaves
	Keys       uint64
	IndexRoot  ledger.Hash
	Scopes     []string // ids of scope records, ascending; the four reserved ones aren't among them
	Heads      []Head
	Duplicates []Duplicate
	Problems   []Problem
}

// OK reports whether nothing in the shard is an alarm.
func (r *Report) OK() bool {
	wrong := func(h Head) bool { return len(h.Wrong()) > 0 }
	return len(r.Duplicates) == 0 && len(r.Problems) == 0 && !slices.ContainsFunc(r.Heads, wrong)
}

// Head is a head of the shard, and what it should have said.
type Head struct {
	Leaf       uint64 // its index in the log
	Final      bool
	UnixMS     uint64
	WantKeys   uint64
	WantRoot   ledger.Hash
	WantScopes ledger.Hash
	wrong      uint8
}

// The fields of a head that can be wrong, in the order of Wrong.
var headFields = [...]string{"keys", "root", "scopes", "unix_ms"}

const (
	wrongKeys = 1 << iota
	wrongRoot
	wrongScopes
	wrongClock
)

// Wrong names the fields that aren't what they should be: keys, root, scopes, unix_ms. A right head has none.
func (h *Head) Wrong() []string {
	var names []string
	for i, name := range headFields {
		if h.wrong>>i&1 == 1 {
			names = append(names, name)
		}
	}
	return names
}

// Duplicate is a tag that was dropped, because a key that came first is the same in its first 255 bits.
type Duplicate struct {
	Key   ledger.Hash // the tag that was dropped
	First uint64      // the leaf that the index has
	Again uint64      // the leaf of the tag that was dropped
	Tag   string      // which tag of that leaf: subject or agency
}

// Problem is a leaf that breaks a rule.
type Problem struct {
	Leaf uint64
	Code string
	What string // the same for people; it repeats no more of the leaf than a scope's id
}

// Codes of problems.
const (
	CodeMalformed     = "malformed_leaf"     // adds nothing
	CodeOtherEpoch    = "other_epoch"        // adds nothing
	CodeAfterFinal    = "after_final"        // adds nothing
	CodePreamble      = "misplaced_preamble" // adds nothing
	CodeOtherLedger   = "other_ledger"       // a preamble with another ledger's name; adds nothing
	CodeNoPreamble    = "no_preamble"        // leaf 0 is of another type; counts
	CodeEarlyEvent    = "event_before_head"  // counts
	CodeScopeID       = "scope_id"           // adds nothing
	CodeScopeProvider = "scope_providers"    // listed all the same
	CodeScopeCount    = "scope_count"        // listed all the same
)

// Seen is what Add made of one leaf.
type Seen struct {
	Index  uint64
	Leaf   ledger.Leaf // nil when malformed
	Counts bool        // false: the leaf adds nothing
	Head   *Head       // of a head that counts
}

// New returns a Reader of the shard with this origin, <ledger name>/<epoch>.
func New(origin string) (*Reader, error) {
	name, epoch, err := ledger.ParseOrigin(origin)
	if err != nil {
		return nil, fmt.Errorf("couldn't read origin: %w", err)
	}
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return &Reader{
		name:     name,
		epoch:    epoch,
		log:      factory.NewEmptyRange(0),
		index:    index.New(),
		scopes:   make(map[string]bool),
		scopesIs: ledger.ScopesHash(nil),
	}, nil
}

// Add reads the next leaf. A Record in the answer is part of leaf, not a copy.
func (r *Reader) Add(leaf []byte) Seen {
	seen := Seen{Index: r.log.End()}
	hash := ledger.HashLeaf(leaf)
	// Append can only fail for lack of a hash function.
	_ = r.log.Append(hash[:], nil)

	parsed, err := ledger.ParseLeaf(leaf)
	if err == nil {
		seen.Leaf = parsed
	}
	switch {
	case r.final != nil:
		r.problem(seen.Index, CodeAfterFinal, "a leaf after the final head, leaf %d", *r.final)
		return seen
	case err != nil:
		r.problem(seen.Index, CodeMalformed, "leaf: %v", err)
		return seen
	}
	epoch := ledger.EpochOfLeaf(parsed)
	if epoch != r.epoch {
		r.problem(seen.Index, CodeOtherEpoch, "a leaf of epoch %d in the shard of %d", epoch, r.epoch)
		return seen
	}
	_, preamble := parsed.(ledger.Preamble)
	if seen.Index == 0 && !preamble {
		r.problem(0, CodeNoPreamble, "leaf 0 isn't a preamble")
	}
	switch leaf := parsed.(type) {
	case ledger.Event:
		seen.Counts = true
		r.event(seen.Index, leaf)
	case ledger.Head:
		seen.Counts = true
		seen.Head = r.head(seen.Index, leaf)
	case ledger.Preamble:
		seen.Counts = r.preamble(seen.Index, leaf)
	case ledger.Record:
		seen.Counts = r.record(seen.Index, leaf)
	}
	return seen
}

// Alarms returns what Report has of the same names, without the work of a Report.
func (r *Reader) Alarms() ([]Duplicate, []Problem) {
	return r.again[:len(r.again):len(r.again)], r.problems[:len(r.problems):len(r.problems)]
}

// Index returns the index over the leaves read. It goes on growing with Add.
func (r *Reader) Index() *index.Tree { return r.index }

// Report returns what was seen so far.
func (r *Reader) Report() Report {
	root := ledger.Hash(rfc6962.DefaultHasher.EmptyRoot())
	// GetRootHash can only fail for a range that doesn't start at 0.
	if h, _ := r.log.GetRootHash(nil); h != nil {
		root = ledger.Hash(h)
	}
	return Report{
		Leaves:     r.log.End(),
		Events:     r.events,
		LogRoot:    root,
		Keys:       r.index.Len(),
		IndexRoot:  r.index.Root(),
		Scopes:     r.scopeIDs(),
		Heads:      r.heads[:len(r.heads):len(r.heads)],
		Duplicates: r.again[:len(r.again):len(r.again)],
		Problems:   r.problems[:len(r.problems):len(r.problems)],
	}
}

func (r *Reader) event(at uint64, e ledger.Event) {
	r.events++
	if len(r.heads) == 0 {
		r.problem(at, CodeEarlyEvent, "an event before the first head")
	}
	if first, ok := r.index.Insert(e.SubjectTag, at); !ok {
		r.again = append(r.again, Duplicate{Key: e.SubjectTag, First: first, Again: at, Tag: "subject"})
	}
	if first, ok := r.index.Insert(e.AgencyTag, at); !ok {
		r.again = append(r.again, Duplicate{Key: e.AgencyTag, First: first, Again: at, Tag: "agency"})
	}
}

func (r *Reader) head(at uint64, h ledger.Head) *Head {
	got := Head{
		Leaf:       at,
		Final:      h.Final,
		UnixMS:     h.UnixMS,
		WantKeys:   r.index.Len(),
		WantRoot:   r.index.Root(),
		WantScopes: r.scopesIs,
	}
	if h.Keys != got.WantKeys {
		got.wrong |= wrongKeys
	}
	if h.Root != got.WantRoot {
		got.wrong |= wrongRoot
	}
	if h.Scopes != got.WantScopes {
		got.wrong |= wrongScopes
	}
	if len(r.heads) > 0 && h.UnixMS <= r.clock {
		got.wrong |= wrongClock
	}
	r.clock = max(r.clock, h.UnixMS)
	if h.Final {
		r.final = &at
	}
	r.heads = append(r.heads, got)
	return &got
}

func (r *Reader) preamble(at uint64, p ledger.Preamble) (counts bool) {
	switch {
	case at != 0:
		r.problem(at, CodePreamble, "a preamble that isn't leaf 0")
	case p.Name != r.name:
		r.problem(at, CodeOtherLedger, "the preamble of another ledger")
	default:
		return true
	}
	return false
}

func (r *Reader) record(at uint64, rec ledger.Record) (counts bool) {
	// ParseLeaf checked that this is an object with a string "kind", and no name twice. Decoding into a map and not into
	// a struct keeps names exact.
	var members map[string]json.RawMessage
	var kind, id string
	if json.Unmarshal(rec.JSON, &members) != nil || json.Unmarshal(members["kind"], &kind) != nil || kind != "scope" {
		return true
	}
	if raw, ok := members["id"]; !ok || raw[0] != '"' || json.Unmarshal(raw, &id) != nil {
		r.problem(at, CodeScopeID, "a scope record that adds nothing: no id")
		return false
	}
	if ledger.CheckID(id) != nil {
		r.problem(at, CodeScopeID, "a scope record that adds nothing: id %.80q: refused", id)
		return false
	}
	if raw, ok := members["providers"]; ok && !providersOK(raw) {
		r.problem(at, CodeScopeProvider, "a scope record whose providers aren't a list of ids without repeats")
	}
	if r.scopes[id] {
		return true
	}
	r.scopes[id] = true
	r.scopesIs = ledger.ScopesHash(r.scopeIDs())
	if n := len(r.scopes); n > ledger.MaxScopes {
		r.problem(at, CodeScopeCount, "scope number %d, of at most %d, listed all the same", n, ledger.MaxScopes)
	}
	return true
}

func providersOK(raw json.RawMessage) bool {
	var ids []*string
	if raw[0] != '[' || json.Unmarshal(raw, &ids) != nil {
		return false
	}
	seen := make(map[string]bool)
	for _, id := range ids {
		if id == nil || ledger.CheckID(*id) != nil || seen[*id] {
			return false
		}
		seen[*id] = true
	}
	return true
}

func (r *Reader) scopeIDs() []string {
	ids := make([]string, 0, len(r.scopes))
	for id := range r.scopes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (r *Reader) problem(leaf uint64, code, format string, args ...any) {
	r.problems = append(r.problems, Problem{Leaf: leaf, Code: code, What: fmt.Sprintf(format, args...)})
}
