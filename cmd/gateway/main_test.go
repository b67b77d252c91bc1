// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// sampleTokens were made with throw-away keys for 1 January 2026, 10 o'clock.
type sampleTokens struct {
	Voucher   string `json:"voucher"`
	Evidence  string `json:"evidence"`
	PDNDKey   string `json:"pdnd_jwk"`
	ClientKey string `json:"client_jwk"`
}

const inTheirLife = "2026-01-01T10:05:00Z"

// site is a directory with the example's configuration and all files that it names.
type site struct {
	t      *testing.T
	dir    string
	tokens sampleTokens
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	data, err := os.ReadFile("../../ledger/pdnd/testdata/sample-tokens.json")
	if err == nil {
		err = json.Unmarshal(data, &s.tokens)
	}
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../../deploy/gateway.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.write("gateway.yaml", strings.Replace(string(example), "https://interop.pagopa.it/.well-known/jwks.json", "pdnd.jwks.json", 1))
	s.replace("https://ledger.example", "http://127.0.0.1:1") // nobody is there
	s.write("pdnd.jwks.json", `{"keys":[`+s.tokens.PDNDKey+`]}`)
	s.write("clients.jwks.json", `{"keys":[`+s.tokens.ClientKey+`]}`)
	s.write("aderenti.csv", "id,name,fiscalCode,ipaCode,attributes\n2d6de81f-961a-4e12-8617-cce887ed7f86,Comune di Bologna,,c_a944,[]\n")
	policy, err := checkpoint.FormatPolicy(&checkpoint.Policy{
		Logs:      []checkpoint.Log{{VKey: vkey("registro.example/2026", 1)}},
		Witnesses: []checkpoint.Witness{{Name: "w", VKey: vkey("witness.example", 4)}}, K: 1,
		Monitors: []checkpoint.Witness{{Name: "m", VKey: vkey("monitor.example", 4)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.write("ledger-policy.txt", string(policy))
	s.key("inps")
	return s
}

func vkey(name string, alg byte) string {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	key := append([]byte{alg}, public...)
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(key))
}

func (s *site) key(body string) {
	k, err := agencykey.New(body, jws.ES256)
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := agencykey.Format(k, "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("inps.key", string(data))
	set, err := jws.FormatKeys([]jws.Key{k.Key})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("own.jwks.json", string(set))
}

func (s *site) write(name, text string) {
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) replace(from, to string) {
	data, err := os.ReadFile(filepath.Join(s.dir, "gateway.yaml"))
	if err != nil || !strings.Contains(string(data), from) {
		s.t.Fatal("the configuration doesn't have it", err)
	}
	s.write("gateway.yaml", strings.Replace(string(data), from, to, 1))
}

// check runs gateway check on the site's configuration.
func (s *site) check(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	for i, arg := range args {
		if strings.HasSuffix(arg, ".http") {
			args[i] = filepath.Join(s.dir, arg)
		}
	}
	code = cli.Run(s.t.Context(), newRoot(), append([]string{"check", filepath.Join(s.dir, "gateway.yaml")}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestExampleIsGood(t *testing.T) {
	s := newSite(t)
	code, out, errs := s.check()
	if code != cli.ExitDone {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	for _, want := range []string{
		"receipts are signed by inps", "1 tenants",
		"https://waas.comune.example/waas/v1 is answered by http://127.0.0.1:9002",
		"needs a TrackingEvidence whose digest the voucher names (AUDIT_REST_02)",
		"an event for each person at /elenco_flussi/*/flusso base64 /Flusso/Beneficiario/@CodiceFiscale of the answer",
		"an empty list and an error about nobody are let through",
		"tells of nobody: nothing is recorded",
		"note: no tls", "note: whether the ledger has registered the key couldn't be looked at: couldn't reach the ledger",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("doesn't say %q:\n%s", want, out)
		}
	}
	code, out, _ = s.check("--json", "--offline")
	var a checkAnswer
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != cli.ExitDone || a.Schema != "traccia/gateway-check/1" || len(a.EServices) != 2 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
}

func TestUnusable(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(s *site)
		where  string
	}{
		{"a fault of form", func(s *site) { s.replace("profile: VOUCHER_ONLY", "profile: NONE") }, "gateway.yaml:85:e_services/1/profile"},
		{"no key", func(s *site) { os.Remove(filepath.Join(s.dir, "inps.key")) }, "gateway.yaml:24:identity/key"},
		{"another's key", func(s *site) { s.key("c_a944") }, "gateway.yaml:24:identity/key"},
		{"no policy", func(s *site) { s.write("ledger-policy.txt", "log x") }, "gateway.yaml:20:ledger/policy"},
		{"a policy without monitors", func(s *site) {
			policy, err := checkpoint.FormatPolicy(&checkpoint.Policy{Logs: []checkpoint.Log{{VKey: vkey("registro.example/2026", 1)}}, Witnesses: []checkpoint.Witness{{Name: "w", VKey: vkey("witness.example", 4)}}, K: 1})
			if err != nil {
				s.t.Fatal(err)
			}
			s.write("ledger-policy.txt", string(policy))
		}, "gateway.yaml:20:ledger/policy"},
		{"no key set", func(s *site) { s.write("clients.jwks.json", "{}") }, "gateway.yaml:37:pdnd/client_keys"},
		{"no list of bodies", func(s *site) { s.write("aderenti.csv", "x") }, "gateway.yaml:38:pdnd/tenants"},
		{"own keys that lack its own", func(s *site) {
			set, err := os.ReadFile(filepath.Join(s.dir, "own.jwks.json"))
			if err != nil {
				s.t.Fatal(err)
			}
			s.key("inps")
			s.write("own.jwks.json", string(set))
		}, "gateway.yaml:29:check/keys"},
		{"no certificate", func(s *site) { s.replace("metrics:", "tls: {certificate: a.pem, key: b.pem}\nmetrics:") }, "gateway.yaml:13:tls"},
		{"traces in no directory", func(s *site) { s.replace("# traces: traces.log", "traces: none/traces.log") }, "gateway.yaml:16:traces"},
		{"traces are a directory", func(s *site) { s.replace("# traces: traces.log", "traces: .") }, "gateway.yaml:16:traces"},
		{"memory is a file", func(s *site) { s.write("memory", "x") }, "gateway.yaml:14:memory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			test.change(s)
			code, out, _ := s.check("--json")
			var a checkAnswer
			if err := json.Unmarshal([]byte(out), &a); err != nil || code != cli.ExitNotProven {
				t.Fatalf("exit %d, %v: %s", code, err, out)
			}
			if len(a.Problems) != 1 || a.Problems[0].Where != test.where {
				t.Errorf("expected one problem at %s, found %v", test.where, a.Problems)
			}
			_, text, _ := s.check()
			said := strings.Contains(text, "receipts are signed by inps (kid ") && !strings.Contains(text, "(kid )")
			if known := a.Kid != "" && !strings.HasSuffix(test.where, "identity/key"); said != known || strings.Contains(text, "0 tenants and 0 clients") {
				t.Errorf("what is known:\n%s", text)
			}
		})
	}
	s := newSite(t)
	os.Remove(filepath.Join(s.dir, "gateway.yaml"))
	if code, _, _ := s.check(); code != cli.ExitCouldNotCheck {
		t.Errorf("no file: exit %d", code)
	}
	if code, _, _ := newSite(t).check("--at", inTheirLife); code != cli.ExitUsage {
		t.Errorf("--at without --call: exit %d", code)
	}
}

// TestOpenSession: who opens a session is told whether anything can be released in it.
func TestOpenSession(t *testing.T) {
	s := newSite(t)
	if err := os.Mkdir(filepath.Join(s.dir, "memory"), 0o700); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(s.dir, "memory", "gateway.sock"))
	if err != nil {
		t.Fatal(err)
	}
	var state service.State
	answer := func(what any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(what) }
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", answer(&state))
	mux.HandleFunc("POST /sessions", answer(memory.Session{Person: "Anna Verdi", Until: time.Now().Add(time.Hour)}))
	mux.HandleFunc("POST /sessions/close", answer(memory.Session{Person: "Anna Verdi", Closed: time.Now()}))
	server := &http.Server{Handler: mux}
	defer server.Close()
	go server.Serve(socket)
	for _, test := range []struct {
		command, policies string
		warns             bool
	}{{"open", "", true}, {"renew", "", true}, {"open", "ab12", false}, {"close", "", false}} {
		state.Policies = test.policies
		args := []string{"break-glass", test.command, filepath.Join(s.dir, "gateway.yaml")}
		if test.command != "close" {
			args = append(args, "--person", "Anna Verdi", "--reason", "prova")
		}
		var out, errs bytes.Buffer
		code := cli.Run(t.Context(), newRoot(), args, &out, &errs)
		if code != cli.ExitDone || strings.Contains(out.String(), "no policies are known") != test.warns {
			t.Errorf("%s with policies %q: exit %d: %s%s", test.command, test.policies, code, out.String(), errs.String())
		}
	}
}

// A recorded call, with the tokens that the reference shows.
func TestCall(t *testing.T) {
	s := newSite(t)
	request := func(body string) string {
		return "POST /pdnd/rest/waas-consultazione-pensioni/v1/consultazione HTTP/1.1\r\nHost: api.inps.example\r\nContent-Type: application/json\r\n" +
			"Authorization: Bearer " + s.tokens.Voucher + "\r\nAgid-JWT-TrackingEvidence: " + s.tokens.Evidence + "\r\n" +
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	const asked = `{"beneficiario":{"codice_fiscale":"RSSMRA80A01H501U"}}`
	for _, test := range []struct {
		name, call, answer, at string
		code                   int
		want                   string // in the output
	}{
		{"one person", request(asked), "", inTheirLife, cli.ExitDone, `"consumer":"c_a944","profile":"AUDIT_REST_02","flags":["case_missing"],"persons":1}`},
		{"another in the answer", request(asked), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + `{"pensioni":[{"contitolari":[{"codice_fiscale":"RSSMRA80A01H50MM"}]}]}`, inTheirLife, cli.ExitDone, `"persons":2}`},
		{"an answer with a wrong code", request(asked), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + `{"pensioni":[{"contitolari":[{"codice_fiscale":"RSSMRA80A01H50M"}]}]}`, inTheirLife, cli.ExitNotProven, `"code":"bad_subject","where":"answer#/pensioni/*/contitolari/*/codice_fiscale"`},
		{"too late", request(asked), "", "", cli.ExitNotProven, `"code":"expired","where":"voucher#exp"`},
		{"nobody", request(`{}`), "", inTheirLife, cli.ExitNotProven, `"code":"no_subject","where":"request#/beneficiario/codice_fiscale"`},
		{"another path", strings.Replace(request(asked), "consultazione HTTP", "altro HTTP", 1), "", inTheirLife, cli.ExitNotProven, `"code":"no_operation"`},
		{"no HTTP", "x", "", inTheirLife, cli.ExitCouldNotCheck, `"found":"couldn't read the call: expected HTTP/1.1 as it went over the wire"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.write("call.http", test.call)
			args := []string{"--json", "--call", "call.http"}
			if test.answer != "" {
				s.write("answer.http", test.answer)
				args = append(args, "--answer", "answer.http")
			}
			if test.at != "" {
				args = append(args, "--at", test.at)
			}
			code, out, errs := s.check(args...)
			if code != test.code || !strings.Contains(out, test.want) {
				t.Errorf("exit %d, expected %d and %s: %s", code, test.code, test.want, out)
			}
			if strings.Contains(out+errs, "RSSMRA") || strings.Contains(out+errs, "op-7f3c") || strings.Contains(out+errs, "eyJ") {
				t.Errorf("names a person or a token: %s%s", out, errs)
			}
		})
	}
	// An answer that leaves without a record is looked through.
	s.replace("json: /beneficiario/codice_fiscale", "{json: /beneficiario/codice_fiscale, optional: true}")
	s.replace("codice_fiscale, optional: true}\n        may_be", "codice_fiscale}\n        may_be")
	s.write("call.http", request(`{}`))
	s.write("answer.http", "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\nnon trovato: RSSMRA80A01H501U")
	code, out, _ := s.check("--json", "--call", "call.http", "--answer", "answer.http", "--at", inTheirLife)
	if code != cli.ExitNotProven || !strings.Contains(out, `"code":"names_person","where":"answer"`) {
		t.Errorf("a code where nobody is to be: exit %d: %s", code, out)
	}
}
