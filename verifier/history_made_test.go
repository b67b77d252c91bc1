// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/vrf"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// cosigner signs as a witness does, at the time that a test says.
type cosigner struct {
	name, vkey string
	hash       uint32
	key        ed25519.PrivateKey
	at         time.Time
}

func newCosigner(name string) *cosigner {
	seed := sha256.Sum256([]byte(name))
	c := &cosigner{name: name, key: ed25519.NewKeyFromSeed(seed[:])}
	public := append([]byte{4}, c.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), public...))
	c.hash = binary.BigEndian.Uint32(sum[:])
	c.vkey = fmt.Sprintf("%s+%08x+%s", name, c.hash, base64.StdEncoding.EncodeToString(public))
	return c
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }
func (c *cosigner) Sign(msg []byte) ([]byte, error) {
	text := fmt.Sprintf("cosignature/v1\ntime %d\n%s", c.at.Unix(), msg)
	return append(binary.BigEndian.AppendUint64(nil, uint64(c.at.Unix())), ed25519.Sign(c.key, []byte(text))...), nil
}

// made is a ledger's year that a test makes leaf by leaf, lies included, and shows to one citizen. As made it is right.
type made struct {
	t       testing.TB
	epoch   uint32
	subject ledger.Subject
	consent *ledger.Hash // commitment of the citizen's last event in +consent
	log     *verifiertest.Log
	next    *verifiertest.Log // of the year after, once it is announced
	vrf     *vrf.PrivateKey
	keys    *index.Tree
	listed  []string
	numbers map[string]uint32 // scope to the next number
	agency  uint64
	opened  map[uint64]history.Event
	private map[uint64]history.Private
	heads   []uint64
	final   bool
	given   bool   // the keys of +deferred
	ms      uint64 // the ledger's clock

	witness, monitor *cosigner
	at               time.Time            // of the cosignatures
	now              time.Time            // the reader's
	lie              func(h *ledger.Head) // what settle's head says wrong
	policy           *checkpoint.Policy
}

const requester = "gestore"

// signerOf is the key of a body.
func signerOf(body string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("key of " + body))
	return ed25519.NewKeyFromSeed(seed[:])
}

// newMade returns a year with its records and first head, at noon of 1 June. previous may be nil.
func newMade(t testing.TB, epoch uint32, previous *made) *made {
	t.Helper()
	m := &made{
		t: t, epoch: epoch, subject: citizens(1)[0].Subject, log: verifiertest.NewLog(ledger.Origin(ledgerName, epoch)),
		vrf: vrf.NewKey(sha256.Sum256(fmt.Appendf(nil, "vrf %d", epoch))), keys: index.New(), numbers: map[string]uint32{}, opened: map[uint64]history.Event{}, private: map[uint64]history.Private{},
		ms:      uint64(time.Date(int(epoch), 6, 1, 12, 0, 0, 0, time.UTC).UnixMilli()),
		witness: newCosigner("alfa.example"), monitor: newCosigner("mona.example"),
	}
	if previous != nil && previous.next != nil {
		m.log = previous.next
	}
	m.policy = &checkpoint.Policy{
		Logs:      []checkpoint.Log{{VKey: m.log.VKey}},
		Witnesses: []checkpoint.Witness{{Name: "alfa", VKey: m.witness.vkey}}, K: 1,
		Monitors: []checkpoint.Witness{{Name: "mona", VKey: m.monitor.vkey}},
	}
	p := ledger.Preamble{Epoch: epoch, VRFKey: m.vrf.Public(), Name: ledgerName}
	if previous != nil {
		m.consent = previous.consent
		end := previous.log.At(uint64(len(previous.log.Leaves)))
		p.PreviousSize, p.PreviousRoot = end.Size, end.Root
		m.policy.Logs = append(m.policy.Logs, previous.policy.Logs...)
	}
	m.leaf(p)
	for _, id := range []string{provider, consumer, requester, "c_f205"} {
		m.record(registry.Body{ID: id, Name: "Ente " + id})
		m.key(id, id+"-1", signerOf(id))
	}
	m.scope(provider, provider)
	m.head(nil)
	return m
}

func (m *made) leaf(l ledger.Leaf) uint64 {
	m.t.Helper()
	raw, err := ledger.FormatLeaf(l)
	if err != nil {
		m.t.Fatal(err)
	}
	m.log.Add(raw)
	return uint64(len(m.log.Leaves)) - 1
}

func (m *made) record(r any) uint64 {
	m.t.Helper()
	if text, ok := r.(string); ok {
		return m.leaf(ledger.Record{Epoch: m.epoch, JSON: []byte(text)})
	}
	text, err := registry.FormatRecord(r)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.leaf(ledger.Record{Epoch: m.epoch, JSON: text})
}

func (m *made) key(body, kid string, signer ed25519.PrivateKey) {
	m.t.Helper()
	key, err := jws.NewKey(kid, signer.Public())
	if err != nil {
		m.t.Fatal(err)
	}
	jwk, err := jws.FormatKey(key)
	if err != nil {
		m.t.Fatal(err)
	}
	m.record(registry.Key{Body: body, Kid: kid, JWK: jwk, Basis: registry.BasisOperator})
}

func (m *made) scope(id string, providers ...string) {
	m.record(registry.Scope{ID: id, Providers: providers})
	if !slices.Contains(m.listed, id) {
		m.listed = append(m.listed, id)
	}
}

// announce records the key of the next year's log.
func (m *made) announce() {
	origin := ledger.Origin(ledgerName, m.epoch+1)
	m.next = verifiertest.NewLog(origin)
	m.record(registry.LogKey{Origin: origin, VKey: m.next.VKey})
}

// wait advances the ledger's clock.
func (m *made) wait(d time.Duration) *made {
	m.ms += uint64(d.Milliseconds())
	return m
}

// head states what the leaves so far give, or what change makes of it.
func (m *made) head(change func(h *ledger.Head)) {
	m.wait(time.Second)
	h := ledger.Head{Epoch: m.epoch, Final: m.final, Keys: m.keys.Len(), Root: m.keys.Root(), Scopes: ledger.ScopesHash(m.listed), UnixMS: m.ms}
	if change != nil {
		change(&h)
	}
	m.heads = append(m.heads, m.leaf(h))
}

// event is one event; what is zero is as an access of the consumer to the provider has it.
type event struct {
	subject ledger.Subject
	scope   string
	kind    string
	iss     string
	kid     string
	signer  ed25519.PrivateKey
	number  *uint32
	hidden  bool // not in the index
	erased  bool // opened for nobody
	pair    ledger.Hex
	jti     string
	tags    func(e *ledger.Event)
	receipt func(r *ledger.Receipt)
	body    func(b *ledger.Body)
	leaf    func(e *ledger.Event)
	record  func(r *consent.Record) // of kinds about consent
	private *ledger.Private         // shown in agencies' lists
}

func (m *made) k(subject ledger.Subject, scope string) (pi [80]byte, k [32]byte) {
	pi, beta := m.vrf.Prove(ledger.SubjectAlpha(subject, scope, m.epoch))
	copy(k[:], beta[:32])
	return pi, k
}

func or[T comparable](v, instead T) T {
	var zero T
	if v == zero {
		return instead
	}
	return v
}

// statement makes what an event about consent says, at a desk, and the claims of its receipt.
func (m *made) statement(e *event, salt [32]byte, r *ledger.Receipt) json.RawMessage {
	c := &consenttest.Citizen{Code: e.subject, Salt: salt, Previous: m.consent, At: time.UnixMilli(int64(m.ms)).UTC().Truncate(time.Second)}
	record := c.Record(m.t, ledgerName, e.kind)
	record.Epoch = m.epoch
	if t := record.Terms; t != nil {
		record.ID, t.Recipients, t.Purposes = consentID, []string{consumer}, []string{r.Purpose}
	} else {
		record.Ends = consentID
	}
	if e.record != nil {
		e.record(record)
	}
	raw := consenttest.Statement(m.t, record, consenttest.Desk)
	r.ConsentDigest, r.ConsentID = sha256.Sum256(raw), record.ID
	if record.Ends != "" {
		r.ConsentID = record.Ends
	}
	return raw
}

// consentID is the id of the consents that tests give.
const consentID = "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11"

// rules are those of the packages that this one doesn't import.
var rules = verifier.Rules{
	Consents: func(name string, partial bool) verifier.Consents { return consent.NewList(name, partial) },
}

// providedBy makes a receipt one of another body's data.
func providedBy(id string) func(r *ledger.Receipt) {
	return func(r *ledger.Receipt) { r.Provider = id }
}

func (m *made) event(e event) uint64 {
	m.t.Helper()
	m.wait(time.Second)
	e.subject, e.scope, e.kind, e.iss = or(e.subject, m.subject), or(e.scope, provider), or(e.kind, ledger.KindAccess), or(e.iss, provider)
	salted := []ledger.SaltedSubject{{Subject: e.subject}}
	rand.Read(salted[0].Salt[:])
	tree, err := ledger.NewSubjectTree(salted)
	if err != nil {
		m.t.Fatal(err)
	}
	r := ledger.Receipt{
		Aud: ledgerName, Iss: e.iss, JTI: or(e.jti, uuid.NewString()), IssuedAt: int64(m.ms / 1000), Role: ledger.RoleProvider,
		Provider: provider, Consumer: consumer, EService: eservice, PurposeID: purposeID, Purpose: "Verifica ISEE",
		LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e", DataCategories: []string{"https://w3id.org/dpv/pd#Income"},
		Actor: ledger.ActorService, Operation: ledger.Operation{Method: "GET", Path: "/isee"},
		OccurredAt: time.UnixMilli(int64(m.ms)).UTC().Format(time.RFC3339), Pair: or(e.pair, ledger.Hex{1}), PrivateDigest: ledger.Hex{2},
		Subjects: ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(tree.Root())},
	}
	var statement json.RawMessage
	kind, _ := ledger.KindOf(e.kind)
	if kind.Consent {
		statement = m.statement(&e, salted[0].Salt, &r)
	}
	switch {
	case kind.Role == ledger.RoleRequester:
		r.Role, r.Provider, r.Consumer, r.EService, r.PurposeID, r.Pair = ledger.RoleRequester, e.iss, e.iss, "", "", ledger.Hex{}
	case e.scope == ledger.ScopeReported:
		r.Role = ledger.RoleConsumer
	}
	var private history.Private
	if e.private != nil {
		if private.Content, err = ledger.FormatPrivate(e.private); err != nil {
			m.t.Fatal(err)
		}
		rand.Read(private.Salt[:])
		r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&private.Salt, private.Content))
	}
	if e.receipt != nil {
		e.receipt(&r)
	}
	signer := e.signer
	if signer == nil {
		signer = signerOf(r.Iss)
	}
	compact, err := ledger.SignReceipt(&r, or(e.kid, r.Iss+"-1"), signer)
	if err != nil {
		m.t.Fatal(err)
	}
	b := ledger.Body{
		Origin: ledger.Origin(ledgerName, m.epoch), Kind: e.kind, Subject: ledger.BodySubject{Code: e.subject, Salt: salted[0].Salt, Proof: tree.Proof(0)},
		Scope: e.scope, Agency: r.Consumer, RecordedAt: int64(m.ms), Receipt: compact,
		Assurance: ledger.Assurance{Profile: ledger.ProfileRequest, Flags: []string{}}, Decision: json.RawMessage(`{"effect":"recorded"}`),
		Consent: statement,
	}
	if e.body != nil {
		e.body(&b)
	}
	body, err := ledger.FormatBody(&b)
	if err != nil {
		m.t.Fatal(err)
	}
	var nonce [32]byte
	rand.Read(nonce[:])
	number := m.numbers[e.scope]
	if e.subject == m.subject {
		m.numbers[e.scope]++
	}
	if e.number != nil {
		number = *e.number
	}
	_, k := m.k(e.subject, e.scope)
	leaf := ledger.Event{
		Epoch: m.epoch, SubjectTag: ledger.SubjectTag(&k, number), AgencyTag: sha256.Sum256(fmt.Appendf(nil, "agency %d", m.agency)),
		Commitment: ledger.BodyCommitment(&nonce, body),
	}
	m.agency++
	if e.tags != nil {
		e.tags(&leaf)
	}
	if e.leaf != nil {
		e.leaf(&leaf)
	}
	if e.subject == m.subject && e.scope == ledger.ScopeConsent {
		m.consent = &leaf.Commitment
	}
	at := m.leaf(leaf)
	if private.Index = at; e.private != nil {
		m.private[at] = private
	}
	if !e.hidden {
		m.keys.Insert(leaf.SubjectTag, at)
		m.keys.Insert(leaf.AgencyTag, at)
	}
	m.opened[at] = history.Event{Index: at}
	if !e.erased {
		m.opened[at] = history.Event{Index: at, Nonce: &nonce, Body: body}
	}
	return at
}

// settle ends with a head, and has it cosigned just after.
func (m *made) settle() *made {
	m.head(m.lie)
	m.at = time.UnixMilli(int64(m.ms)).Add(2 * time.Second).Truncate(time.Second)
	m.now = m.at.Add(time.Minute)
	return m
}

// part is the citizen's part of the year under its last head.
func (m *made) part() history.Shard {
	m.t.Helper()
	head := m.heads[len(m.heads)-1]
	s := history.Shard{Origin: ledger.Origin(ledgerName, m.epoch), Head: head}
	scopes := append(slices.Clone(m.listed), ledger.ScopeConsent, ledger.ScopeLedger, ledger.ScopeReported, ledger.ScopeDeferred)
	slices.Sort(scopes)
	var tags []ledger.Hash
	for _, scope := range scopes {
		l := history.List{Scope: scope}
		if scope != ledger.ScopeDeferred || m.given {
			pi, k := m.k(m.subject, scope)
			l.Pi = pi[:]
			for {
				tag := ledger.SubjectTag(&k, l.Count)
				tags = append(tags, tag)
				at, ok := m.keys.Get(tag)
				if !ok {
					break
				}
				l.Count++
				if !slices.ContainsFunc(s.Events, func(e history.Event) bool { return e.Index == at }) {
					e := m.opened[at]
					e.Index = at
					s.Events = append(s.Events, e)
				}
			}
		}
		s.Lists = append(s.Lists, l)
	}
	slices.SortFunc(s.Events, func(a, b history.Event) int { return int(a.Index) - int(b.Index) })
	s.Index = m.keys.ProveMany(tags)
	var shown []uint64
	for i, raw := range m.log.Leaves {
		leaf, _ := ledger.ParseLeaf(raw)
		_, event := leaf.(ledger.Event)
		mine := slices.ContainsFunc(s.Events, func(e history.Event) bool { return e.Index == uint64(i) })
		if !event || mine {
			shown = append(shown, uint64(i))
		}
	}
	m.show(&s, shown)
	return s
}

// show puts the leaves at indexes into a part, with their proof and the checkpoint.
func (m *made) show(s *history.Shard, indexes []uint64) {
	m.t.Helper()
	size := uint64(len(m.log.Leaves))
	tree := testonly.New(rfc6962.DefaultHasher)
	tree.AppendData(m.log.Leaves...)
	s.Leaves = nil
	for _, at := range indexes {
		s.Leaves = append(s.Leaves, history.Leaf{Index: at, Leaf: m.log.Leaves[at]})
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
		m.t.Fatal(err)
	}
	s.Checkpoint = m.cosigned(m.witness, m.monitor)
}

func (m *made) cosigned(by ...*cosigner) []byte {
	m.t.Helper()
	signed := m.log.Checkpoint()
	for _, c := range by {
		c.at = m.at
		var err error
		if signed, err = checkpoint.Cosign(signed, m.log.Verifier(), note.Signer(c)); err != nil {
			m.t.Fatal(err)
		}
	}
	return signed
}

func (m *made) bundle(before ...history.Shard) *history.Bundle {
	return &history.Bundle{Subject: m.subject, Shards: append(before, m.part())}
}

// check judges a bundle, which must be one by its form.
func (m *made) check(b *history.Bundle) *verifier.HistoryReport {
	m.t.Helper()
	return m.checkBy(b, rules)
}

func (m *made) checkBy(b *history.Bundle, rules verifier.Rules) *verifier.HistoryReport {
	m.t.Helper()
	file, err := history.Format(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return verifier.History(file, m.policy, m.now, rules)
}
