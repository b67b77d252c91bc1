// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

func TestReadyFile(t *testing.T) {
	_, dir := newData(t)
	p := serve(t, "serve", "--data", dir)
	r := p.ready
	if !strings.HasPrefix(r.URL, "http://127.0.0.1:") || r.Data != dir || r.LogKeyFile != filepath.Join(dir, "log.vkey") {
		t.Errorf("the ready file says %+v", r)
	}
	for _, url := range []string{r.URL + "/status", r.URL + "/openapi.yaml", r.MetricsURL, strings.TrimSuffix(r.MetricsURL, "/metrics") + "/ready"} {
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s", url, response.Status)
		}
	}
	p.stop()
}

// TestRefusedStarts: what can't be started says why, and ends with the code of
// the contract.
func TestRefusedStarts(t *testing.T) {
	_, dir := newData(t)
	p := serve(t, "serve", "--data", dir)
	for _, c := range []struct {
		name string
		args []string
		code int
		hint string
	}{
		{"a second process", []string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, 3, "stop the process"},
		{"no ledger", []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}, 3, "ledgerd init"},
		{"plain HTTP for everyone", []string{"serve", "--data", dir, "--listen", "0.0.0.0:0"}, 2, "--tls-cert"},
		{"plain HTTP on every address", []string{"serve", "--data", dir, "--listen", ":0"}, 2, "--tls-cert"},
		{"plain HTTP by a name", []string{"serve", "--data", dir, "--listen", "ledger.example:80"}, 2, "--tls-cert"},
		{"metrics for everyone", []string{"serve", "--data", dir, "--metrics-listen", "0.0.0.0:0"}, 2, "--metrics-listen"},
		{"half of TLS", []string{"serve", "--data", dir, "--tls-cert", "x"}, 2, "go together"},
		{"no address", []string{"serve", "--data", dir, "--listen", "8080"}, 2, "host:port"},
		{"an unknown flag", []string{"serve", "--date", dir}, 2, "--help"},
		{"an unknown command", []string{"server"}, 2, "serve"},
		{"a second ledger", []string{"init", "--data", dir, "--name", "altro.example"}, 3, ""},
		{"a ledger's name with a space", []string{"init", "--data", filepath.Join(t.TempDir(), "x"), "--name", "a b"}, 2, "--name"},
		{"a sample over a real ledger", []string{"dev", "--data", dir}, 2, "another --data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused := ledgerd(t, c.args...)
			if refused.code != c.code || !strings.Contains(refused.stderr.String(), c.hint) {
				t.Errorf("exit %d, expected %d and a word of %q:\n%s", refused.code, c.code, c.hint, refused.stderr.String())
			}
			if refused.stdout.String() != "" {
				t.Errorf("standard output: %s", refused.stdout.String())
			}
		})
	}
	response, err := http.Get(p.ready.URL + "/status")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("the first process no longer serves: %v", err)
	}
	p.stop()
}

func TestServeTLS(t *testing.T) {
	w, dir := newData(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: certificate}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := serve(t, "serve", "--data", dir, "--tls-cert", certFile, "--tls-key", keyFile)
	if !strings.HasPrefix(p.ready.URL, "https://127.0.0.1:") {
		t.Fatalf("it serves on %s", p.ready.URL)
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	response, err := client.Post(p.ready.URL+"/v1/access-receipts", "application/json", bytes.NewReader(w.Submission(t, 1)))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Errorf("a submission over TLS: %s", response.Status)
	}
	if response, err := http.Get(strings.Replace(p.ready.URL, "https://", "http://", 1) + "/status"); err == nil && response.StatusCode == http.StatusOK {
		t.Error("it answers in the clear too")
	}
	p.stop()
	// A certificate that can't be used is a failure to start, at once.
	if err := os.WriteFile(certFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := ledgerd(t, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--tls-cert", certFile, "--tls-key", keyFile); p.code != 3 {
		t.Errorf("a broken certificate: exit %d\n%s", p.code, p.stderr.String())
	}
}

// TestBodyCommands registers bodies and keys, on a ledger that is served and
// on one that isn't, and after a process that was killed left its socket.
func TestBodyCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if p := ledgerd(t, "init", "--data", dir, "--name", "registro.example", "--json"); p.code != 0 || p.answer()["name"] != "registro.example" {
		t.Fatalf("init: exit %d\n%s", p.code, p.stderr.String())
	}
	keys := func(id string, generation int) (file, kid string) {
		key := nodetest.Key(id, generation)
		set, err := jws.FormatKeys([]jws.Key{key})
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(t.TempDir(), id+".jwks")
		if err := os.WriteFile(file, set, 0o644); err != nil {
			t.Fatal(err)
		}
		return file, key.Kid
	}
	run := func(args ...string) map[string]any {
		t.Helper()
		p := ledgerd(t, append([]string{"body"}, append(args, "--data", dir, "--json")...)...)
		answer := p.answer()
		answer["exit"] = p.code
		return answer
	}
	for i, how := range []string{"alone", "served", "left"} {
		id := "c_" + how
		var p *process
		switch how {
		case "served":
			p = serve(t, "serve", "--data", dir)
		case "left":
			p = serve(t, "serve", "--data", dir)
			p.signal(syscall.SIGKILL)
			p.finish()
			if _, err := os.Stat(filepath.Join(dir, adminSocket)); err != nil {
				t.Fatalf("the killed process left no socket: %v", err)
			}
		}
		first, kid := keys(id, 0)
		second, kid2 := keys(id, 1)
		added := run("add", "--id", id, "--name", "Comune "+how, "--jwks", first)
		if added["exit"] != 0 || added["body"] != id || added["kid"] != kid || added["record_index"].(float64) < 1 {
			t.Errorf("%s: add: %v", how, added)
		}
		if refused := run("key-add", "--id", id, "--jwks", second); refused["exit"] != 1 || problemCode(refused) != "proof_missing" {
			t.Errorf("%s: a further key on nobody's word: %v", how, refused)
		}
		if more := run("key-add", "--id", id, "--jwks", second, "--operator-word"); more["exit"] != 0 || more["kid"] != kid2 {
			t.Errorf("%s: key-add: %v", how, more)
		}
		if gone := run("key-revoke", "--id", id, "--kid", kid, "--reason", "rotazione"); gone["exit"] != 0 || gone["kid"] != kid {
			t.Errorf("%s: key-revoke: %v", how, gone)
		}
		if refused := run("key-revoke", "--id", id, "--kid", kid); refused["exit"] != 1 || problemCode(refused) != "unknown_key" {
			t.Errorf("%s: a key revoked twice: %v", how, refused)
		}
		if bare := run("add", "--id", "senza_"+how); bare["exit"] != 0 || bare["kid"] != nil {
			t.Errorf("%s: add without a key: %v", how, bare)
		}
		if refused := run("add", "--id", "NON_VALIDO"); refused["exit"] != 2 {
			t.Errorf("%s: an id that isn't one: %v", how, refused)
		}
		list := run("list")
		listed := 0
		for _, body := range list["bodies"].([]any) {
			if strings.HasPrefix(body.(map[string]any)["id"].(string), "c_") {
				listed++
			}
		}
		if list["exit"] != 0 || listed != i+1 {
			t.Errorf("%s: list: %v", how, list)
		}
		one := run("list", "--id", id)
		if bodies, _ := one["bodies"].([]any); one["exit"] != 0 || len(bodies) != 1 || bodies[0].(map[string]any)["id"] != id {
			t.Errorf("%s: list of one: %v", how, one)
		}
		if p != nil && how == "served" {
			p.stop()
		}
	}
	// Each is a record of the log, in its order.
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var last uint64
	for _, id := range []string{"c_alone", "c_served", "c_left"} {
		for _, k := range n.Registry().Keys(id) {
			if k.Index <= last || k.Basis != registry.BasisOperator || k.Revoked != (k.Kid == nodetest.Key(id, 0).Kid) {
				t.Errorf("%s has the key %+v after index %d", id, k, last)
			}
			last = k.Index
		}
	}
}

func problemCode(answer map[string]any) any {
	problems, _ := answer["problems"].([]any)
	if len(problems) == 0 {
		return nil
	}
	return problems[0].(map[string]any)["code"]
}
