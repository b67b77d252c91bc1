// SPDX-License-Identifier: EUPL-1.2

package checks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

// What is accepted and refused, as the formats that administrations have in their hands demand.
func TestCheck(t *testing.T) {
	bearer := func(h http.Header) { h.Set("Authorization", "Bearer "+voucher(voucherClaims())) }
	full := func(h http.Header) { audit02(h, voucherClaims(), evidenceClaims()) }
	tokens := func(v, e object) func(http.Header) {
		return func(h http.Header) {
			audit02(h, voucherClaims().with(pairsOf(v)...), evidenceClaims().with(pairsOf(e)...))
		}
	}
	and := func(list ...func(http.Header)) func(http.Header) {
		return func(h http.Header) {
			for _, f := range list {
				f(h)
			}
		}
	}
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	twice := func(name string) func(http.Header) {
		return func(h http.Header) { h.Add(name, h.Get(name)) }
	}
	other := "00000000-0000-4000-8000-000000000000"
	for _, test := range []struct {
		name    string
		profile string
		headers func(http.Header)
		change  func(s *config.EService)
		want    string // "" for good, or status, code and place
	}{
		{"AUDIT_REST_02", config.ProfileAudit02, full, nil, ""},
		{"small letters of bearer", config.ProfileVoucher, func(h http.Header) { bearer(h); h.Set("Authorization", "b"+h.Get("Authorization")[1:]) }, nil, ""},
		{"no voucher", config.ProfileVoucher, func(http.Header) {}, nil, "401 missing header:Authorization"},
		{"another scheme", config.ProfileVoucher, set("Authorization", "Basic YTpi"), nil, "401 bad_value header:Authorization"},
		{"two vouchers", config.ProfileVoucher, and(bearer, twice("Authorization")), nil, "401 repeated header:Authorization"},
		{"no JWS", config.ProfileVoucher, set("Authorization", "Bearer x"), nil, "401 syntax voucher"},
		{"no evidence", config.ProfileAudit02, bearer, nil, "401 missing header:Agid-JWT-TrackingEvidence"},
		{"no digest", config.ProfileAudit02, and(bearer, set(HeaderEvidence, evidence(evidenceClaims()))), nil, "401 missing voucher#digest"},
		{"AUDIT_REST_01", config.ProfileAudit01, and(bearer, set(HeaderEvidence, evidence(evidenceClaims()))), nil, ""},
		{"AUDIT_REST_02 where 01 would do", config.ProfileAudit01, full, nil, ""},
		{"an evidence nobody asked for is checked", config.ProfileVoucher, and(bearer, set(HeaderEvidence, "x")), nil, "401 syntax evidence"},
		{"two evidences", config.ProfileAudit02, and(full, twice(HeaderEvidence)), nil, "401 repeated header:Agid-JWT-TrackingEvidence"},
		{"another evidence", config.ProfileAudit02, and(full, set(HeaderEvidence, evidence(evidenceClaims().with("jti", "other")))), nil, "401 digest_mismatch voucher#digest"},

		{"other producer", config.ProfileAudit02, tokens(object{"producerId": other}, nil), nil, "403 claim_mismatch voucher#producerId"},
		{"other e-service", config.ProfileAudit02, tokens(object{"eserviceId": other}, nil), nil, "403 claim_mismatch voucher#eserviceId"},
		{"other version", config.ProfileAudit02, tokens(object{"descriptorId": other}, nil), nil, "403 claim_mismatch voucher#descriptorId"},
		{"any version", config.ProfileAudit02, tokens(object{"descriptorId": other}, nil), func(s *config.EService) { s.Descriptors = nil }, ""},
		{"other audience", config.ProfileAudit02, tokens(object{"aud": "https://b.example"}, object{"aud": "https://b.example"}), nil, "401 wrong_audience voucher#aud"},
		{"audience as a comma list", config.ProfileAudit02, tokens(object{"aud": "https://b.example, " + api}, nil), nil, ""},
		{"audience as an array", config.ProfileAudit02, tokens(object{"aud": []string{"https://b.example", api}}, nil), nil, ""},
		{"expired", config.ProfileAudit02, tokens(object{"exp": noon.Unix() - 31}, nil), nil, "401 expired voucher#exp"},
		{"unknown consumer", config.ProfileAudit02, tokens(object{"consumerId": other}, nil), nil, "403 consumer_unknown voucher#consumerId"},
		{"a voucher without parties", config.ProfileAudit02, tokens(object{"producerId": nil, "consumerId": nil, "eserviceId": nil, "descriptorId": nil}, nil), nil, ""},
		{"of an unknown client", config.ProfileAudit02, tokens(object{"consumerId": nil, "client_id": other, "sub": other}, nil), nil, "403 consumer_unknown voucher#client_id"},

		{"dnonce as a text", config.ProfileAudit02, tokens(nil, object{"dnonce": "1234567890123"}), nil, ""},
		{"dnonce too short", config.ProfileAudit02, tokens(nil, object{"dnonce": 12}), nil, "401 bad_value evidence#dnonce"},
		{"no dnonce", config.ProfileAudit02, tokens(nil, object{"dnonce": nil}), nil, "401 missing evidence#dnonce"},
		{"an evidence of 30 days", config.ProfileAudit02, tokens(nil, object{"exp": noon.Unix() - 61 + 30*86400}), nil, ""},
		{"and of 31", config.ProfileAudit02, tokens(nil, object{"exp": noon.Unix() - 61 + 31*86400}), nil, "401 lifetime_wrong evidence#exp"},
		{"LoA3", config.ProfileAudit02, tokens(nil, object{"LoA": "LoA3"}), nil, ""},
		{"userLoa", config.ProfileAudit02, tokens(nil, object{"LoA": nil, "userLoa": "3"}), nil, ""},
		{"loa", config.ProfileAudit02, tokens(nil, object{"LoA": nil, "loa": "LOA3"}), nil, ""},
		{"LoA as a number", config.ProfileAudit02, tokens(nil, object{"LoA": 3}), nil, "401 bad_value evidence#LoA"},
		{"other purpose", config.ProfileAudit02, tokens(nil, object{"purposeId": other}), nil, "401 claim_mismatch evidence#purposeId"},

		{"INPS headers", config.ProfileINPSHeaders, and(bearer, set(HeaderUser, "m.rossi"), set(HeaderOffice, "0042")), nil, ""},
		{"without a user", config.ProfileINPSHeaders, and(bearer, set(HeaderOffice, "0042")), nil, "400 missing header:INPS-Identity-UserId"},
		{"two users", config.ProfileINPSHeaders, and(bearer, set(HeaderUser, "m.rossi"), twice(HeaderUser)), nil, "400 repeated header:INPS-Identity-UserId"},

		{"DPoP", config.ProfileVoucher, func(h http.Header) { bound(h, "a", api+"/consultazione") }, nil, ""},
		{"DPoP asked for", config.ProfileVoucher, bearer, func(s *config.EService) { s.DPoP = true }, "401 dpop_required header:Authorization"},
		{"a bound voucher as Bearer", config.ProfileVoucher, func(h http.Header) {
			bound(h, "a", api+"/consultazione")
			h.Set("Authorization", "Bearer"+strings.TrimPrefix(h.Get("Authorization"), "DPoP"))
		}, nil, "401 dpop_required header:Authorization"},
		{"DPoP with a voucher that isn't bound", config.ProfileVoucher, set("Authorization", "DPoP "+voucher(voucherClaims())), nil, "401 missing voucher#cnf"},
		{"a proof beside Bearer", config.ProfileVoucher, and(bearer, set(HeaderProof, "x")), nil, "401 bad_value header:DPoP"},
		{"without the proof", config.ProfileVoucher, func(h http.Header) { bound(h, "a", api); h.Del(HeaderProof) }, nil, "401 missing header:DPoP"},
		{"a proof for another URL", config.ProfileVoucher, func(h http.Header) { bound(h, "a", api+"/altro") }, nil, "401 claim_mismatch header:DPoP#htu"},

		{"signed", config.ProfileVoucher, and(bearer, func(h http.Header) { signed(h, nil) }), func(s *config.EService) { s.Integrity = true }, ""},
		{"not signed", config.ProfileVoucher, bearer, func(s *config.EService) { s.Integrity = true }, "401 missing header:Agid-JWT-Signature"},
		{"a signature nobody asked for is checked", config.ProfileVoucher, and(bearer, set(HeaderSignature, "x")), nil, "400 digest_mismatch header:Digest"},
		{"signed for another", config.ProfileVoucher, and(bearer, func(h http.Header) { signed(h, object{"aud": "https://b.example"}) }), nil, "401 wrong_audience header:Agid-JWT-Signature#aud"},
		{"for the second audience", config.ProfileVoucher, and(bearer, func(h http.Header) { signed(h, object{"aud": "https://b.example"}) }), func(s *config.EService) { s.Audience = append(s.Audience, "https://b.example") }, ""},
		{"signed by another client", config.ProfileVoucher, and(bearer, func(h http.Header) { signed(h, object{"iss": other}) }), nil, "401 claim_mismatch header:Agid-JWT-Signature#iss"},
		{"signed by GovWay, whose iss is a name", config.ProfileVoucher, and(bearer, func(h http.Header) { signed(h, object{"iss": "Ente", "client_id": client}) }), nil, ""},
		{"GovWay of another client", config.ProfileVoucher, and(bearer, func(h http.Header) { signed(h, object{"iss": "Ente", "client_id": other}) }), nil, "401 claim_mismatch header:Agid-JWT-Signature#iss"},
		{"other content", config.ProfileVoucher, and(bearer, func(h http.Header) { signed(h, nil); h.Set(HeaderDigest, "SHA-256=x") }), nil, "400 digest_mismatch header:Digest"},
		{"other content type", config.ProfileVoucher, and(bearer, func(h http.Header) { signed(h, nil); h.Set("Content-Type", "text/xml") }), nil, "401 claim_mismatch header:Agid-JWT-Signature#signed_headers"},

		{"no office in the request", config.ProfileVoucher, bearer, func(s *config.EService) { s.Office = &config.Source{JSON: "/ente/ufficio"} }, "400 missing request#/ente/ufficio"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := service(test.profile)
			if test.change != nil {
				test.change(s)
			}
			r, body := call(test.headers)
			_, err := newChecker(t).Check(t.Context(), r, body, &config.Route{Service: s, Operation: &config.Operation{}, Rest: "/consultazione"})
			got := ""
			if err != nil {
				w := httptest.NewRecorder()
				Refuse(w, err)
				var said struct{ Code, Where, Expected, Found string }
				if json.Unmarshal(w.Body.Bytes(), &said) != nil || said.Expected == "" || said.Found == "" {
					t.Errorf("said %s", w.Body)
				}
				scheme, _, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), " ")
				want := "" // a challenge belongs to 401
				if said.Code == CodeDPoP || w.Code == 401 && strings.HasPrefix(said.Where, "header:DPoP") {
					want = "DPoP"
				} else if w.Code == 401 {
					want = "Bearer"
				}
				if scheme != want {
					t.Errorf("challenge %q, expected %q", scheme, want)
				}
				got = strings.Join([]string{w.Result().Status[:3], said.Code, said.Where}, " ")
				for _, secret := range []string{"op-7f3c", "m.rossi", "RSSMRA80A01H501U", "eyJ"} {
					if strings.Contains(w.Body.String(), secret) {
						t.Errorf("the answer holds %s", secret)
					}
				}
			}
			if got != test.want {
				t.Errorf("%q, expected %q (%v)", got, test.want, err)
			}
		})
	}
}

func TestCall(t *testing.T) {
	s := service(config.ProfileAudit02)
	s.Office, s.Case = &config.Source{JSON: "/ente/codice_ufficio"}, &config.Source{Header: "X-Pratica", Optional: true}
	route := &config.Route{Service: s, Operation: &config.Operation{}, Rest: "/consultazione"}
	checker := newChecker(t)
	r, body := call(func(h http.Header) { audit02(h, voucherClaims(), evidenceClaims()); h.Set(HeaderUser, "m.rossi") })
	c, err := checker.Check(t.Context(), r, body, route)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Private
	if c.Consumer != "c_a944" || c.PurposeID != purpose || c.Actor != ledger.ActorOperator || !c.At.Equal(noon) || c.Assurance.LoA != 3 {
		t.Errorf("call %+v", c)
	}
	if *p.Operator != (ledger.Operator{ID: "op-7f3c", Office: "0042"}) || p.IdentityHeaders[HeaderUser] != "m.rossi" || p.Voucher == "" || p.Evidence == "" || len(p.RequestDigest) != 64 {
		t.Errorf("private part %+v", p)
	}
	if want := ledger.Hex(ledger.Pair("9b2f1f0e-55c4-4c1e-8f6f-7c9d3f0a1b22", digestOf(p.Evidence)["value"].(string), p.RequestDigest)); c.Pair != want {
		t.Errorf("pair %v", c.Pair)
	}
	if want := []string{ledger.FlagCaseMissing}; !slices.Equal(c.Assurance.Flags, want) {
		t.Errorf("flags %v, expected %v", c.Assurance.Flags, want)
	}
	if c.VoucherReused || c.EvidenceReused {
		t.Error("the first use is no second")
	}
	if c, err = checker.Check(t.Context(), r, body, route); err != nil || !c.VoucherReused || !c.EvidenceReused {
		t.Errorf("again: %+v, %v", c, err)
	}

	// A consumer without consumerId is known by its client; a job says so.
	e := evidenceClaims().with("userID", "service:carico-notturno")
	r, body = call(func(h http.Header) {
		audit02(h, voucherClaims().with("consumerId", nil), e)
		h.Set("X-Pratica", "2026/1")
	})
	c, err = checker.Check(t.Context(), r, body, route)
	if err != nil || c.Consumer != "c_f205" || c.Actor != ledger.ActorService || c.Private.Case != "2026/1" {
		t.Errorf("job: %+v, %v", c, err)
	}

	// Nobody is named: no operator is made up.
	r, body = call(func(h http.Header) { h.Set("Authorization", "Bearer "+voucher(voucherClaims())) })
	c, err = checker.Check(t.Context(), r, body, &config.Route{Service: service(config.ProfileVoucher), Operation: &config.Operation{}})
	if err != nil || c.Actor != ledger.ActorService || c.Private.Operator != nil || !slices.Contains(c.Assurance.Flags, ledger.FlagOperatorMissing) {
		t.Errorf("nobody: %+v, %v", c, err)
	}
}

// A proof and a request's signature are good once; a call that was refused doesn't use them up.
func TestOnce(t *testing.T) {
	s := service(config.ProfileVoucher)
	s.Office = &config.Source{Header: "X-Office"}
	route := &config.Route{Service: s, Operation: &config.Operation{}, Rest: "/consultazione"}
	for name, headers := range map[string]func(http.Header){
		"header:DPoP#jti":               func(h http.Header) { bound(h, "a", api+"/consultazione") },
		"header:Agid-JWT-Signature#jti": func(h http.Header) { h.Set("Authorization", "Bearer "+voucher(voucherClaims())); signed(h, nil) },
	} {
		checker := newChecker(t)
		r, body := call(headers)
		if _, err := checker.Check(t.Context(), r, body, route); err == nil {
			t.Fatal("no office, and accepted")
		}
		r.Header.Set("X-Office", "0042")
		if _, err := checker.Check(t.Context(), r, body, route); err != nil {
			t.Errorf("%s: mended: %v", name, err)
		}
		_, err := checker.Check(t.Context(), r, body, route)
		var p *ledger.Problem
		if !errors.As(err, &p) || p.Code != CodeUsed || p.Where != name || statusOf(p) != http.StatusUnauthorized {
			t.Errorf("%s: again: %v", name, err)
		}
	}
}

func TestConsumers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "aderenti.csv")
	load := func(text string, more ...config.Consumer) (*Consumers, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return LoadConsumers(&config.PDND{Tenants: file, Consumers: more})
	}
	const head = "id,name,fiscalCode,ipaCode,attributes\n"
	k, err := load(head+bologna+",Comune di Bologna,,C_A944,\"[{\"\"name\"\":\"\"x\"\"}]\"\n"+inps+",INPS,,inps,[]\n"+purpose+",Altro,,INPS,[]\n"+version+",Privato,,,[]\n",
		config.Consumer{Body: "privato", Tenant: version})
	if err != nil {
		t.Fatal(err)
	}
	for tenant, want := range map[string]string{bologna: "c_a944", inps: inps, version: "privato", pensions: ""} {
		body, p := k.Of(&pdnd.Claims{ConsumerID: tenant})
		if body != want || (p == nil) != (want != "") {
			t.Errorf("%s: %q, %v", tenant, body, p)
		}
	}
	for name, text := range map[string]string{"no file's text": "", "other columns": "a,b\n", "no uuid": head + "x,y,,z,[]\n", "short row": head + bologna + ",y\n"} {
		if _, err := load(text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRecent(t *testing.T) {
	r := newRecent()
	for i := range maxRecent {
		if r.again(fmt.Sprint(i)) {
			t.Fatal("new, and known")
		}
	}
	if !r.again(fmt.Sprint(maxRecent - 1)) {
		t.Error("the last is forgotten")
	}
	if len(r.now)+len(r.old) > maxRecent {
		t.Errorf("%d are kept", len(r.now)+len(r.old))
	}
}

func FuzzConsumers(f *testing.F) {
	f.Add("id,name,fiscalCode,ipaCode,attributes\n" + bologna + ",Comune di Bologna,,c_a944,[]\n")
	f.Fuzz(func(t *testing.T, text string) {
		k := &Consumers{tenants: make(map[string]string), clients: make(map[string]string)}
		if k.read(strings.NewReader(text)) != nil {
			return
		}
		borne := make(map[string]bool)
		for tenant, body := range k.tenants {
			if ledger.CheckID(body) != nil || borne[body] {
				t.Errorf("tenant %s is %q, or another is too", tenant, body)
			}
			borne[body] = true
		}
	})
}

// A call whose voucher and evidence were used before, and whose request is signed anew.
func BenchmarkCheck(b *testing.B) {
	s := service(config.ProfileAudit02)
	route := &config.Route{Service: s, Operation: &config.Operation{}, Rest: "/consultazione"}
	checker := newChecker(b)
	checker.config.Seen = never{}
	r, body := call(func(h http.Header) { audit02(h, voucherClaims(), evidenceClaims()); signed(h, nil) })
	for b.Loop() {
		if _, err := checker.Check(b.Context(), r, body, route); err != nil {
			b.Fatal(err)
		}
	}
}

type never struct{}

func (never) Seen(string, string, time.Time) (bool, error) { return false, nil }
