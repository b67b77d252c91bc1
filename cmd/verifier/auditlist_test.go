// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/vrf"
	"github.com/traccia-ledger/traccia/policies"
)

// listMaker makes the list of a municipality that consults INPS, of any length, part by part, as a ledger and a witness
// would: half a year of work, with some of what an audit finds.
type listMaker struct {
	t        testing.TB
	log      note.Signer
	verifier note.Verifier
	leaves   [][]byte
	tree     *testonly.Tree
	keys     *index.Tree
	vrf      *vrf.PrivateKey
	signer   *ecdsa.PrivateKey
	kid      string
	bundle   ledger.Bundle
	random   *mathrand.Rand
	head     uint64 // the last
	others   []uint64
	shown    []uint64 // leaves of the part
	events   []history.Event
	private  []history.Private
	from     uint64
	ms       int64
	policy   *checkpoint.Policy
	cosign   []*listWitness // a witness and a monitor
}

const (
	listBody    = "c_a944"
	listOrigin  = "registro.example/2026"
	listService = "843ac013-941a-4afe-8243-e668142e73e6"
	listPart    = 1000 // events
)

// listUse is a purpose that the municipality declared with PDND.
type listUse struct{ id, purpose, basis, reference, category, path string }

var listUses = []listUse{
	{"9d1f2a34-7a0b-4c77-8f2e-1f6b1f0c2d3e", "SocialWelfareEligibilityAssessment", "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e", "D.P.C.M. 159/2013, art. 11", "isee", "/isee/attestazioni"},
	{"1c0d7a52-3e1b-4c77-8f2e-1f6b1f0c2d3e", "Contributo affitto", "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e", "L. 431/1998, art. 11", "https://w3id.org/dpv/pd#Income", "/isee/indicatore"},
	{"5b7e9c10-52f0-4d0e-9d5e-3f1b7f0f7a11", "Mensa scolastica", "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e", "D.Lgs. 63/2017, art. 6", "https://w3id.org/dpv/pd#Household", "/isee/nuclei"},
}

func newListMaker(t testing.TB, seed uint64) *listMaker {
	m := &listMaker{
		t: t, tree: testonly.New(rfc6962.DefaultHasher), keys: index.New(),
		vrf: vrf.NewKey(sha256.Sum256([]byte("list"))), random: mathrand.New(mathrand.NewPCG(seed, 1)),
		ms: time.Date(2026, 1, 7, 6, 0, 0, 0, time.UTC).UnixMilli(),
	}
	var err error
	if m.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	private, public, err := note.GenerateKey(rand.Reader, listOrigin)
	if err == nil {
		m.log, err = note.NewSigner(private)
	}
	if err == nil {
		m.verifier, err = note.NewVerifier(public)
	}
	if err != nil {
		t.Fatal(err)
	}
	alfa, alfaKey := newListWitness("alfa.example")
	mona, monaKey := newListWitness("mona.example")
	m.cosign = []*listWitness{alfa, mona}
	m.policy = &checkpoint.Policy{
		Logs: []checkpoint.Log{{VKey: public}}, Witnesses: []checkpoint.Witness{{Name: "alfa", VKey: alfaKey}}, K: 1, Monitors: []checkpoint.Witness{{Name: "mona", VKey: monaKey}},
	}
	if m.bundle, err = policies.Open(policies.Default()); err != nil {
		t.Fatal(err)
	}
	key, err := jws.NewKey("", m.signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	m.kid = key.Kid
	jwk, err := jws.FormatKey(key)
	if err != nil {
		t.Fatal(err)
	}
	m.other(ledger.Preamble{Epoch: 2026, VRFKey: m.vrf.Public(), Name: "registro.example"})
	for _, r := range []any{
		registry.Body{ID: listBody, Name: "Comune di Bologna", Attributes: []string{"Comuni e loro Consorzi e Associazioni"}},
		registry.Body{ID: "inps", Name: "INPS"}, registry.Key{Body: "inps", Kid: m.kid, JWK: jwk, Basis: registry.BasisOperator},
		registry.Scope{ID: "inps", Providers: []string{"inps"}},
		registry.Policy{Version: m.bundle.Version(), SHA256: ledger.Hex(policies.Digest(policies.Default()))},
	} {
		text, err := registry.FormatRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		m.other(ledger.Record{Epoch: 2026, JSON: text})
	}
	m.addHead()
	return m
}

func (m *listMaker) leaf(l ledger.Leaf) uint64 {
	raw, err := ledger.FormatLeaf(l)
	if err != nil {
		m.t.Fatal(err)
	}
	m.leaves = append(m.leaves, raw)
	m.tree.AppendData(raw)
	return uint64(len(m.leaves)) - 1
}

func (m *listMaker) other(l ledger.Leaf) { m.others = append(m.others, m.leaf(l)) }

func (m *listMaker) addHead() {
	m.ms++
	m.head = m.leaf(ledger.Head{Epoch: 2026, Keys: m.keys.Len(), Root: m.keys.Root(), Scopes: ledger.ScopesHash([]string{"inps"}), UnixMS: uint64(m.ms)})
	m.shown = append(m.shown, m.head)
}

// person is a citizen: of twenty thousand.
func listPerson(n int) ledger.Subject {
	for check := byte('A'); check <= 'Z'; check++ {
		s, err := ledger.ParseSubject(fmt.Sprintf("RSSMRA%02dA%02dH%03d%c", n/500%40+50, n%25+1, n/25%1000, check))
		if err == nil {
			return s
		}
	}
	panic("no check character")
}

// work is one access to come.
type work struct {
	at       time.Time
	operator string
	about    string
	person   int
	use      listUse
}

// week are the accesses of a working week from a Monday on.
func (m *listMaker) week(monday time.Time, count int) (list []work) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		m.t.Fatal(err)
	}
	number := int(monday.Sub(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)).Hours() / 24 / 7)
	for n := range count {
		day := monday.AddDate(0, 0, n%5)
		at := time.Date(day.Year(), day.Month(), day.Day(), 8, 0, 0, 0, rome).Add(time.Duration(m.random.IntN(9*3600)) * time.Second)
		w := work{at: at, operator: fmt.Sprintf("CMB%04d", 100+m.random.IntN(40)), person: m.random.IntN(20_000), use: listUses[m.random.IntN(10)/5]}
		w.about = fmt.Sprintf("%d/%05d", day.Year(), 1000+m.random.IntN(80_000))
		if number >= 16 { // a new call for school meals
			w.use = listUses[[]int{0, 1, 2, 2, 2}[m.random.IntN(5)]]
		}
		switch m.random.IntN(400) {
		case 0:
			w.operator = "utente"
		case 1:
			w.about = "123456"
		case 2:
			w.about = ""
		}
		list = append(list, w)
	}
	few := max(1, count/400)
	for n := range 3 * few { // by night
		list = append(list, work{at: time.Date(monday.Year(), monday.Month(), monday.Day()+2, 22, n%60, n/60, 0, rome), operator: "CMB0117", about: "2026/00007", person: 42, use: listUses[0]})
	}
	if number == 9 {
		for n := range 75 {
			list = append(list, work{at: time.Date(monday.Year(), monday.Month(), monday.Day()+3, 11, n/2, 30*(n%2), 0, rome), operator: "CMB0131", person: 15_000 + n, use: listUses[1]})
		}
	}
	slices.SortStableFunc(list, func(a, b work) int { return a.at.Compare(b.at) })
	return list
}

// write writes a list of at least so many events, and returns how many there are.
func (m *listMaker) write(w io.Writer, events int) int {
	_, beta := m.vrf.Prove(ledger.AgencyAlpha(listBody, 2026))
	k := [32]byte(beta[:32])
	const weeks = 25
	made := 0
	for week := range weeks {
		monday := time.Date(2026, 1, 12, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 7*week)
		for _, one := range m.week(monday, (events+weeks-1)/weeks) {
			m.access(one, ledger.AgencyTag(&k, uint64(made)))
			if made++; made%100 == 0 {
				m.addHead()
			}
			if len(m.events) == listPart {
				m.part(w, &k)
			}
		}
	}
	m.part(w, &k)
	return made
}

func listToken(claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	var signature [256]byte
	rand.Read(signature[:])
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","kid":"trc9Wgz5QxOWnJ0cSV0f5Vyq1zGmXl","typ":"at+jwt","use":"sig"}`)) + "." + encode(payload) + "." + encode(signature[:])
}

func (m *listMaker) access(w work, tag ledger.Hash) {
	m.ms = max(m.ms+1, w.at.UnixMilli())
	jti, second := uuid.NewString(), m.ms/1000
	evidence := listToken(map[string]any{
		"iss": "f7c1d2a0", "aud": "https://api.inps.it", "purposeId": w.use.id, "userID": w.operator, "userLocation": "sportello-4", "LoA": "LOA3",
		"iat": second - 5, "exp": second + 300, "jti": uuid.NewString(), "dnonce": 1234567890123,
	})
	digest := sha256.Sum256([]byte(evidence))
	text := hex.EncodeToString(digest[:])
	private := &ledger.Private{Evidence: evidence, Operator: &ledger.Operator{ID: w.operator, Office: "Servizi sociali"}, Case: w.about, Voucher: listToken(map[string]any{
		"jti": jti, "iss": "interop.pagopa.it", "aud": "inps", "sub": "7d0c", "client_id": "7d0c", "iat": second - 60, "nbf": second - 60, "exp": second + 540,
		"purposeId": w.use.id, "eserviceId": listService, "digest": map[string]any{"alg": "SHA256", "value": text},
	})}
	content, err := ledger.FormatPrivate(private)
	if err != nil {
		m.t.Fatal(err)
	}
	one := history.Private{Content: content}
	salted := []ledger.SaltedSubject{{Subject: listPerson(w.person)}}
	rand.Read(one.Salt[:])
	rand.Read(salted[0].Salt[:])
	tree, err := ledger.NewSubjectTree(salted)
	if err != nil {
		m.t.Fatal(err)
	}
	r := ledger.Receipt{
		Aud: "registro.example", Iss: "inps", JTI: uuid.NewString(), IssuedAt: second, Role: ledger.RoleProvider, Provider: "inps", Consumer: listBody,
		EService: listService, PurposeID: w.use.id, Purpose: w.use.purpose, LegalBasis: w.use.basis, LegalReference: w.use.reference,
		DataCategories: []string{w.use.category}, Actor: ledger.ActorOperator, Operation: ledger.Operation{Method: "POST", Path: w.use.path},
		OccurredAt: time.UnixMilli(m.ms).UTC().Format(time.RFC3339), Pair: ledger.Hex(ledger.Pair(jti, text, "")),
		PrivateDigest: ledger.Hex(ledger.PrivateDigest(&one.Salt, content)), Subjects: ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(tree.Root())},
	}
	compact, err := ledger.SignReceipt(&r, m.kid, m.signer)
	if err != nil {
		m.t.Fatal(err)
	}
	b := ledger.Body{
		Origin: listOrigin, Kind: ledger.KindAccess, Subject: ledger.BodySubject{Code: salted[0].Subject, Salt: salted[0].Salt, Proof: tree.Proof(0)},
		Scope: "inps", Agency: listBody, RecordedAt: m.ms, Receipt: compact,
		Assurance: ledger.Assurance{
			Profile: ledger.ProfileAudit02, Voucher: ledger.VoucherCheck{Alg: "RS256", Kid: "k", Issuer: "interop.pagopa.it"},
			Evidence: &ledger.EvidenceCheck{Alg: "RS256", Kid: "c"}, LoA: 3, Flags: []string{},
		},
	}
	d, err := m.bundle.Decide(&ledger.Access{Receipt: &r, Assurance: &b.Assurance, ConsumerAttributes: []string{"Comuni e loro Consorzi e Associazioni"}})
	if err != nil {
		m.t.Fatal(err)
	}
	if d.Effect == ledger.EffectDeny {
		b.Kind = ledger.KindDenied
	}
	if b.Decision, err = ledger.FormatDecision(d); err != nil {
		m.t.Fatal(err)
	}
	body, err := ledger.FormatBody(&b)
	if err != nil {
		m.t.Fatal(err)
	}
	var nonce [32]byte
	rand.Read(nonce[:])
	leaf := ledger.Event{Epoch: 2026, AgencyTag: tag, Commitment: ledger.BodyCommitment(&nonce, body)}
	rand.Read(leaf.SubjectTag[:])
	at := m.leaf(leaf)
	m.keys.Insert(leaf.SubjectTag, at)
	m.keys.Insert(leaf.AgencyTag, at)
	m.shown = append(m.shown, at)
	one.Index = at
	m.events, m.private = append(m.events, history.Event{Index: at, Nonce: &nonce, Body: body}), append(m.private, one)
}

// part writes what there is since the last part, under a head and a checkpoint of its own.
func (m *listMaker) part(w io.Writer, k *[32]byte) {
	before := m.head
	m.addHead()
	size := uint64(len(m.leaves))
	pi, _ := m.vrf.Prove(ledger.AgencyAlpha(listBody, 2026))
	p := &history.AgencyPart{Agency: listBody, From: m.from, Pi: pi[:], Private: m.private}
	p.Origin, p.Head, p.Events = listOrigin, m.head, m.events
	tags := make([]ledger.Hash, len(m.events)+1)
	for n := range tags {
		tags[n] = ledger.AgencyTag(k, m.from+uint64(n))
	}
	p.Index = m.keys.ProveMany(tags)
	shown := slices.Compact(slices.Sorted(slices.Values(slices.Concat(m.others, m.shown))))
	for _, at := range shown {
		p.Leaves = append(p.Leaves, history.Leaf{Index: at, Leaf: m.leaves[at]})
	}
	var err error
	p.Proof, err = history.ProveLeaves(size, shown, func(at uint64) (path []ledger.Hash, err error) {
		hashes, err := m.tree.InclusionProof(at, size)
		for _, h := range hashes {
			path = append(path, ledger.Hash(h))
		}
		return path, err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	p.Checkpoint = m.cosigned(size)
	text, err := history.FormatAgencyPart(p)
	if err == nil {
		_, err = w.Write(text)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.from += uint64(len(m.events))
	m.events, m.private, m.shown = nil, nil, []uint64{before, m.head}
}

func (m *listMaker) cosigned(size uint64) []byte {
	signed, err := checkpoint.Sign(m.log, checkpoint.Checkpoint{Origin: listOrigin, Size: size, Root: ledger.Hash(m.tree.HashAt(size))})
	for _, w := range m.cosign {
		if err == nil {
			w.at = m.ms/1000 + 1
			signed, err = checkpoint.Cosign(signed, m.verifier, w)
		}
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return signed
}

// listWitness signs as a witness does, at an instant of the list's.
type listWitness struct {
	name string
	hash uint32
	key  ed25519.PrivateKey
	at   int64 // seconds
}

func newListWitness(name string) (*listWitness, string) {
	seed := sha256.Sum256([]byte(name))
	w := &listWitness{name: name, key: ed25519.NewKeyFromSeed(seed[:])}
	public := append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), public...))
	w.hash = binary.BigEndian.Uint32(sum[:])
	return w, fmt.Sprintf("%s+%08x+%s", name, w.hash, base64.StdEncoding.EncodeToString(public))
}

func (w *listWitness) Name() string    { return w.name }
func (w *listWitness) KeyHash() uint32 { return w.hash }
func (w *listWitness) Sign(msg []byte) ([]byte, error) {
	text := fmt.Sprintf("cosignature/v1\ntime %d\n%s", w.at, msg)
	return append(binary.BigEndian.AppendUint64(nil, uint64(w.at)), ed25519.Sign(w.key, []byte(text))...), nil
}
