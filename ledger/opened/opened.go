// SPDX-License-Identifier: EUPL-1.2

// Package opened judges an opened event by the rules that docs/formats.md section 5 gives under "An opened event counts
// only if", as far as they follow from the event itself, its leaf and the public records and heads of its shard.
//
// Trusted are the registry, folded from the shard's records, and the heads, read from the same authenticated leaves
// (ledger/registry, ledger/replay). Body and nonce are not trusted.
//
// Left to the caller, because they are about more than one event or need a secret: that the tags are those of subject,
// scope, agency and running numbers; that leaf indexes ascend with the numbers; that (iss, jti) occurs once per subject,
// for which Event.Once names the pair; and the consent that an event rests on. A decision is replayed only where
// its bundle of policies is at hand: a reader must say of how many that wasn't so.
package opened

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/replay"
)

// Shard is what events are judged against. It must not change while a Checker uses it.
type Shard struct {
	Name     string // of the ledger
	Epoch    uint32
	Registry *registry.Registry // of all the shard's records
	Heads    []replay.Head      // of the shard, in log order
	// Bundle returns the policies with this digest, by which decisions are replayed; nil where they aren't at hand. A nil
	// func replays none.
	Bundle func(digest ledger.Hash) ledger.Bundle
	// Verify says whether a receipt's signature is good under a key of its issuer's, as its JWS.Verify does, which is asked where
	// this is nil: for readers who remember what they verified.
	Verify func(r *ledger.SignedReceipt, key jws.Key) error
}

// Event is an opened event whose body was read.
type Event struct {
	Body    *ledger.Body
	Receipt *ledger.SignedReceipt
	Order   *ledger.SignedDeferral // that put off its notice; nil where there is none, or none that can be read
	// Decision is the body's, nil where it can't be read. Bundle are the policies that it was replayed by; nil: it wasn't.
	Decision *ledger.Decision
	Bundle   ledger.Bundle
}

// Once names the pair that occurs once in a shard: the submission's identity and the subject, hashed.
func (e *Event) Once() (id [16]byte) {
	h := sha256.New()
	for _, part := range []string{e.Receipt.Iss, e.Receipt.JTI, string(e.Body.Subject.Code)} {
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(part))))
		h.Write([]byte(part))
	}
	return [16]byte(h.Sum(nil))
}

// Checker checks events of one shard. It belongs to one goroutine: it remembers the last receipt, which a list's events
// have in common.
type Checker struct {
	shard  *Shard
	last   *ledger.SignedReceipt
	signed bool // the last receipt's signature verifies under the key of its iss and kid
}

// NewChecker returns a Checker of the shard's events.
func NewChecker(s *Shard) *Checker { return &Checker{shard: s} }

// Check judges the event whose leaf stands at index. The Event is nil when the body, or the receipt in it, can't be read.
// Each problem's Where is a path within the event; none repeats a subject.
func (c *Checker) Check(index uint64, leaf ledger.Event, nonce *[32]byte, body []byte) (*Event, []ledger.Problem) {
	var found findings
	if leaf.Epoch != c.shard.Epoch {
		found.add("other_epoch", "leaf", fmt.Sprint(c.shard.Epoch), fmt.Sprint(leaf.Epoch))
	}
	if ledger.BodyCommitment(nonce, body) != leaf.Commitment {
		found.add("commitment_mismatch", "body", "the body that the leaf commits to", "another")
		return nil, found
	}
	b, err := ledger.ParseBody(body)
	if err != nil {
		found.problem(err, "body")
		return nil, found
	}
	if err := c.receipt(b.Receipt); err != nil {
		found.problem(err, "body#receipt")
		return nil, found
	}
	e := &Event{Body: b, Receipt: c.last}
	if want := ledger.Origin(c.shard.Name, c.shard.Epoch); b.Origin != want {
		found.add("wrong_origin", "body#origin", want, b.Origin)
	}
	c.checkReceipt(index, e, &found)
	c.checkParties(index, e, &found)
	c.checkTime(index, b, &found)
	c.checkDecision(index, e, &found)
	return e, found
}

// receipt reads a receipt, unless it is the last one again.
func (c *Checker) receipt(compact string) error {
	if c.last != nil && c.last.Compact == compact {
		return nil
	}
	r, err := ledger.ParseReceipt(compact)
	if err != nil {
		return err
	}
	c.last, c.signed = r, false
	// The key's bytes are the same at every index; whether it is in force is asked for each event.
	key, err := c.shard.Registry.KeyEver(r.Iss, r.JWS.Header.Kid)
	verify := c.shard.Verify
	if verify == nil {
		verify = func(r *ledger.SignedReceipt, key jws.Key) error { return r.JWS.Verify(key) }
	}
	c.signed = err == nil && verify(r, key) == nil
	return nil
}

func (c *Checker) checkReceipt(index uint64, e *Event, found *findings) {
	r, s := e.Receipt, e.Body.Subject
	if r.Aud != c.shard.Name {
		found.add("wrong_audience", "receipt#aud", c.shard.Name, "another ledger's name")
	}
	kid := r.JWS.Header.Kid
	switch _, err := c.shard.Registry.Key(r.Iss, kid, index); {
	case errors.Is(err, registry.ErrRevokedKey):
		found.add("key_revoked", "receipt#kid", "a key of "+r.Iss+" in force at this leaf", "one revoked before")
	case err != nil:
		found.add("key_unknown", "receipt#kid", "a key that the log registers for "+r.Iss+" before this leaf", "kid "+kid)
	case !c.signed:
		found.add("bad_signature", "receipt", "a signature by kid "+kid, "one that doesn't verify")
	}
	salted := ledger.SaltedSubject{Subject: s.Code, Salt: s.Salt}
	if ledger.CheckSubject(ledger.Hash(r.Subjects.Root), r.Subjects.Count, s.Position, salted, s.Proof) != nil {
		found.add("subject_mismatch", "body#subject", "the subject at this position under the receipt's root", "another")
	}
}

// checkParties applies the rules of formats section 3 on who submits, for whom, and into which scope.
func (c *Checker) checkParties(index uint64, e *Event, found *findings) {
	b, r := e.Body, e.Receipt
	if b.Agency != r.Consumer {
		found.add("wrong_agency", "body#agency", r.Consumer, b.Agency)
	}
	kind, _ := ledger.KindOf(b.Kind)
	stated := ""
	if r.Statement != nil {
		stated = r.Statement.Kind
	}
	if kind.Statement != stated {
		found.add("wrong_kind", "body#kind", "the kind that follows from what the receipt states", b.Kind)
	}
	if kind.Scope != "" {
		if b.Scope != kind.Scope {
			found.add("wrong_scope", "body#scope", kind.Scope, b.Scope)
		}
		if r.Iss != b.Agency {
			found.add("wrong_issuer", "receipt#iss", b.Agency, r.Iss)
		}
		return
	}
	scope, err := ledger.ScopeReported, error(nil)
	if kind.Role != ledger.RoleConsumer {
		scope, err = c.shard.Registry.Scope(r.Iss, r.Provider, r.Consumer, index)
	}
	switch {
	case err != nil:
		found.add("no_scope", "receipt#iss", "the party that speaks for "+r.Provider+", or the consumer "+r.Consumer, r.Iss)
	case b.Scope == ledger.ScopeDeferred && scope == r.Iss, b.Scope == scope:
	default:
		found.add("wrong_scope", "body#scope", scope, b.Scope)
	}
	c.checkOrder(index, e, kind.Accesses() && b.Scope == ledger.ScopeDeferred, found)
	if p := CheckSession(c.shard.Registry, index, &r.Receipt); p != nil {
		*found = append(*found, *p)
	}
}

// CheckSession says what keeps a receipt at a log index from being of the session of break-glass that it names: none of
// its issuer's was opened by a record before, or one with fewer receipts was closed. nil if nothing does, or it names none.
func CheckSession(reg *registry.Registry, index uint64, r *ledger.Receipt) *ledger.Problem {
	b := r.BreakGlass
	if b == nil {
		return nil
	}
	s, ok := reg.Session(r.Iss, b.Session, index)
	if !ok {
		return &ledger.Problem{Code: "no_session", Where: "receipt#break_glass/session", Expected: "a session of " + r.Iss + " that a record before opened", Found: "none"}
	}
	if s.Closed != nil && b.Number > s.Closed.Count {
		return &ledger.Problem{
			Code: "no_session", Where: "receipt#break_glass/number", Expected: fmt.Sprintf("one of the %d of this session, which is closed", s.Closed.Count), Found: fmt.Sprint(b.Number),
		}
	}
	return nil
}

// checkOrder checks the order under which the notice of an access is put off.
func (c *Checker) checkOrder(index uint64, e *Event, needed bool, found *findings) {
	b, r := e.Body, e.Receipt
	if !needed || b.Deferral == "" {
		if needed || b.Deferral != "" || r.Deferral != (ledger.Hex{}) {
			found.add("no_order", "body#deferral", "an order exactly for accesses in "+ledger.ScopeDeferred, "the contrary")
		}
		return
	}
	order, err := ledger.ParseDeferral(b.Deferral)
	if err != nil {
		found.problem(err, "body#deferral")
		return
	}
	e.Order = order
	if ledger.DeferralDigest(b.Deferral) != r.Deferral {
		found.add(ledger.CodeDigestMismatch, "receipt#deferral", "the SHA-256 of the order", "another or none")
	}
	if p := CheckOrder(c.shard.Registry, c.shard.Name, index, time.UnixMilli(b.RecordedAt), order); p != nil {
		*found = append(*found, *p)
	}
}

// CheckOrder says what keeps an order from putting off the notice of an access that is recorded at this instant and log
// index: it is another ledger's, not signed with a key in force of the body that it names, over by then, or goes beyond
// what formats section 5 allows. nil if nothing does.
func CheckOrder(reg *registry.Registry, name string, index uint64, at time.Time, d *ledger.SignedDeferral) *ledger.Problem {
	refuse := func(code, where, expected, found string) *ledger.Problem {
		return &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
	}
	if d.Aud != name {
		return refuse("wrong_audience", "deferral#aud", name, "another ledger's name")
	}
	key, err := reg.Key(d.Iss, d.JWS.Header.Kid, index)
	switch {
	case errors.Is(err, registry.ErrRevokedKey):
		return refuse("key_revoked", "deferral#kid", "a key in force of the body that orders", "one revoked before")
	case err != nil:
		return refuse("key_unknown", "deferral#kid", "a key registered for the body that orders", "another")
	case d.JWS.Verify(key) != nil:
		return refuse("bad_signature", "deferral", "a signature by that key", "one that doesn't verify")
	}
	if until, limit := d.Ends(), ledger.DeferralLimit(ledger.EpochOf(at)); !until.After(at) || until.After(limit) {
		return refuse("bad_deferral", "deferral#until",
			"after "+at.UTC().Format(time.RFC3339)+", and not after "+limit.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	return nil
}

// checkTime checks that the event lies between the heads around it, and in its year.
func (c *Checker) checkTime(index uint64, b *ledger.Body, found *findings) {
	at := time.UnixMilli(b.RecordedAt)
	if year := ledger.EpochOf(at); year != c.shard.Epoch {
		found.add("other_year", "body#recorded_at", fmt.Sprint(c.shard.Epoch), fmt.Sprint(year))
	}
	heads := c.shard.Heads
	next := sort.Search(len(heads), func(i int) bool { return heads[i].Leaf > index })
	if next > 0 && uint64(b.RecordedAt) < heads[next-1].UnixMS {
		found.add("before_head", "body#recorded_at", "not before the head at "+fmt.Sprint(heads[next-1].Leaf), at.UTC().Format(time.RFC3339Nano))
	}
	if next < len(heads) && uint64(b.RecordedAt) > heads[next].UnixMS {
		found.add("after_head", "body#recorded_at", "not after the head at "+fmt.Sprint(heads[next].Leaf), at.UTC().Format(time.RFC3339Nano))
	}
}

type findings []ledger.Problem

func (f *findings) add(code, where, expected, found string) {
	*f = append(*f, ledger.Problem{Code: code, Where: where, Expected: expected, Found: found})
}

func (f *findings) problem(err error, where string) {
	var p *ledger.Problem
	if errors.As(err, &p) {
		*f = append(*f, *p)
		return
	}
	f.add("unreadable", where, "what the formats say", "something else")
}
