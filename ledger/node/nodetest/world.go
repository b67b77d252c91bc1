// SPDX-License-Identifier: EUPL-1.2

// Package nodetest is what the tests of a running ledger share: a small world
// of invented bodies and people that makes submissions, a check of the answers
// they get with the log's public key alone, and an audit that reads everything
// a ledger keeps after it and finds what crashes and faults must never leave.
//
// Nothing here is taken over from the code under test but formats and
// primitives: the audit counts, opens and links on its own.
package nodetest

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// The world's bodies. Hub runs the recording gateway of Providers; Alone is a
// provider without one, so that its accesses are reported by their consumers.
const (
	Name  = "registro.example"
	Hub   = "hub"
	Alone = "alone"
)

// Bodies of the world by kind.
var (
	Providers = []string{"hub", "prov_a", "prov_b"}
	Consumers = []string{"c_a001", "c_b002", "c_c003", "c_d004"}
)

const (
	issuer     = "pdnd.example"
	pdndKeys   = "pdnd.jwks"
	clientKeys = "clients.jwks"
	population = 40
)

// World makes submissions. The same number gives the same bytes.
type World struct {
	Now     time.Time // when its accesses took place
	Store   string    // of the ledgers it makes; "": a directory of their own
	voucher string
}

// pdnd is the key of the stand-in for PDND: one for all tests of a binary.
var pdnd = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// NewWorld returns a world whose accesses took place just before now.
func NewWorld(t testing.TB, now time.Time) *World {
	t.Helper()
	w := &World{Now: now.UTC().Truncate(time.Second)}
	key, err := jws.NewKey("", pdnd().Public())
	if err != nil {
		t.Fatal(err)
	}
	header := fmt.Sprintf(`{"alg":"RS256","kid":%q,"typ":"at+jwt"}`, key.Kid)
	at := w.Now.Unix()
	payload := fmt.Sprintf(`{"jti":%q,"iss":%q,"aud":"https://api.example","client_id":%q,"sub":%q,"iat":%d,"nbf":%d,"exp":%d,"purposeId":%q}`,
		uuid("voucher", 0), issuer, uuid("client", 0), uuid("client", 0), at-60, at-60, at+540, uuid("purpose", 0))
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	digest := sha256.Sum256([]byte(input))
	signature, err := pdnd().Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	w.voucher = input + "." + base64.RawURLEncoding.EncodeToString(signature)
	return w
}

// Settings of a ledger in this world.
func Settings() node.Settings {
	return node.Settings{
		Name: Name, PublishInterval: "20ms",
		PDND: node.PDNDSettings{Issuers: []string{issuer}, VoucherKeys: []string{pdndKeys}, ClientKeys: []string{clientKeys}},
	}
}

// Create makes a ledger in dir.
func (w *World) Create(t testing.TB, dir string, opt node.Options) {
	t.Helper()
	settings := Settings()
	settings.Store = w.Store
	if err := node.Create(context.Background(), dir, settings, opt); err != nil {
		t.Fatal(err)
	}
	key, err := jws.NewKey("", pdnd().Public())
	if err != nil {
		t.Fatal(err)
	}
	set, err := jws.FormatKeys([]jws.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{pdndKeys, clientKeys} {
		if err := os.WriteFile(filepath.Join(dir, name), set, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Register records the bodies, their keys and the hub's scope.
func (w *World) Register(t testing.TB, n *node.Node) {
	t.Helper()
	ctx := context.Background()
	for _, id := range append(append([]string{Alone}, Providers...), Consumers...) {
		if _, err := n.AddBody(ctx, registry.Body{ID: id, Name: "Ente " + id}); err != nil {
			t.Fatal(err)
		}
		if _, err := n.AddKey(ctx, id, Key(id, 0), ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.SetScope(ctx, registry.Scope{ID: Hub, Providers: Providers}); err != nil {
		t.Fatal(err)
	}
}

// Key returns the public key of a body; generations above 0 follow it.
func Key(body string, generation int) jws.Key {
	key, err := jws.NewKey("", Signer(body, generation).Public())
	if err != nil {
		panic(err)
	}
	return key
}

// Signer is a body's, Ed25519, whose signatures are the same each time.
func Signer(body string, generation int) ed25519.PrivateKey {
	seed := hash("key "+body, generation)
	return ed25519.NewKeyFromSeed(seed[:])
}

// Access says what one submission is about, where it isn't as its number has it.
type Access struct {
	Subjects   int    // how many, 0: mostly one
	First      int    // number of the first person, with Subjects
	Provider   string // "": by number
	Consumer   string // "": by number
	Generation int    // of the key that signs
	Purpose    string // "": the world's
	Consent    string // id of the consent that it names, ""

	BreakGlass *ledger.BreakGlass // the place in a session that it names, on vital interests; nil: none

	Until  time.Time // when the order that puts off its notice ends, signed by Alone; zero: none
	States string    // a Statement constant: it is no access, but a statement about submission About
	About  int
}

// Submission is the bytes of the n-th submission, n ≥ 0.
func (w *World) Submission(t testing.TB, n int) []byte {
	t.Helper()
	return w.Make(t, n, Access{})
}

// Make is Submission with some of it as a test wants it.
func (w *World) Make(t testing.TB, n int, a Access) []byte {
	t.Helper()
	sub, err := w.submission(n, a)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ledger.FormatSubmission(sub)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (w *World) submission(n int, a Access) (*ledger.Submission, error) {
	parties := n
	if a.States != "" {
		parties = a.About
	}
	if a.Provider == "" {
		a.Provider = append(Providers, Alone)[parties%4]
	}
	if a.Consumer == "" {
		a.Consumer = Consumers[parties/3%4]
	}
	if a.Subjects == 0 {
		a.Subjects, a.First = 1, n*n%population
		if n%7 == 6 {
			a.Subjects = 4
		}
	}
	if a.Purpose == "" {
		a.Purpose = "Verifica dei requisiti"
	}
	sub := &ledger.Submission{Voucher: w.voucher}
	for i := range a.Subjects {
		sub.Subjects = append(sub.Subjects, ledger.SaltedSubject{Subject: Person(a.First + i), Salt: hash(fmt.Sprintf("salt %d", n), i)})
	}
	tree, err := ledger.NewSubjectTree(sub.Subjects)
	if err != nil {
		return nil, err
	}
	if a.States != "" {
		sub.Voucher = ""
	}
	sub.Private.Salt = hash("private salt", n)
	sub.Private.Content, err = ledger.FormatPrivate(&ledger.Private{Voucher: sub.Voucher, Operator: &ledger.Operator{ID: fmt.Sprintf("op-%d", n%5)}})
	if err != nil {
		return nil, err
	}
	r := &ledger.Receipt{
		Aud: Name, Iss: a.Consumer, JTI: uuid("receipt", n), IssuedAt: w.Now.Unix(), Role: ledger.RoleConsumer,
		Provider: a.Provider, Consumer: a.Consumer, EService: uuid("e-service", 0), PurposeID: uuid("purpose", 0),
		Purpose: a.Purpose, LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e",
		DataCategories: []string{"https://w3id.org/dpv/pd#Income"}, Actor: ledger.ActorOperator,
		Operation:  ledger.Operation{Method: "POST", Path: "/rest/isee/v1/consultazione"},
		OccurredAt: w.Now.Format(time.RFC3339),
	}
	if a.Provider != Alone {
		r.Iss, r.Role = Hub, ledger.RoleProvider
	}
	r.ConsentID = a.Consent
	if a.BreakGlass != nil {
		r.BreakGlass, r.LegalBasis = a.BreakGlass, "https://w3id.org/dpv/legal/eu/gdpr#A6-1-d"
	}
	r.Pair = ledger.Hex(ledger.Pair(uuid("voucher", 0), "", ""))
	r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&sub.Private.Salt, sub.Private.Content))
	r.Subjects = ledger.SubjectCommitment{Count: len(sub.Subjects), Root: ledger.Hex(tree.Root())}
	if a.States != "" {
		state(r, a)
	}
	if !a.Until.IsZero() {
		order := ledger.Deferral{Aud: Name, Iss: Alone, JTI: uuid("order", n), Reference: Order, Until: a.Until.UTC().Format(time.RFC3339)}
		if sub.Deferral, err = ledger.SignDeferral(&order, Key(Alone, 0).Kid, Signer(Alone, 0)); err != nil {
			return nil, err
		}
		r.Deferral = ledger.Hex(ledger.DeferralDigest(sub.Deferral))
	}
	sub.Receipt, err = ledger.SignReceipt(r, Key(r.Iss, a.Generation).Kid, Signer(r.Iss, a.Generation))
	return sub, err
}

// Request is the n-th request for the erasure of a month, which a body took from these people.
func (w *World) Request(t testing.TB, n int, body, month string, people ...ledger.Subject) []byte {
	t.Helper()
	sub := &ledger.Submission{Private: ledger.SaltedPrivate{Salt: hash("request salt", n), Content: []byte("{}")}}
	for i, who := range people {
		sub.Subjects = append(sub.Subjects, ledger.SaltedSubject{Subject: who, Salt: hash(fmt.Sprintf("request %d", n), i)})
	}
	tree, err := ledger.NewSubjectTree(sub.Subjects)
	if err != nil {
		t.Fatal(err)
	}
	r := history.Erasure{Month: month}.Receipt(Name, body, uuid("request", n), w.Now)
	r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&sub.Private.Salt, sub.Private.Content))
	r.Subjects = ledger.SubjectCommitment{Count: len(people), Root: ledger.Hex(tree.Root())}
	if sub.Receipt, err = ledger.SignReceipt(r, Key(body, 0).Kid, Signer(body, 0)); err != nil {
		t.Fatal(err)
	}
	raw, err := ledger.FormatSubmission(sub)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Order is what orders of the world refer to.
const Order = "art. 329 c.p.p., decreto 17/2026"

// state makes a receipt a statement.
func state(r *ledger.Receipt, a Access) {
	r.Statement = &ledger.Statement{Kind: a.States, Receipt: r.Iss + "/" + uuid("receipt", a.About), Text: "Non era per noi"}
	r.EService, r.PurposeID, r.Pair = "", "", ledger.Hex{}
	if r.Statement.StatedKind().Role == ledger.RoleConsumer {
		r.Iss, r.Role = r.Consumer, ledger.RoleConsumer
	}
}

// Person is the code of the i-th invented person: eleven digits of an office
// that doesn't exist.
func Person(i int) ledger.Subject {
	digits := fmt.Appendf(nil, "%07d7%02d", i, i%100)
	sum := 0
	for k, c := range digits {
		d := int(c - '0')
		if k%2 == 1 {
			d = d*2%10 + d*2/10
		}
		sum += d
	}
	return ledger.Subject(append(digits, byte('0'+(10-sum%10)%10)))
}

func hash(what string, n int) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte(what), uint64(n)))
}

func uuid(what string, n int) string {
	b := hash(what, n)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// LookUp is a body's look-up at its own list, at the citizens whom the ledger said.
func (w *World) LookUp(t testing.TB, body string, n int, citizens ledger.SubjectCommitment) node.LookUp {
	t.Helper()
	l := node.LookUp{Salt: hash("look-up salt", n)}
	var err error
	if l.Content, err = ledger.FormatPrivate(&ledger.Private{Operator: &ledger.Operator{ID: "op-1"}}); err != nil {
		t.Fatal(err)
	}
	compact, err := ledger.SignReceipt(&ledger.Receipt{
		Aud: Name, Iss: body, JTI: LookUpID(n), IssuedAt: w.Now.Unix(), Role: ledger.RoleRequester, Provider: body, Consumer: body,
		Purpose: "Verifica del proprio elenco", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c",
		DataCategories: []string{"https://w3id.org/dpv#ObservedPersonalData"}, Actor: ledger.ActorOperator,
		Operation: ledger.Operation{Method: "POST", Path: "/v1/agencies/{id}/list"}, OccurredAt: w.Now.Format(time.RFC3339),
		PrivateDigest: ledger.Hex(ledger.PrivateDigest(&l.Salt, l.Content)), Subjects: citizens,
	}, Key(body, 0).Kid, Signer(body, 0))
	if err != nil {
		t.Fatal(err)
	}
	if l.Receipt, err = ledger.ParseReceipt(compact); err != nil {
		t.Fatal(err)
	}
	return l
}

// LookUpID is the jti of the n-th LookUp.
func LookUpID(n int) string { return uuid("look-up", n) }
