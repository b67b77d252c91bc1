// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServeLogin: a ledger with a login serves pages and API on one address; one without it has the public pages alone.
func TestServeLogin(t *testing.T) {
	_, dir := newData(t)
	file := filepath.Join(t.TempDir(), "login.json")
	settings := `{"origin":"https://registro.example","keys":"keys.json","operator":{"name":"Ente gestore"},
"providers":[{"id":"cie","kind":"cie","name":"CIE","issuer":"https://127.0.0.1:1"}]}`
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := ledgerd(t, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--login", file); p.code != 3 || !strings.Contains(p.stderr.String(), "keys.json") {
		t.Errorf("without keys: exit %d\n%s", p.code, p.stderr.String())
	}
	made := ledgerd(t, "login", "key", file, "--json").answer()
	if kids := made["kids"].([]any); len(kids) != 2 || made["schema"] != "traccia/ledgerd-login-key/1" {
		t.Errorf("%v", made)
	}
	told := ledgerd(t, "login", "metadata", file, "--json").answer()["metadata"].(map[string]any)
	if told["client_id"] != "https://registro.example" || told["redirect_uris"].([]any)[0] != "https://registro.example/entra/cie" {
		t.Errorf("%v", told)
	}
	private, public := filepath.Join(t.TempDir(), "messages.key"), filepath.Join(t.TempDir(), "messages.pub")
	if p := ledgerd(t, "login", "messages-key", "--private", private, "--public", public, "--json"); p.code != 0 || p.answer()["public_file"] != public {
		t.Errorf("messages-key: exit %d\n%s", p.code, p.stderr.String())
	}
	if p := ledgerd(t, "login", "messages", public, "--key", private); p.code == 0 || !strings.Contains(p.stderr.String(), "line 1") {
		t.Errorf("messages of another file: exit %d\n%s", p.code, p.stderr.String())
	}
	settings = fmt.Sprintf(`{"messages":{"folder":%q,"key":%q},`, filepath.Join(dir, "logins"), public) + settings[1:]
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, "serve", "--data", dir, "--login", file)
	get := func(path string) (int, string) { return p.get(t, path) }
	for path, want := range map[string]string{
		"/it": "Ente gestore", "/it/entra": "Entra con CIE", "/en/privacy": "for 24 months", "/entra/jwks.json": made["kids"].([]any)[0].(string), "/status": "published_size", "/openapi.yaml": "openapi:",
	} {
		if status, body := get(path); status != http.StatusOK || !strings.Contains(body, want) || strings.Contains(body, `"d":`) {
			t.Errorf("%s: %d\n%.500s", path, status, body)
		}
	}
	var same map[string]any
	if _, body := get("/entra/metadata.json"); json.Unmarshal([]byte(body), &same) != nil || same["client_id"] != told["client_id"] {
		t.Errorf("the served metadata are %s", body)
	}
	if status, body := get("/it/entra/cie"); status != http.StatusBadGateway || !strings.Contains(body, "non risponde") {
		t.Errorf("a provider that doesn't answer: %d", status)
	}
	// Nobody enters as somebody else where it isn't the sample.
	response, err := http.PostForm(p.ready.URL+"/it/entra", url.Values{"con": {"prova"}, "chi": {"RSSMRA80A01H501U"}})
	if err != nil || response.StatusCode != http.StatusBadRequest || len(response.Cookies()) > 0 {
		t.Errorf("the stand-in: %v, %v", response, err)
	}
	p.stop()
	p = serve(t, "serve", "--data", dir)
	for path, want := range map[string]int{"/it": http.StatusOK, "/en/registro?formato=json": http.StatusOK, "/it/accessi": http.StatusNotFound, "/it/entra": http.StatusNotFound, "/entra/jwks.json": http.StatusNotFound, "/status": http.StatusOK} {
		if status, body := get(path); status != want || path == "/it" && !strings.Contains(body, "Il registro in pubblico") {
			t.Errorf("without a login, %s: %d", path, status)
		}
	}
	p.stop()
}
