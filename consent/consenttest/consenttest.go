// SPDX-License-Identifier: EUPL-1.2

// Package consenttest makes a citizen's events in +consent for tests: records, passkey signatures and the receipts that
// bodies collect them with.
package consenttest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/passkeytest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// Where the passkeys of tests are used.
const (
	RP     = "registro.example"
	Origin = "https://registro.example"
)

// Collector is a body that collects consents.
type Collector struct {
	Ledger string // its name
	ID     string
	Key    ed25519.PrivateKey
}

// Citizen is whose list it is.
type Citizen struct {
	Code     ledger.Subject
	Salt     [32]byte // of the next event
	Previous *ledger.Hash
	At       time.Time // the clock; whole seconds, UTC
}

// Root is what the next record has as its subject.
func (c *Citizen) Root(t testing.TB) ledger.Hash {
	t.Helper()
	tree, err := ledger.NewSubjectTree([]ledger.SaltedSubject{{Subject: c.Code, Salt: c.Salt}})
	if err != nil {
		t.Fatal(err)
	}
	return tree.Root()
}

// Record is a record of this kind, for the citizen's next event, with what its kind has filled in.
func (c *Citizen) Record(t testing.TB, name, kind string) *consent.Record {
	t.Helper()
	r := &consent.Record{
		Kind: kind, ID: uuid.NewString(), Created: c.At, Language: "it", Ledger: name, Epoch: ledger.EpochOf(c.At),
		Previous: c.Previous, Subject: c.Root(t),
	}
	validity := &consent.Validity{From: c.At, Until: c.At.AddDate(1, 0, 0)}
	switch kind {
	case ledger.KindConsentGiven, ledger.KindConsentRefused, ledger.KindEntitlementGiven:
		r.Validity, r.Terms = validity, &consent.Terms{
			Controller: "c_a944", LegalBasis: []string{consent.BasisConsent}, Recipients: []string{"c_a944"},
			Purposes: []string{"https://w3id.org/dpv/sector/publicservices#SocialWelfareProvision"}, Categories: []string{"https://w3id.org/dpv/pd#Income"},
			Notice: consent.Notice{Digest: sha256.Sum256([]byte("informativa")), Version: "1"}, Withdrawal: "Sul sito del registro, o allo sportello del Comune",
		}
		if kind == ledger.KindEntitlementGiven {
			r.Terms.LegalBasis = []string{"eu-gdpr:A6-1-c"}
		}
	case ledger.KindPasskeyEnrolled:
		r.Validity, r.Passkey = validity, &consent.Passkey{RP: RP, Origin: Origin}
	case ledger.KindMandateGiven:
		r.Validity, r.Relation = validity, &consent.Relation{Kind: consent.RelationGuardian, Deed: "Decreto del Tribunale di Bologna n. 12/2026"}
	}
	return r
}

// Desk is evidence of a desk.
var Desk = consent.Evidence{Type: consent.EvidenceDesk, Document: "carta d'identità; modulo firmato prot. 2026/1234"}

// Login is a login token, and LoginEvidence the evidence that names it.
const Login = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"

// LoginEvidence is evidence of that login.
var LoginEvidence = consent.Evidence{Type: consent.EvidenceLogin, Login: sha256.Sum256([]byte(Login))}

// Statement puts a record and its evidence together.
func Statement(t testing.TB, r *consent.Record, e consent.Evidence) json.RawMessage {
	t.Helper()
	raw, err := consent.FormatStatement(Bytes(t, r), e)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Bytes are a record's.
func Bytes(t testing.TB, r *consent.Record) []byte {
	t.Helper()
	data, err := consent.FormatRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Register makes the evidence that a passkey was made for a record, after a login.
func Register(t testing.TB, p *passkeytest.Passkey, r *consent.Record) consent.Evidence {
	t.Helper()
	data, client := p.Register(consent.Challenge(r.Ledger, r.Epoch, Bytes(t, r)))
	return consent.Evidence{Type: consent.EvidenceRegistration, AuthenticatorData: data, ClientData: client, Login: LoginEvidence.Login}
}

// Sign makes the evidence that a passkey signed a record.
func Sign(t testing.TB, p *passkeytest.Passkey, r *consent.Record) consent.Evidence {
	t.Helper()
	data, client, signature := p.Sign(t, consent.Challenge(r.Ledger, r.Epoch, Bytes(t, r)))
	return consent.Evidence{Type: consent.EvidencePasskey, Credential: p.ID, AuthenticatorData: data, ClientData: client, Signature: signature}
}

// Kid is the name of the collector's key.
func (b *Collector) Kid(t testing.TB) string {
	t.Helper()
	k, err := jws.NewKey("", b.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k.Kid
}

// Submission is what the collector sends for a statement. change, where given, spoils the receipt before it is signed.
func (b *Collector) Submission(t testing.TB, c *Citizen, statement json.RawMessage, change ...func(*ledger.Receipt)) *ledger.ConsentSubmission {
	t.Helper()
	s, err := consent.ParseStatement(statement)
	if err != nil {
		t.Fatal(err)
	}
	private := &ledger.Private{}
	if s.Evidence.Login != (ledger.Hex{}) {
		private.Login = Login
	}
	content, err := ledger.FormatPrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	out := &ledger.ConsentSubmission{Subject: ledger.SaltedSubject{Subject: c.Code, Salt: c.Salt}, Consent: statement}
	rand.Read(out.Private.Salt[:])
	out.Private.Content = content
	r := consent.Receipt(s, statement, b.ID, c.At)
	r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&out.Private.Salt, content))
	for _, f := range change {
		f(r)
	}
	if out.Receipt, err = ledger.SignReceipt(r, b.Kid(t), b.Key); err != nil {
		t.Fatal(err)
	}
	return out
}

// Event is the event that a submission becomes, as if it were recorded now; the citizen's next record follows on it.
func (c *Citizen) Event(t testing.TB, index uint64, s *ledger.ConsentSubmission) ledger.ConsentEvent {
	t.Helper()
	receipt, err := ledger.ParseReceipt(s.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := consent.ParseStatement(s.Consent)
	if err != nil {
		t.Fatal(err)
	}
	decision, err := ledger.FormatDecision(ledger.Decision{Effect: ledger.EffectRecorded})
	if err != nil {
		t.Fatal(err)
	}
	epoch := ledger.EpochOf(c.At)
	body := &ledger.Body{
		Origin: ledger.Origin(receipt.Aud, epoch), Kind: statement.Record.Kind, Subject: ledger.BodySubject{Code: c.Code, Salt: c.Salt},
		Scope: ledger.ScopeConsent, Agency: receipt.Iss, RecordedAt: c.At.UnixMilli(), Receipt: s.Receipt,
		Assurance: ledger.Assurance{Profile: ledger.ProfileRequest, Flags: []string{}}, Decision: decision, Consent: s.Consent,
	}
	data, err := ledger.FormatBody(body)
	if err != nil {
		t.Fatal(err)
	}
	var nonce [32]byte
	rand.Read(nonce[:])
	commitment := ledger.BodyCommitment(&nonce, data)
	c.Next(commitment)
	return ledger.ConsentEvent{Epoch: epoch, Index: index, Commitment: commitment, Body: body, Receipt: receipt}
}

// Next makes the citizen's next record follow on an event.
func (c *Citizen) Next(commitment ledger.Hash) {
	c.Previous = &commitment
	rand.Read(c.Salt[:])
}
