// SPDX-License-Identifier: EUPL-1.2

package dishonest

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/vrf"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

const (
	ledgerName = "registro.example"
	epoch      = 2026
	provider   = "inps"
	consumer   = "c_a944"
	operator   = "gestore"
	citizen    = ledger.Subject("80078750587")
	neighbour  = ledger.Subject("80185250588")
)

// signerOf is the key of a body.
func signerOf(body string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("key of " + body))
	return ed25519.NewKeyFromSeed(seed[:])
}

// world is a ledger's year, whose operator does what a test tells it, and those who watch it. As made it is right.
type world struct {
	t      *testing.T
	log    *verifiertest.Log
	vrf    *vrf.PrivateKey
	scopes []string
	now    time.Time     // what every honest clock shows
	skew   time.Duration // of the operator's clock
	frozen bool          // no more heads
	omits  uint64        // a leaf that the operator leaves out of its index; 0 for none
	heads  []uint64
	signed []byte // the last checkpoint, with the cosignatures that it got

	numbers  map[string]uint32 // of the next event, by subject and scope
	agencies map[string]uint64 // of the next event, by agency
	opened   map[uint64]history.Event

	provider *ownRecords
	calls    []uint64 // what the agency was answered with
	parties  []*party
	monitor  *monitor
	refused  *[]string // what witnesses said
}

// newWorld returns a year with its records and first head, at noon of 1 June, under the eyes of honest witnesses and a
// monitor.
func newWorld(t *testing.T, witnesses int, begin func(p *ledger.Preamble)) *world {
	t.Helper()
	w := &world{
		t: t, log: verifiertest.NewLog(ledger.Origin(ledgerName, epoch)), vrf: vrf.NewKey([32]byte{7}),
		now:     time.Date(epoch, 6, 1, 12, 0, 0, 0, time.UTC),
		numbers: map[string]uint32{}, agencies: map[string]uint64{}, opened: map[uint64]history.Event{},
		provider: &ownRecords{}, refused: new([]string),
	}
	w.watch(witnesses)
	p := ledger.Preamble{Epoch: epoch, VRFKey: w.vrf.Public(), Name: ledgerName}
	if begin != nil {
		begin(&p)
	}
	w.leaf(p)
	for _, id := range []string{provider, consumer, operator} {
		w.record(registry.Body{ID: id, Name: "Ente " + id})
		w.monitor.announceKey(w.key(id, id+"-1", signerOf(id)))
	}
	w.monitor.announceRecord(w.record(registry.Scope{ID: provider, Providers: []string{provider}}))
	w.scopes = []string{provider}
	w.head(nil)
	w.publish()
	return w
}

// wait lets time pass.
func (w *world) wait(d time.Duration) *world {
	w.now = w.now.Add(d)
	return w
}

// states is what the operator says that time it is.
func (w *world) states() int64 { return w.now.Add(w.skew).UnixMilli() }

func (w *world) leaf(l ledger.Leaf) uint64 {
	w.t.Helper()
	raw, err := ledger.FormatLeaf(l)
	if err != nil {
		w.t.Fatal(err)
	}
	w.log.Add(raw)
	return uint64(len(w.log.Leaves)) - 1
}

func (w *world) record(r any) []byte {
	w.t.Helper()
	text, err := registry.FormatRecord(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.leaf(ledger.Record{Epoch: epoch, JSON: text})
	return text
}

func (w *world) key(body, kid string, signer ed25519.PrivateKey) (id string, key jws.Key) {
	w.t.Helper()
	key, err := jws.NewKey(kid, signer.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	jwk, err := jws.FormatKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.record(registry.Key{Body: body, Kid: kid, JWK: jwk, Basis: registry.BasisOperator})
	return body, key
}

// index is what the operator makes of the first size leaves.
func (w *world) index(size uint64) *index.Tree {
	tree := index.New()
	for i, raw := range w.log.Leaves[:size] {
		if w.omits > 0 && uint64(i) == w.omits {
			continue
		}
		if leaf, err := ledger.ParseLeaf(raw); err == nil {
			if e, ok := leaf.(ledger.Event); ok {
				tree.Insert(e.SubjectTag, uint64(i))
				tree.Insert(e.AgencyTag, uint64(i))
			}
		}
	}
	return tree
}

// head states what the leaves so far give, or what change makes of it.
func (w *world) head(change func(h *ledger.Head)) {
	if w.frozen {
		return
	}
	w.wait(time.Second)
	tree := w.index(uint64(len(w.log.Leaves)))
	h := ledger.Head{Epoch: epoch, Keys: tree.Len(), Root: tree.Root(), Scopes: ledger.ScopesHash(w.scopes), UnixMS: uint64(w.states())}
	if change != nil {
		change(&h)
	}
	w.heads = append(w.heads, w.leaf(h))
}

func (w *world) lastHead() uint64 { return w.heads[len(w.heads)-1] }

// fork returns a second history of the same log, from its first size leaves on, under the same eyes.
func (w *world) fork(size int) *world {
	f := *w
	f.log = w.log.Fork(size)
	f.heads = slices.DeleteFunc(slices.Clone(w.heads), func(at uint64) bool { return at >= uint64(size) })
	f.numbers, f.agencies, f.opened = maps.Clone(w.numbers), maps.Clone(w.agencies), maps.Clone(w.opened)
	return &f
}

// k proves who somebody is in a list.
func (w *world) k(alpha []byte) (pi []byte, k *[32]byte) {
	proof, beta := w.vrf.Prove(alpha)
	return proof[:], (*[32]byte)(beta[:32])
}

func (w *world) tag(subject ledger.Subject, scope string, number uint32) ledger.Hash {
	_, k := w.k(ledger.SubjectAlpha(subject, scope, epoch))
	return ledger.SubjectTag(k, number)
}

// access is one event. What is zero is as an access of the consumer to the provider's data about the citizen has it.
type access struct {
	subject ledger.Subject
	scope   string
	kind    string
	iss     string
	signer  ed25519.PrivateKey
	kid     string
	receipt func(r *ledger.Receipt)

	// What the operator does otherwise than it should.
	number *uint32               // in the tag
	told   *uint32               // to the provider
	tags   func(e *ledger.Event) // of the leaf
	body   func(b *ledger.Body)  // that the leaf commits to
	made   bool                  // nobody submitted it
	lost   bool                  // acknowledged, and that is all
	erased bool                  // not opened for the citizen
}

func number(n uint32) *uint32 { return &n }

// receive makes an access, records it, and tells provider and agency.
func (w *world) receive(a access) (at uint64) {
	w.t.Helper()
	w.wait(time.Second)
	a.subject, a.scope, a.kind, a.iss = cmp.Or(a.subject, citizen), cmp.Or(a.scope, provider), cmp.Or(a.kind, ledger.KindAccess), cmp.Or(a.iss, provider)
	salted := []ledger.SaltedSubject{{Subject: a.subject}}
	rand.Read(salted[0].Salt[:])
	tree, err := ledger.NewSubjectTree(salted)
	if err != nil {
		w.t.Fatal(err)
	}
	r := ledger.Receipt{
		Aud: ledgerName, Iss: a.iss, JTI: uuid.NewString(), IssuedAt: w.now.Unix(), Role: ledger.RoleProvider,
		Provider: provider, Consumer: consumer, EService: "978e5066-7159-42a1-b057-ec7e47525f8b", PurposeID: "4a153b51-5d47-4db9-be7e-e73dbcae4bb9",
		Purpose: "Verifica ISEE", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e", DataCategories: []string{"https://w3id.org/dpv/pd#Income"},
		Actor: ledger.ActorService, Operation: ledger.Operation{Method: "GET", Path: "/isee"},
		OccurredAt: w.now.Format(time.RFC3339), Pair: ledger.Hex{1}, PrivateDigest: ledger.Hex{2},
		Subjects: ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(tree.Root())},
	}
	if a.kind == ledger.KindRequest {
		r.Role, r.Provider, r.Consumer, r.EService, r.PurposeID, r.Pair = ledger.RoleRequester, a.iss, a.iss, "", "", ledger.Hex{}
	}
	if a.receipt != nil {
		a.receipt(&r)
	}
	signer := a.signer
	if signer == nil {
		signer = signerOf(r.Iss)
	}
	compact, err := ledger.SignReceipt(&r, cmp.Or(a.kid, r.Iss+"-1"), signer)
	if err != nil {
		w.t.Fatal(err)
	}
	b := ledger.Body{
		Origin: w.log.Origin, Kind: a.kind, Subject: ledger.BodySubject{Code: a.subject, Salt: salted[0].Salt, Proof: tree.Proof(0)},
		Scope: a.scope, Agency: r.Consumer, RecordedAt: w.states(), Receipt: compact,
		Assurance: ledger.Assurance{Profile: ledger.ProfileRequest, Flags: []string{}}, Decision: json.RawMessage(`{"effect":"recorded"}`),
	}
	if a.body != nil {
		a.body(&b)
	}
	body, err := ledger.FormatBody(&b)
	if err != nil {
		w.t.Fatal(err)
	}
	var nonce [32]byte
	rand.Read(nonce[:])
	list := string(a.subject) + " " + a.scope
	next := w.numbers[list]
	if a.number != nil {
		next = *a.number
	}
	w.numbers[list] = max(w.numbers[list], next+1)
	told := next
	if a.told != nil {
		told = *a.told
	}
	_, k := w.k(ledger.AgencyAlpha(r.Consumer, epoch))
	j := w.agencies[r.Consumer]
	e := ledger.Event{
		Epoch: epoch, SubjectTag: w.tag(a.subject, a.scope, next), AgencyTag: ledger.AgencyTag(k, j), Commitment: ledger.BodyCommitment(&nonce, body),
	}
	w.agencies[r.Consumer]++
	if a.tags != nil {
		a.tags(&e)
	}
	at = uint64(len(w.log.Leaves))
	shown := w.log
	if a.lost { // the submitter is shown a log that has it
		raw, err := ledger.FormatLeaf(e)
		if err != nil {
			w.t.Fatal(err)
		}
		shown = w.log.Fork(int(at))
		shown.Add(raw)
	} else {
		w.leaf(e)
		w.opened[at] = history.Event{Index: at, Nonce: &nonce, Body: body}
		if a.erased {
			w.opened[at] = history.Event{Index: at}
		}
	}
	if a.made {
		return at
	}
	if r.Role == ledger.RoleProvider {
		w.acknowledge(shown, at, uint64(told), nonce, body, &ledger.Submission{Receipt: compact, Subjects: salted})
	}
	if r.Consumer == consumer {
		w.calls = append(w.calls, at)
	}
	return at
}

// shard is the citizen's part of the year under a head: all that the operator has of them, as it should show it.
func (w *world) shard(head uint64) history.Shard {
	w.t.Helper()
	s := history.Shard{Origin: w.log.Origin, Head: head}
	for _, scope := range append(slices.Clone(w.scopes), ledger.ScopeConsent, ledger.ScopeLedger, ledger.ScopeReported, ledger.ScopeDeferred) {
		s.Lists = append(s.Lists, history.List{Scope: scope})
	}
	slices.SortFunc(s.Lists, func(a, b history.List) int { return cmp.Compare(a.Scope, b.Scope) })
	tree := w.index(head)
	var tags []ledger.Hash
	for i := range s.Lists {
		l := &s.Lists[i]
		if l.Scope == ledger.ScopeDeferred {
			continue
		}
		l.Pi, _ = w.k(ledger.SubjectAlpha(citizen, l.Scope, epoch))
		for {
			tag := w.tag(citizen, l.Scope, l.Count)
			tags = append(tags, tag)
			at, ok := tree.Get(tag)
			if !ok {
				break
			}
			l.Count++
			e := w.opened[at]
			e.Index = at
			s.Events = append(s.Events, e)
		}
	}
	slices.SortFunc(s.Events, func(a, b history.Event) int { return cmp.Compare(a.Index, b.Index) })
	s.Index = tree.ProveMany(tags)
	w.show(&s)
	return s
}

// show puts the leaves of a part's events into it, with all that aren't events, their proof and the checkpoint.
func (w *world) show(s *history.Shard) {
	w.t.Helper()
	size := uint64(len(w.log.Leaves))
	tree := testonly.New(rfc6962.DefaultHasher)
	tree.AppendData(w.log.Leaves...)
	s.Leaves = nil
	var indexes []uint64
	for i, raw := range w.log.Leaves {
		leaf, _ := ledger.ParseLeaf(raw)
		_, event := leaf.(ledger.Event)
		if !event || slices.ContainsFunc(s.Events, func(e history.Event) bool { return e.Index == uint64(i) }) {
			indexes = append(indexes, uint64(i))
			s.Leaves = append(s.Leaves, history.Leaf{Index: uint64(i), Leaf: raw})
		}
	}
	var err error
	s.Proof, err = history.ProveLeaves(size, indexes, func(at uint64) (path []ledger.Hash, err error) {
		hashes, err := tree.InclusionProof(at, size)
		for _, h := range hashes {
			path = append(path, ledger.Hash(h))
		}
		return path, err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s.Checkpoint = w.signed
}

// list is a list of a part.
func list(s *history.Shard, scope string) *history.List {
	return &s.Lists[slices.IndexFunc(s.Lists, func(l history.List) bool { return l.Scope == scope })]
}

// prove has the index proof answer for the lists as they are now.
func (w *world) prove(s *history.Shard) {
	var tags []ledger.Hash
	for _, l := range s.Lists {
		for n := uint32(0); l.Pi != nil && n <= l.Count; n++ {
			tags = append(tags, w.tag(citizen, l.Scope, n))
		}
	}
	s.Index = w.index(s.Head).ProveMany(tags)
}

// bundle is the file of a part.
func bundle(t *testing.T, s history.Shard) []byte {
	t.Helper()
	file, err := history.Format(&history.Bundle{Subject: citizen, Shards: []history.Shard{s}})
	if err != nil {
		t.Fatal(fmt.Errorf("couldn't make the bundle: %w", err))
	}
	return file
}
