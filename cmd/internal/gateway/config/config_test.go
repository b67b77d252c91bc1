// SPDX-License-Identifier: EUPL-1.2

package config

import (
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const example = "../../../../deploy/gateway.example.yaml"

func text(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestExample(t *testing.T) {
	c, err := Load(example)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Identity.Key; got != "../../../../deploy/inps.key" {
		t.Errorf("key %q", got)
	}
	s := c.EServices[1]
	if s.Timeout != DefaultTimeout || s.MaxAnswer != DefaultMaxAnswer || s.Operations[0].Response[0].Base64.XPath != "/Flusso/Beneficiario/@CodiceFiscale" {
		t.Errorf("second e-service: %+v", s)
	}
}

func TestRefused(t *testing.T) {
	for _, test := range []struct{ name, from, to, where, code string }{
		{"unknown name", "memory: memory", "memori: memory", "g.yaml:14:memori", "unknown_name"},
		{"name twice", "memory: memory", "memory: memory\nmemory: other", "", "syntax"},
		{"number for a text", "name: registro.example", "name: 12", "g.yaml:19:ledger/name", "bad_value"},
		{"bad word", "profile: AUDIT_REST_02", "profile: AUDIT_REST_03", "g.yaml:52:e_services/0/profile", "bad_value"},
		{"bad uuid", "producer_id: 53b40136", "producer_id: 53B40136", "g.yaml:47:e_services/0/producer_id", "bad_uuid"},
		{"missing", "  policy: ledger-policy.txt", "", "g.yaml:17:ledger/policy", "missing"},
		{"pointer", "json: /beneficiario/codice_fiscale", "json: beneficiario", "request/0/json", "bad_value"},
		{"xpath", "/Flusso/Beneficiario/@CodiceFiscale}", "'/Flusso[1]'}", "response/0/base64/xpath", "bad_value"},
		{"base64 of nothing", "base64: {xpath: /Flusso/Beneficiario/@CodiceFiscale}", "base64: {header: x}", "response/0/base64", "bad_value"},
		{"two places", "{header: X-Pratica, optional", "{header: X-Pratica, query: q, optional", "e_services/0/case", "bad_value"},
		{"variable of no path", "json: /beneficiario/codice_fiscale", "variable: id", "request/0/variable", "bad_value"},
		{"query in an answer", "{json: /pensioni/*/contitolari/*/codice_fiscale", "{query: id", "response/0", "bad_value"},
		{"template", "path: /consultazione", "path: /a/{b}c", "operations/0/path", "bad_value"},
		{"dots", "path: /consultazione", "path: /a/../c", "operations/0/path", "bad_value"},
		{"method", "method: POST", "method: post", "operations/0/method", "bad_value"},
		{"plain http", "upstream: http://127.0.0.1:9002", "upstream: http://10.0.0.1", "upstream", "bad_value"},
		{"public metrics", "metrics: 127.0.0.1:9464", "metrics: 0.0.0.0:9464", "g.yaml:13:metrics", "bad_value"},
		{"same e-service", "id: 07903d52-5949-469d-add0-fb05f4d79a03", "id: 978e5066-7159-42a1-b057-ec7e47525f8b", "e_services/1/id", "repeated"},
		{"anchor", "memory: memory", "memory: &a memory", "memory", "bad_value"},
		{"tag", "memory: memory", "memory: !!str memory", "memory", "bad_value"},
		{"duration", "timeout: 30s", "timeout: 30", "timeout", "bad_value"},
		{"persons and none", "no_persons: true", "no_persons: true\n        may_be_empty: true", "no_persons", "bad_value"},
		{"empty wherever it looks", "json: /elenco_flussi/*/flusso\n            base64: {xpath: /Flusso/Beneficiario/@CodiceFiscale}", "xpath: //CodiceFiscale", "e_services/1/operations/0/may_be_empty", "bad_value"},
		{"empty with optional places", "base64: {xpath: /Flusso/Beneficiario/@CodiceFiscale}", "optional: true", "e_services/1/operations/0/may_be_empty", "bad_value"},
		{"no place", "        response:\n          - json: /elenco_flussi/*/flusso\n            base64: {xpath: /Flusso/Beneficiario/@CodiceFiscale}\n", "", "e_services/1/operations/0", "missing"},
		{"two documents", "memory: memory", "memory: memory\n---\na: b", "", "syntax"},
		{"many in an operator", "case: {header: X-Pratica", "case: {json: /a/*", "e_services/0/case", "bad_value"},
		{"no tenants", "  tenants: aderenti.csv", "", "pdnd/tenants", "missing"},
		{"vital without vital interests", "    # vital: true ", "    vital: true ", "e_services/0/vital", "bad_value"},
		{"no hour", `at: "02:30"`, `at: "2:30"`, "g.yaml:28:check/at", "bad_time"},
		{"no own keys", "  keys: own.jwks.json            #", "  #", "check/keys", "missing"},
		{"no providers", "providers: [inps, c_h501]", "providers: []", "check/providers", "missing"},
		{"a provider twice", "providers: [inps, c_h501]", "providers: [inps, inps]", "check/providers/1", "repeated"},
		{"another scope's id", "# others: [r_emiro]", "others: [R_EMIRO]", "check/others/0", "bad_id"},
		{"calls in flight", "# in_flight: 2m ", "in_flight: -2m ", "check/in_flight", "bad_value"},
		{"no audience", "    audience: [https://waas.comune.example/waas/v1]\n", "", "e_services/1/audience", "missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := strings.Replace(text(t), test.from, test.to, 1)
			if changed == text(t) {
				t.Fatal("the example doesn't have it")
			}
			_, problems := parse("g.yaml", []byte(changed), (*reader).judge)
			for _, p := range problems {
				if p.Code == test.code && strings.HasSuffix(p.Where, test.where) {
					return
				}
			}
			t.Errorf("expected %s at %s, found %v", test.code, test.where, problems)
		})
	}
}

// TestAllRefused: every fault is told at once, whatever kinds of them there are, and each once.
func TestAllRefused(t *testing.T) {
	changed := text(t)
	var want []string
	for _, fault := range []struct{ from, to, where, code string }{
		{"listen: 127.0.0.1:8443", "listen: nowhere", "listen", "bad_value"},
		{"memory: memory", `memory: ""`, "memory", "bad_value"},
		{"name: registro.example", "name: 12", "ledger/name", "bad_value"},
		{`at: "02:30"`, `at: "2:30"`, "check/at", "bad_time"},
		{"metrics: 127", "metric: 127", "metric", "unknown_name"},
		{"producer_id: 53b40136", "producer_id: 53B40136", "e_services/0/producer_id", "bad_uuid"},
		{"timeout: 30s", "timeout: -30s", "e_services/0/timeout", "bad_value"},
		{"case: {header: X-Pratica", `case: {header: ""`, "e_services/0/case/header", "bad_value"},
		{"method: POST", "method: post", "e_services/0/operations/0/method", "bad_value"},
		{"no_persons: true", "no_persons: yes", "e_services/0/operations/1/no_persons", "bad_value"},
		{"base64: {xpath: /Flusso/Beneficiario/@CodiceFiscale}", "base64: 3", "e_services/1/operations/0/response/0/base64", "bad_value"},
	} {
		if !strings.Contains(changed, fault.from) {
			t.Fatalf("the example doesn't have %q", fault.from)
		}
		changed = strings.Replace(changed, fault.from, fault.to, 1)
		want = append(want, fault.code+" "+fault.where)
	}
	_, problems := parse("g.yaml", []byte(changed), (*reader).judge)
	var got []string
	for _, p := range problems {
		got = append(got, p.Code+" "+p.Where[strings.LastIndexByte(p.Where, ':')+1:])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRoute(t *testing.T) {
	data := strings.Replace(text(t), "        path: /flussi", "        path: /flussi/{id}", 1)
	more := strings.SplitAfter(data, "    operations:\n")
	last := more[len(more)-1]
	other := strings.Replace(last, "/flussi/{id}", "/flussi/nuovi", 1)
	c, problems := parse("g.yaml", []byte(data+other), (*reader).judge)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, test := range []struct{ method, path, want string }{
		{"GET", "/waas/v1/flussi/a%20b", "/flussi/{id}"},
		{"GET", "/waas/v1/flussi/nuovi", "/flussi/nuovi"},
		{"POST", "/waas/v1/flussi/nuovi", CodeNoMethod},
		{"GET", "/waas/v1/flussi", CodeNoOperation},
		{"GET", "/waas/v1/flussi/", CodeNoOperation},
		{"GET", "/waas/v1//flussi/x", CodeNoOperation},
		{"GET", "/waas/v1/flussi/a%2Fb", CodeNoOperation},
		{"GET", "/waas/v1/flussi/%2e%2e", CodeNoOperation},
		{"GET", "/waas/v12/flussi/x", CodeNoService},
		{"GET", "/pdnd/rest/waas-consultazione-pensioni/v1/status", "/status"},
	} {
		r := httptest.NewRequest(test.method, test.path, nil)
		route, p := c.Route(r)
		got := ""
		if p != nil {
			got = p.Code
		} else {
			got = route.Operation.Path
		}
		if got != test.want {
			t.Errorf("%s %s: %s, expected %s", test.method, test.path, got, test.want)
		}
	}
	for _, name := range overrides {
		r := httptest.NewRequest("GET", "/waas/v1/flussi/x", nil)
		r.Header.Set(name, "x")
		if _, p := c.Route(r); p == nil || p.Where != "header:"+name {
			t.Errorf("%s: %v", name, p)
		}
	}
	route, _ := c.Route(httptest.NewRequest("GET", "/waas/v1/flussi/a%20b", nil))
	if route.Variables["id"] != "a b" || route.Rest != "/flussi/a%20b" {
		t.Errorf("route %+v", route)
	}
}

// TestLast: the check is due at its hour, by this machine's zone.
func TestLast(t *testing.T) {
	rome := time.FixedZone("CET", 3600)
	c := &Check{hour: 2, minute: 30}
	for _, test := range []struct{ now, want string }{
		{"2026-11-22T02:29:59", "2026-11-21T02:30:00"},
		{"2026-11-22T02:30:00", "2026-11-22T02:30:00"},
		{"2026-11-22T23:00:00", "2026-11-22T02:30:00"},
		{"2027-01-01T00:00:00", "2026-12-31T02:30:00"},
	} {
		now, err := time.ParseInLocation("2006-01-02T15:04:05", test.now, rome)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Last(now).Format("2006-01-02T15:04:05"); got != test.want {
			t.Errorf("at %s due at %s, expected %s", test.now, got, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(text(f))
	f.Add("a: *b")
	f.Add("listen: [1")
	f.Fuzz(func(t *testing.T, data string) {
		c, problems := parse("g.yaml", []byte(data), (*reader).judge)
		if len(problems) == 0 && len(c.EServices) == 0 {
			t.Error("accepted without an e-service")
		}
	})
}
