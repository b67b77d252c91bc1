// SPDX-License-Identifier: EUPL-1.2

package login_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/web/login"
)

const goodSettings = `{"origin":"https://registro.example","keys":"keys.json","operator":{"name":"Gestore"},
"providers":[{"id":"cie","kind":"cie","name":"CIE","issuer":"https://cie.example"},{"id":"spid-uno","kind":"spid","name":"SPID","issuer":"https://op.example/oidc"}]}`

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "login.json")
	read := func(text string) (*login.Settings, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return login.ReadSettings(file)
	}
	s, err := read(goodSettings)
	if err != nil || s.ClientID != "https://registro.example" || s.Keys != filepath.Join(dir, "keys.json") || len(s.Providers) != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	for _, test := range []struct{ from, to, names string }{
		{`"origin":"https://registro.example"`, `"origin":"http://registro.example"`, "origin"},
		{`"origin":"https://registro.example"`, `"origin":"https://registro.example/"`, "origin"},
		{`"origin":"https://registro.example"`, `"origin":"https://a@registro.example"`, "origin"},
		{`"origin":"https://registro.example",`, ``, "origin"},
		{`"keys":"keys.json",`, ``, "keys"},
		{`{"name":"Gestore"}`, `{"name":" "}`, "operator"},
		{`"keys":"keys.json"`, `"keys":"keys.json","notices":{"server":"mail.example:587","tls":"none","from":"a@b.it"}`, "notices: tls"},
		{`{"name":"Gestore"}`, `{"name":"Gestore","privacy":"javascript:alert(1)"}`, "privacy"},
		{`"id":"cie"`, `"id":"CIE"`, "providers/0/id"},
		{`"id":"cie"`, `"id":"spid-uno"`, "providers/1/id"},
		{`"kind":"cie"`, `"kind":"eidas"`, "providers/0/kind"},
		{`"name":"CIE"`, `"name":""`, "providers/0/name"},
		{`"https://cie.example"`, `"https://op.example/oidc"`, "providers/1/issuer"},
		{`"https://cie.example"`, `"http://cie.example"`, "providers/0/issuer"},
		{`"keys"`, `"key":"x","keys"`, "key"},
	} {
		text := strings.Replace(goodSettings, test.from, test.to, 1)
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), test.names) {
			t.Errorf("%s: %v, expected an error that names %s", test.to, err, test.names)
		}
	}
	if _, err := read(goodSettings[:strings.Index(goodSettings, `"providers"`)] + `"providers":[]}`); err == nil {
		t.Error("no provider is enough")
	}
}

// TestKeys: made once, kept when more are made, for their owner alone.
func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	if _, err := login.ReadKeys(file); err == nil {
		t.Error("reading made keys")
	}
	first, err := login.NewKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	second, err := login.NewKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	read, err := login.ReadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	all, before := second.Public().Keys, first.Public().Keys
	if len(before) != 2 || len(all) != 4 || all[2].KeyID != before[0].KeyID || read.Public().Keys[0].KeyID != all[0].KeyID {
		t.Errorf("%d keys after %d", len(all), len(before))
	}
	public, err := json.Marshal(second.Public())
	if err != nil || bytes.Contains(public, []byte(`"d":`)) || bytes.Contains(public, []byte(`"p":`)) {
		t.Errorf("the public keys hold private ones: %v", err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"no JSON": []byte("keys"), "no keys": []byte(`{"keys":[]}`), "public keys": public,
		"another kid": bytes.Replace(good, []byte(all[0].KeyID), []byte("another"), 1),
		"another use": bytes.ReplaceAll(good, []byte(`"use": "enc"`), []byte(`"use": "sig"`)),
	} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := login.ReadKeys(file); err == nil || strings.Contains(err.Error(), `"d"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := login.ReadKeys(file); err == nil {
		t.Error("keys that others can read were read")
	}
}
