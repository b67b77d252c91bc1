// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

const (
	ledgerName = "registro.example"
	issuer     = "uat.interop.pagopa.it"
	provider   = "inps"
	consumer   = "c_a944"
	eservice   = "978e5066-7159-42a1-b057-ec7e47525f8b"
	purposeID  = "4a153b51-5d47-4db9-be7e-e73dbcae4bb9"
)

var tenants = map[string]string{
	provider: "53b40136-65f2-424b-acfb-7fae17e35c60",
	consumer: "2d6de81f-961a-4e12-8617-cce887ed7f86",
}

// recorded is an answer of a real ledger with what it answers.
type recorded struct {
	submission *ledger.Submission
	answer     *ledger.Answer
}

// realLedger is what a real node answered to accesses to one, three and 150
// citizens, and to one that the consumer alone reports.
type realLedger struct {
	vkey                        string
	logs                        []note.Verifier
	single, few, many, reported recorded
}

// theLedger runs a ledger once for all tests.
var theLedger = sync.OnceValue(func() *realLedger {
	dir, err := os.MkdirTemp("", "traccia-verifier-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	l, err := runLedger(context.Background(), dir)
	if err != nil {
		panic(err)
	}
	return l
})

func runLedger(ctx context.Context, dir string) (*realLedger, error) {
	pdnd, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: pdnd.Public(), KeyID: "pdnd", Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "pdnd.jwks.json"), public, 0o600); err != nil {
		return nil, err
	}
	settings := node.Settings{Name: ledgerName, PDND: node.PDNDSettings{
		Issuers: []string{issuer}, VoucherKeys: []string{"pdnd.jwks.json"}, ClientKeys: []string{"pdnd.jwks.json"},
	}}
	if err := node.Create(ctx, dir, settings, node.Options{}); err != nil {
		return nil, err
	}
	n, err := node.Open(ctx, dir, node.Options{})
	if err != nil {
		return nil, err
	}
	defer n.Close()
	signers := make(map[string]crypto.Signer)
	for _, id := range []string{provider, consumer} {
		if _, err := n.AddBody(ctx, registry.Body{ID: id, Name: id, Tenant: tenants[id]}); err != nil {
			return nil, err
		}
		signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		key, err := jws.NewKey(id+"-1", signer.Public())
		if err != nil {
			return nil, err
		}
		if _, err := n.AddKey(ctx, id, key, ""); err != nil {
			return nil, err
		}
		signers[id] = signer
	}
	if _, err := n.SetScope(ctx, registry.Scope{ID: provider, Providers: []string{provider}}); err != nil {
		return nil, err
	}
	l := &realLedger{vkey: n.VKey()}
	verifier, err := note.NewVerifier(n.VKey())
	if err != nil {
		return nil, err
	}
	l.logs = []note.Verifier{verifier}
	for _, want := range []struct {
		to    *recorded
		iss   string
		count int
	}{{&l.single, provider, 1}, {&l.few, provider, 3}, {&l.many, provider, 150}, {&l.reported, consumer, 1}} {
		s, err := access(want.iss, want.count, pdnd, signers[want.iss])
		if err != nil {
			return nil, err
		}
		raw, err := ledger.FormatSubmission(s)
		if err != nil {
			return nil, err
		}
		answer, _, err := n.Submit(ctx, raw)
		if err != nil {
			return nil, err
		}
		*want.to = recorded{s, answer}
	}
	// Asked again when the log went on, so that there are leaves to their right.
	for _, r := range []*recorded{&l.few, &l.many} {
		iss, jti, _ := strings.Cut(r.answer.ReceiptID, "/")
		if r.answer, err = n.Fetch(ctx, iss, jti); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// access makes the submission of an access to count citizens.
func access(iss string, count int, pdnd *rsa.PrivateKey, signer crypto.Signer) (*ledger.Submission, error) {
	now := time.Now().UTC()
	jti, client := uuid.NewString(), uuid.NewString()
	voucher, err := sign(pdnd, map[string]any{
		"jti": jti, "iss": issuer, "aud": "https://api.inps.example/v1", "client_id": client, "sub": client,
		"iat": now.Unix() - 60, "nbf": now.Unix() - 60, "exp": now.Unix() + 540, "purposeId": purposeID,
		"producerId": tenants[provider], "consumerId": tenants[consumer], "eserviceId": eservice, "descriptorId": uuid.NewString(),
	})
	if err != nil {
		return nil, err
	}
	s := &ledger.Submission{Voucher: voucher}
	if s.Private.Content, err = ledger.FormatPrivate(&ledger.Private{Voucher: voucher}); err != nil {
		return nil, err
	}
	rand.Read(s.Private.Salt[:])
	s.Subjects = citizens(count)
	tree, err := ledger.NewSubjectTree(s.Subjects)
	if err != nil {
		return nil, err
	}
	r := &ledger.Receipt{
		Aud: ledgerName, Iss: iss, JTI: uuid.NewString(), IssuedAt: now.Unix(), Role: ledger.RoleProvider,
		Provider: provider, Consumer: consumer, EService: eservice, PurposeID: purposeID,
		Purpose: "Verifica ISEE per prestazione sociale", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e",
		DataCategories: []string{"https://w3id.org/dpv/pd#Income"}, Actor: ledger.ActorOperator,
		Operation: ledger.Operation{Method: "POST", Path: "/isee/attestazioni"}, OccurredAt: now.Format("2006-01-02T15:04:05Z"),
		Pair:          ledger.Hex(ledger.Pair(jti, "", "")),
		PrivateDigest: ledger.Hex(ledger.PrivateDigest(&s.Private.Salt, s.Private.Content)),
		Subjects:      ledger.SubjectCommitment{Count: count, Root: ledger.Hex(tree.Root())},
	}
	if iss == consumer {
		r.Role = ledger.RoleConsumer
	}
	s.Receipt, err = ledger.SignReceipt(r, iss+"-1", signer)
	return s, err
}

// sign makes a voucher as PDND does.
func sign(key *rsa.PrivateKey, claims map[string]any) (string, error) {
	options := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "pdnd")
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, options)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	token, err := s.Sign(payload)
	if err != nil {
		return "", err
	}
	return token.CompactSerialize()
}

// citizens invents people born where no place has the code, each with a salt.
func citizens(count int) []ledger.SaltedSubject {
	list := make([]ledger.SaltedSubject, count)
	for i := range list {
		for check := 'A'; check <= 'Z'; check++ {
			if s, err := ledger.ParseSubject(fmt.Sprintf("RSSMRA80A01N%03d%c", i, check)); err == nil {
				list[i].Subject = s
			}
		}
		rand.Read(list[i].Salt[:])
	}
	return list
}
