// SPDX-License-Identifier: EUPL-1.2

package consent_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

var asker = ed25519.NewKeyFromSeed([]byte("the key of a body that asks 0123"))

func sampleRequest() *consent.Request {
	return &consent.Request{
		Ledger: name, Body: "c_a944", ID: "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11", IssuedAt: begin.Unix(), Expires: begin.AddDate(0, 3, 0).Unix(),
		LegalBasis: []string{consent.BasisConsent}, Recipients: []string{"c_a944", "kind:Comuni"}, Purposes: []string{"SocialWelfareProvision"}, Categories: []string{"isee"}, Days: 365,
	}
}

// TestRequests: what is signed is read again, what isn't a request is refused where it is wrong, and no change of a byte is the body's.
func TestRequests(t *testing.T) {
	want := sampleRequest()
	compact, err := consent.SignRequest(want, "k1", asker)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jws.NewKey("k1", asker.Public())
	if err != nil {
		t.Fatal(err)
	}
	got, err := consent.ParseRequest(compact)
	if err != nil || got.JWS.Verify(key) != nil {
		t.Fatalf("%v", err)
	}
	if diff := cmp.Diff(*want, got.Request); diff != "" {
		t.Error(diff)
	}
	if v := got.Validity(begin); v.Until.Sub(v.From) != 365*24*time.Hour {
		t.Errorf("valid for %s", v.Until.Sub(v.From))
	}
	for i := range compact {
		bad := compact[:i] + string(rune(compact[i])^1) + compact[i+1:]
		if u, err := consent.ParseRequest(bad); err == nil && u.JWS.Verify(key) == nil {
			t.Errorf("character %d changed: accepted", i)
		}
	}
	for where, change := range map[string]func(*consent.Request){
		"request#aud":           func(r *consent.Request) { r.Ledger = "no name" },
		"request#jti":           func(r *consent.Request) { r.ID = "1" },
		"request#exp":           func(r *consent.Request) { r.Expires = r.IssuedAt },
		"request#days":          func(r *consent.Request) { r.Days = consent.MaxRequestDays + 1 },
		"request#iss":           func(r *consent.Request) { r.Body = "" },
		"request#legal_basis/0": func(r *consent.Request) { r.LegalBasis = []string{"eu-gdpr:A6-1-c"} },
		"request#purposes":      func(r *consent.Request) { r.Purposes = nil },
		"request": func(r *consent.Request) {
			for i := range 16 {
				r.Purposes = append(r.Purposes, strings.Repeat(string(rune('a'+i)), 200))
			}
			r.Purposes = r.Purposes[:16]
		},
	} {
		r := sampleRequest()
		change(r)
		if _, err := consent.SignRequest(r, "k1", asker); place(err) != where {
			t.Errorf("%s: %v", where, err)
		}
	}
	typ, err := jws.Sign("traccia-receipt+jwt", got.JWS.Payload, "k1", asker)
	if err != nil {
		t.Fatal(err)
	}
	spaced, err := jws.Sign(consent.RequestType, append([]byte(" "), got.JWS.Payload...), "k1", asker)
	if err != nil {
		t.Fatal(err)
	}
	more, err := jws.Sign(consent.RequestType, []byte(strings.Replace(string(got.JWS.Payload), `{`, `{"text":"Dici di sì",`, 1)), "k1", asker)
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string]string{"another type": typ, "a space more": spaced, "a text of the body's own": more, "nothing": "", "no token": "a.b", "too long": strings.Repeat("a", consent.MaxRequest+1)} {
		if _, err := consent.ParseRequest(bad); place(err) == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// place is where a problem is.
func place(err error) string {
	var p *ledger.Problem
	if !errors.As(err, &p) {
		return ""
	}
	return p.Where
}

func FuzzParseRequest(f *testing.F) {
	compact, err := consent.SignRequest(sampleRequest(), "k1", asker)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(compact))
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, compact := range []string{string(data), resigned(data)} {
			u, err := consent.ParseRequest(compact)
			if err != nil {
				continue
			}
			again, err := consent.SignRequest(&u.Request, u.JWS.Header.Kid, asker)
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := consent.ParseRequest(again); err != nil || string(twice.JWS.Payload) != string(u.JWS.Payload) {
				t.Fatalf("%v", err)
			}
		}
	})
}

// resigned is a token of any payload.
func resigned(payload []byte) string {
	compact, err := jws.Sign(consent.RequestType, payload, "k1", asker)
	if err != nil {
		return ""
	}
	return compact
}
