// SPDX-License-Identifier: EUPL-1.2

package webauthn

import (
	"bytes"
	"testing"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/passkeytest"
	"github.com/traccia-ledger/traccia/ledger"
)

var place = &consent.Passkey{RP: "registro.example", Origin: "https://registro.example"}

// both asks both checks, which must say the same.
func both(t *testing.T, what string, p *consent.Passkey, c *consent.Credential, challenge ledger.Hash, e *consent.Evidence) bool {
	t.Helper()
	var own error
	if c == nil {
		_, own = consent.CheckRegistration(p, challenge, e)
	} else {
		own = consent.CheckAssertion(p, c, challenge, e)
	}
	other := Check(p, c, challenge, e)
	if (own == nil) != (other == nil) {
		t.Errorf("%s: ours says %v, go-webauthn %v", what, own, other)
	}
	return own == nil
}

func registration(p *passkeytest.Passkey, challenge ledger.Hash) *consent.Evidence {
	data, client := p.Register(challenge)
	return &consent.Evidence{Type: consent.EvidenceRegistration, AuthenticatorData: data, ClientData: client}
}

func assertion(t *testing.T, p *passkeytest.Passkey, challenge ledger.Hash) *consent.Evidence {
	data, client, signature := p.Sign(t, challenge)
	return &consent.Evidence{Type: consent.EvidencePasskey, Credential: p.ID, AuthenticatorData: data, ClientData: client, Signature: signature}
}

// TestAgree holds our check against go-webauthn's, on answers that are good and on each of many that aren't.
func TestAgree(t *testing.T) {
	challenge := ledger.Hash{1, 2, 3}
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			p := passkeytest.New(t, alg, place.RP, place.Origin)
			good := registration(p, challenge)
			if !both(t, "a registration", place, nil, challenge, good) {
				t.Fatal("a good registration is refused")
			}
			c, err := consent.CheckRegistration(place, challenge, good)
			if err != nil {
				t.Fatal(err)
			}
			signed := assertion(t, p, challenge)
			if !both(t, "an assertion", place, c, challenge, signed) {
				t.Fatal("a good assertion is refused")
			}
			for name, at := range map[string]*consent.Passkey{
				"another domain": {RP: "altro.example", Origin: place.Origin},
				"another origin": {RP: place.RP, Origin: "https://www.registro.example"},
			} {
				if both(t, name, at, nil, challenge, good) || both(t, name, at, c, challenge, signed) {
					t.Errorf("%s: accepted", name)
				}
			}
			if both(t, "another challenge", place, nil, ledger.Hash{9}, good) || both(t, "another challenge", place, c, ledger.Hash{9}, signed) {
				t.Error("another challenge: accepted")
			}
			crossed := *signed
			crossed.AuthenticatorData, crossed.ClientData = good.AuthenticatorData, good.ClientData
			if both(t, "a registration as assertion", place, c, challenge, &crossed) {
				t.Error("a registration as assertion: accepted")
			}
			flags(t, p, c, challenge)
			clients(t, p, c, challenge)
			bits(t, c, challenge, signed)
			extensions(t, p, c, challenge)
			lengths(t, c, challenge, good, signed)
		})
	}
}

// flags goes through those that need no further data.
func flags(t *testing.T, p *passkeytest.Passkey, c *consent.Credential, challenge ledger.Hash) {
	for f := range 0x40 {
		p.Flags = byte(f)
		if f&0x18 == 0x10 {
			// Backed up, but not eligible: go-webauthn looks at that elsewhere.
			if consent.CheckAssertion(place, c, challenge, assertion(t, p, challenge)) == nil {
				t.Errorf("flags %#x: accepted", f)
			}
			continue
		}
		want := f&0x05 == 0x05
		if both(t, "flags", place, c, challenge, assertion(t, p, challenge)) != want {
			t.Errorf("assertion with flags %#x: accepted is %v", f, !want)
		}
		if both(t, "flags", place, nil, challenge, registration(p, challenge)) != want {
			t.Errorf("registration with flags %#x: accepted is %v", f, !want)
		}
	}
	p.Flags = 0x05
}

// clients signs other client data.
func clients(t *testing.T, p *passkeytest.Passkey, c *consent.Credential, challenge ledger.Hash) {
	data, client, _ := p.Sign(t, challenge)
	for _, change := range []struct {
		from, to string
		ok       bool
	}{
		{`"crossOrigin":false`, `"crossOrigin":true`, false},
		{`,"crossOrigin":false`, ``, true},
		{`"crossOrigin":false`, `"crossOrigin":false,"other_keys_can_be_added_here":"do not compare clientDataJSON against a template"`, true},
		{`webauthn.get`, `webauthn.create`, false},
		{`webauthn.get`, `payment.get`, false},
		{`https://`, `http://`, false},
		{`registro.example`, `registro.example:444`, false},
		{`"crossOrigin":false`, `"crossOrigin":false,"topOrigin":"https://altro.example"`, false},
	} {
		other := bytes.Replace(client, []byte(change.from), []byte(change.to), 1)
		e := &consent.Evidence{Credential: p.ID, AuthenticatorData: data, ClientData: other, Signature: p.SignOver(t, data, other)}
		if both(t, change.to, place, c, challenge, e) != change.ok {
			t.Errorf("client data with %s: accepted is %v", change.to, !change.ok)
		}
	}
	// Ours alone refuses what another reader could take otherwise.
	twice := bytes.Replace(client, []byte(`"crossOrigin":false`), []byte(`"origin":"https://registro.example"`), 1)
	e := &consent.Evidence{Credential: p.ID, AuthenticatorData: data, ClientData: twice, Signature: p.SignOver(t, data, twice)}
	if consent.CheckAssertion(place, c, challenge, e) == nil {
		t.Error("a name twice in the client data: accepted")
	}
}

// bits flips each of an assertion.
func bits(t *testing.T, c *consent.Credential, challenge ledger.Hash, good *consent.Evidence) {
	for _, part := range []func(*consent.Evidence) *ledger.Base64{
		func(e *consent.Evidence) *ledger.Base64 { return &e.AuthenticatorData },
		func(e *consent.Evidence) *ledger.Base64 { return &e.Signature },
		func(e *consent.Evidence) *ledger.Base64 { return &e.ClientData },
	} {
		n := len(*part(good))
		for bit := range 8 * n {
			bad := *good
			data := bytes.Clone(*part(good))
			data[bit/8] ^= 1 << (bit % 8)
			*part(&bad) = data
			if both(t, "a flipped bit", place, c, challenge, &bad) {
				t.Errorf("bit %d of %d bytes flipped: accepted", bit, n)
			}
		}
	}
	bad := *good
	bad.Credential = append(bytes.Clone(good.Credential), 0)
	if consent.CheckAssertion(place, c, challenge, &bad) == nil {
		t.Error("another credential id: accepted")
	}
}

// extensions gives the data some.
func extensions(t *testing.T, p *passkeytest.Passkey, c *consent.Credential, challenge ledger.Hash) {
	for _, test := range []struct {
		cbor string
		ok   bool
	}{
		{"\xa1\x6bcredProtect\x02", true},
		{"\xa1\x69hmac-test\xa2\x01\x42ab\x02\x81\xf5", true},
		{"\xa0", true},
		{"", false},
		{"\xa1\x6bcredProtect", false},
		{"\xa1\x6bcredProtect\x02\x00", false},
	} {
		p.Flags = 0x85
		e := registration(p, challenge)
		e.AuthenticatorData = append(e.AuthenticatorData, test.cbor...)
		if both(t, "extensions", place, nil, challenge, e) != test.ok {
			t.Errorf("a registration with extensions %q: accepted is %v", test.cbor, !test.ok)
		}
		data, client, _ := p.Sign(t, challenge)
		data = append(data, test.cbor...)
		e = &consent.Evidence{Credential: p.ID, AuthenticatorData: data, ClientData: client, Signature: p.SignOver(t, data, client)}
		if both(t, "extensions", place, c, challenge, e) != test.ok {
			t.Errorf("an assertion with extensions %q: accepted is %v", test.cbor, !test.ok)
		}
	}
	p.Flags = 0x05
}

// lengths cuts and lengthens.
func lengths(t *testing.T, c *consent.Credential, challenge ledger.Hash, registered, signed *consent.Evidence) {
	for n := range len(registered.AuthenticatorData) {
		bad := *registered
		bad.AuthenticatorData = registered.AuthenticatorData[:n]
		if both(t, "cut", place, nil, challenge, &bad) {
			t.Errorf("a registration cut to %d bytes: accepted", n)
		}
	}
	for _, good := range []*consent.Evidence{registered, signed} {
		bad := *good
		bad.AuthenticatorData = append(bytes.Clone(good.AuthenticatorData), 0)
		credential := c
		if good == registered {
			credential = nil
		}
		if both(t, "longer", place, credential, challenge, &bad) {
			t.Error("a byte behind the authenticator data: accepted")
		}
	}
}
