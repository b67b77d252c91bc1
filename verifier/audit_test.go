// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/policies/policytest"
	"github.com/traccia-ledger/traccia/verifier"
)

// itemSorter sorts in memory.
type itemSorter struct{ items []verifier.AuditItem }

func (s *itemSorter) Add(i *verifier.AuditItem) error { s.items = append(s.items, *i); return nil }
func (s *itemSorter) Close() error                    { return nil }
func (s *itemSorter) Sorted() iter.Seq2[*verifier.AuditItem, error] {
	slices.SortFunc(s.items, func(a, b verifier.AuditItem) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Index, b.Index))
	})
	return func(yield func(*verifier.AuditItem, error) bool) {
		for n := range s.items {
			if !yield(&s.items[n], nil) {
				return
			}
		}
	}
}

// audit audits lists, year by year.
func (m *madeList) audit(cfg verifier.AuditConfig, lists ...[]*history.AgencyPart) *verifier.AuditReport {
	m.t.Helper()
	cfg.Body, cfg.Consents = or(cfg.Body, consumer), rules.Consents
	if cfg.Zone == nil {
		cfg.Zone = time.UTC
	}
	if cfg.Limits.Burst == 0 {
		cfg.Limits = verifier.DefaultAuditLimits()
	}
	cfg.NewSorter = func() (verifier.Sorter[verifier.AuditItem], error) { return new(itemSorter), nil }
	a, err := verifier.NewAudit(cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	defer a.Close()
	for _, parts := range lists {
		var file bytes.Buffer
		for _, p := range parts {
			text, err := history.FormatAgencyPart(p)
			if err != nil {
				m.t.Fatal(err)
			}
			file.Write(text)
		}
		bundle, digest := checks(m.t)
		r, err := verifier.Agency(&file, verifier.AgencyConfig{Policy: m.policy, Each: a.Event, Policies: func(wanted ledger.Hash) ledger.Bundle {
			if wanted == digest {
				return bundle
			}
			return nil
		}})
		if err == nil {
			err = a.List(r)
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	r, err := a.Conclude()
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// checks are policies that allow one purpose.
func checks(t testing.TB) (ledger.Bundle, ledger.Hash) {
	t.Helper()
	document := policytest.Bundle(t, "1", `context.purpose == "checks"`)
	bundle, err := policies.Open(document)
	if err != nil {
		t.Fatal(err)
	}
	return bundle, policies.Digest(document)
}

// activate has the policies decide from here on.
func (m *madeList) activate() ledger.Bundle {
	bundle, digest := checks(m.t)
	m.record(registry.Policy{Version: bundle.Version(), SHA256: ledger.Hex(digest)})
	return bundle
}

func person(n int) ledger.Subject { return citizens(n + 1)[n].Subject }

func findingCodes(r *verifier.AuditReport) string {
	var codes []string
	for _, f := range r.Findings {
		codes = append(codes, f.Code)
	}
	return strings.Join(slices.Compact(codes), " ")
}

// token is one whose signature nobody looks at here.
func token(claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode(payload) + "." + encode([]byte("signature"))
}

// call is an access by a person whose private part and tokens are right, unless change makes something else of them.
func (m *madeList) call(who, about string, change func(e *event, voucher, evidence map[string]any)) uint64 {
	m.t.Helper()
	at := int64(m.ms/1000) + 1
	voucher := map[string]any{"jti": "99382e29-0a1b-4a3c-8a5e-0f3c8d2b1a00", "purposeId": purposeID, "eserviceId": eservice, "iat": at - 60, "nbf": at - 60, "exp": at + 540}
	evidence := map[string]any{"purposeId": purposeID, "userID": who}
	e := event{receipt: func(r *ledger.Receipt) { r.Actor = ledger.ActorOperator }}
	if change != nil {
		change(&e, voucher, evidence)
	}
	v := &ledger.Private{Evidence: token(evidence), Case: about}
	digest := sha256.Sum256([]byte(v.Evidence))
	voucher["digest"] = map[string]any{"alg": "SHA256", "value": hex.EncodeToString(digest[:])}
	v.Voucher = token(voucher)
	if who != "" {
		v.Operator = &ledger.Operator{ID: who}
	}
	if e.private != nil {
		v = e.private
	}
	if e.pair == (ledger.Hex{}) {
		e.pair = ledger.Hex(ledger.Pair(voucher["jti"].(string), hex.EncodeToString(digest[:]), ""))
	}
	e.private = v
	before := e.body
	e.body = func(b *ledger.Body) {
		b.Assurance = ledger.Assurance{
			Profile: ledger.ProfileAudit02, Voucher: ledger.VoucherCheck{Alg: "RS256", Kid: "k", Issuer: "interop.pagopa.it"},
			Evidence: &ledger.EvidenceCheck{Alg: "RS256", Kid: "c"}, LoA: 2, Flags: []string{},
		}
		if before != nil {
			before(b)
		}
	}
	return m.access(e)
}

// whole is all of the list.
func (m *madeList) whole() []*history.AgencyPart {
	m.settle()
	return []*history.AgencyPart{m.piece(0, 2000)}
}

// quiet is a working list: three operators, each with cases of their own.
func quiet(m *madeList) {
	for n := range 3 {
		m.call(fmt.Sprintf("m.rossi%d", n+30), fmt.Sprintf("2026/00%d", n+101), nil)
	}
}

// TestAuditRules: each rule of docs/audit.md, broken; and a list that breaks none.
func TestAuditRules(t *testing.T) {
	declared := func(change func(p *verifier.AuditPurpose)) *verifier.AuditPurposes {
		p := verifier.AuditPurposes{Schema: verifier.AuditPurposesSchema, Body: consumer, Purposes: []verifier.AuditPurpose{{
			PurposeID: purposeID, Name: "Verifica ISEE", EServices: []string{eservice}, LegalBases: []string{"https://w3id.org/dpv/legal/eu/gdpr#A6-1-e"},
			Categories: []string{"https://w3id.org/dpv/pd#Income"}, From: "2026-01-01", Until: "2026-12-31",
		}}}
		if change != nil {
			change(&p.Purposes[0])
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		read, err := verifier.ParseAuditPurposes(text)
		if err != nil {
			t.Fatal(err)
		}
		return read
	}
	const other = "00000000-0a1b-4a3c-8a5e-0f3c8d2b1a00"
	for _, test := range []struct {
		name string
		cfg  verifier.AuditConfig
		make func(m *madeList)
		want string
	}{
		{"nothing", verifier.AuditConfig{Declared: declared(nil)}, func(m *madeList) {}, ""},
		{"a forged signature", verifier.AuditConfig{}, func(m *madeList) { m.access(event{signer: signerOf("c_f205")}) }, "bad_signature"},
		{"a key revoked before", verifier.AuditConfig{}, func(m *madeList) {
			m.record(registry.KeyRevoked{Body: provider, Kid: provider + "-1", Reason: "lost"})
			m.access(event{})
		}, "key_revoked"},
		{"a list of another body", verifier.AuditConfig{Body: "c_f205"}, func(m *madeList) {}, verifier.CodeOtherList},
		{"a body withheld", verifier.AuditConfig{}, func(m *madeList) { m.access(event{erased: true}) }, verifier.CodeNotOpened},
		{"a receipt twice", verifier.AuditConfig{}, func(m *madeList) {
			var first ledger.Body
			m.access(event{body: func(b *ledger.Body) { first = *b }})
			m.access(event{body: func(b *ledger.Body) { b.Receipt, b.Subject = first.Receipt, first.Subject }})
		}, verifier.CodeTwice},
		{"a denied access recorded as allowed", verifier.AuditConfig{}, func(m *madeList) {
			decided := decidedBy(t, m.activate(), func(d *ledger.Decision) { d.Effect, d.Policies = ledger.EffectAllow, []string{"checks"} })
			m.access(event{body: func(b *ledger.Body) { decided(b); b.Kind = ledger.KindAccess }})
		}, ledger.CodeDecision},
		{"an access that nothing decided on, once there were policies", verifier.AuditConfig{}, func(m *madeList) {
			m.activate()
			m.access(event{})
		}, ledger.CodeDecision},
		{"a period before the list", verifier.AuditConfig{From: time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC)}, func(m *madeList) {}, verifier.CodePeriod},
		{"a period behind the list", verifier.AuditConfig{To: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}, func(m *madeList) {}, verifier.CodePeriod},

		{"another pair", verifier.AuditConfig{}, func(m *madeList) {
			m.call("m.rossi", "2026/7", func(e *event, _, _ map[string]any) { e.pair = ledger.Hex{9} })
		}, verifier.CodePairMismatch},
		{"a voucher for another purpose", verifier.AuditConfig{}, func(m *madeList) {
			m.call("m.rossi", "2026/7", func(_ *event, v, _ map[string]any) { v["purposeId"] = other })
		}, verifier.CodeTokenPurpose},
		{"evidence for another purpose", verifier.AuditConfig{}, func(m *madeList) {
			m.call("m.rossi", "2026/7", func(_ *event, _, v map[string]any) { v["purposeId"] = other })
		}, verifier.CodeTokenPurpose},
		{"a voucher for another e-service", verifier.AuditConfig{}, func(m *madeList) {
			m.call("m.rossi", "2026/7", func(_ *event, v, _ map[string]any) { v["eserviceId"] = other })
		}, verifier.CodeTokenEService},
		{"a voucher that was over", verifier.AuditConfig{}, func(m *madeList) {
			m.call("m.rossi", "2026/7", func(_ *event, v, _ map[string]any) { v["exp"] = int64(m.ms/1000) - 120 })
		}, verifier.CodeTokenTime},
		{"a voucher of later", verifier.AuditConfig{}, func(m *madeList) {
			m.call("m.rossi", "2026/7", func(_ *event, v, _ map[string]any) { v["nbf"] = int64(m.ms/1000) + 300 })
		}, verifier.CodeTokenTime},
		{"another evidence than the voucher names", verifier.AuditConfig{}, func(m *madeList) {
			evidence := token(map[string]any{"purposeId": purposeID})
			digest := sha256.Sum256([]byte(evidence))
			voucher := token(map[string]any{"jti": "j", "purposeId": purposeID, "digest": map[string]any{"value": strings.Repeat("0", 64)}})
			m.call("m.rossi", "2026/7", func(e *event, _, _ map[string]any) {
				e.private = &ledger.Private{Voucher: voucher, Evidence: evidence, Operator: &ledger.Operator{ID: "m.rossi"}, Case: "2026/7"}
				e.pair = ledger.Hex(ledger.Pair("j", hex.EncodeToString(digest[:]), ""))
			})
		}, verifier.CodeEvidenceDigest},
		{"a token that is none", verifier.AuditConfig{}, func(m *madeList) {
			m.call("m.rossi", "2026/7", func(e *event, _, _ map[string]any) {
				e.private = &ledger.Private{Voucher: "a.b.c", Operator: &ledger.Operator{ID: "m.rossi"}, Case: "2026/7"}
			})
		}, verifier.CodeTokenMalformed},

		{"a purpose that wasn't declared", verifier.AuditConfig{Declared: declared(func(p *verifier.AuditPurpose) { p.PurposeID = other })}, func(m *madeList) {}, verifier.CodePurposeUnlisted},
		{"a purpose that is over", verifier.AuditConfig{Declared: declared(func(p *verifier.AuditPurpose) { p.Until = "2026-05-31" })}, func(m *madeList) {}, verifier.CodePurposeOver},
		{"a purpose to come", verifier.AuditConfig{Declared: declared(func(p *verifier.AuditPurpose) { p.From = "2026-06-02" })}, func(m *madeList) {}, verifier.CodePurposeOver},
		{"an e-service that wasn't declared", verifier.AuditConfig{Declared: declared(func(p *verifier.AuditPurpose) { p.EServices = []string{other} })}, func(m *madeList) {}, verifier.CodeEServiceUnused},
		{"a basis that wasn't declared", verifier.AuditConfig{Declared: declared(func(p *verifier.AuditPurpose) { p.LegalBases = []string{"another"} })}, func(m *madeList) {}, verifier.CodeBasisOther},
		{"a category that wasn't declared", verifier.AuditConfig{Declared: declared(func(p *verifier.AuditPurpose) { p.Categories = []string{"another"} })}, func(m *madeList) {}, verifier.CodeCategoryAdded},
		{"consent for a basis, and none named", verifier.AuditConfig{}, func(m *madeList) {
			m.call("m.rossi", "2026/7", func(e *event, _, _ map[string]any) {
				e.receipt = func(r *ledger.Receipt) {
					r.Actor, r.LegalBasis = ledger.ActorOperator, "https://w3id.org/dpv/legal/eu/gdpr#A6-1-a"
				}
			})
		}, verifier.CodeConsentMissing},

		{"no operator, no case", verifier.AuditConfig{}, func(m *madeList) { m.call("", "", nil) }, verifier.CodeCaseMissing + " " + verifier.CodeOperatorMissing},
		{"an operator that says nothing", verifier.AuditConfig{}, func(m *madeList) { m.call("Utente1", "2026/7", nil) }, verifier.CodeOperatorEmpty},
		{"a case that says nothing", verifier.AuditConfig{}, func(m *madeList) { m.call("m.rossi", "asdfgh", nil) }, verifier.CodeCaseEmpty},
		{"a service", verifier.AuditConfig{}, func(m *madeList) { m.call("service:batch", "", nil) }, ""},
		{"a citizen of the watch list", verifier.AuditConfig{Watched: []ledger.Subject{person(3)}}, func(m *madeList) {
			m.call("m.rossi", "2026/7", func(e *event, _, _ map[string]any) { e.subject = person(3) })
		}, verifier.CodeWatched},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMadeList(t)
			quiet(m)
			test.make(m)
			r := m.audit(test.cfg, m.whole())
			if got := findingCodes(r); got != test.want {
				t.Errorf("got %q, want %q: %+v", got, test.want, r.Findings)
			}
			grave := slices.ContainsFunc(r.Findings, func(f verifier.AuditFinding) bool {
				return f.Class == verifier.ClassIntegrity || f.Class == verifier.ClassConformity
			})
			if r.Proven() == grave || grave != (len(r.Problems) > 0) {
				t.Errorf("proven %v, %d problems", r.Proven(), len(r.Problems))
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{string(m.subject), string(person(3)), "m.rossi"} {
				if bytes.Contains(text, []byte(name)) {
					t.Errorf("the report names %s", name)
				}
			}
		})
	}
}
