// SPDX-License-Identifier: EUPL-1.2

package subjects

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
)

const (
	rossi    = "RSSMRA80A01H501U"
	omocodia = "RSSMRA80A01H50MM"
	company  = "80078750587"
)

// flow is one of GET /flussi as INPS pulls it from municipalities: XML in base64, one beneficiary.
func flow(beneficiary string) string {
	return base64.StdEncoding.EncodeToString([]byte(`<Flusso xmlns="http://inps.it/Casellario" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<IdentificazioneFlusso Nome="H501.PS.20210520.0000002"><Ente Codice="H501" CFOperatore="CCCDDD25A42H199X"/></IdentificazioneFlusso>
` + beneficiary + `</Flusso>`))
}

func person(code string) string { return `<Beneficiario CodiceFiscale="` + code + `"></Beneficiario>` }

func flows(list ...string) string {
	var b strings.Builder
	for i, f := range list {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"codice_ente":"H501","tipo":"PS_PSA_SINA","flusso":%q}`, f)
	}
	return `{"elenco_flussi":[` + b.String() + `]}`
}

var flussi = config.Operation{Method: "GET", Path: "/flussi", MayBeEmpty: true, Response: []config.Source{
	{JSON: "/elenco_flussi/*/flusso", Base64: &config.Source{XPath: "/Flusso/Beneficiario/@CodiceFiscale"}},
}}

var family = config.Operation{Method: "POST", Path: "/nucleo", Response: []config.Source{
	{JSON: "/nucleo/*/codice_fiscale"}, {JSON: "/delegato", Optional: true}, {XPath: "//CodiceFiscale"}, {Header: "X-CF", Optional: true},
}}

// outcome is the codes found, or code and place of the problem.
func outcome(list []ledger.Subject, err error) string {
	var p *ledger.Problem
	if errors.As(err, &p) {
		return p.Code + " " + p.Where
	}
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(list)
}

func TestOfAnswer(t *testing.T) {
	empty := family
	empty.MayBeEmpty = true
	long := make([]string, ledger.MaxSubjects+1)
	for i := range long {
		long[i] = `{"codice_fiscale":"` + eleven(i) + `"}`
	}
	for _, test := range []struct {
		name      string
		operation *config.Operation
		status    int
		kind      string
		body      string
		want      string
	}{
		{"one flow", &flussi, 200, "application/json", flows(flow(person(rossi))), "[RSSMRA80A01H501U]"},
		{"flows, each person once", &flussi, 200, "application/json", flows(flow(person(rossi)), flow(person(omocodia)), flow(person(rossi))), "[RSSMRA80A01H501U RSSMRA80A01H50MM]"},
		{"no flows", &flussi, 200, "application/json; charset=utf-8", `{"elenco_flussi":[]}`, "[]"},
		{"a flow about nobody beside another", &flussi, 200, "application/json", flows(flow(person(rossi)), flow(`<SINBA IDBeneficiario="PROVA"/>`)), "no_subject answer#/elenco_flussi/*/flusso base64 /Flusso/Beneficiario/@CodiceFiscale (number 2)"},
		{"a beneficiary without code", &flussi, 200, "application/json", flows(flow(`<Beneficiario/>`)), "no_subject answer#/elenco_flussi/*/flusso base64 /Flusso/Beneficiario/@CodiceFiscale at /Flusso/Beneficiario/@CodiceFiscale"},
		{"lower case", &flussi, 200, "application/json", flows(flow(person("rssmra80a01h501u"))), "bad_subject answer#/elenco_flussi/*/flusso base64 /Flusso/Beneficiario/@CodiceFiscale at /Flusso/Beneficiario/@CodiceFiscale"},
		{"another document", &flussi, 200, "application/json", flows(base64.StdEncoding.EncodeToString([]byte("<html/>"))), "no_subject answer#/elenco_flussi/*/flusso base64 /Flusso/Beneficiario/@CodiceFiscale at /Flusso/Beneficiario/@CodiceFiscale"},
		{"no XML in it", &flussi, 200, "application/json", flows(base64.StdEncoding.EncodeToString([]byte("x"))), "unreadable_content answer#/elenco_flussi/*/flusso base64 /Flusso/Beneficiario/@CodiceFiscale"},
		{"no base64", &flussi, 200, "application/json", flows("<Flusso/>"), "unreadable_content answer#/elenco_flussi/*/flusso base64 /Flusso/Beneficiario/@CodiceFiscale"},
		{"a flow without content", &flussi, 200, "application/json", flows(""), "no_subject answer#/elenco_flussi/*/flusso base64 /Flusso/Beneficiario/@CodiceFiscale"},
		{"another shape", &flussi, 200, "application/json", `{"flussi":[]}`, "no_subject answer#/elenco_flussi/*/flusso base64 /Flusso/Beneficiario/@CodiceFiscale"},
		{"the provider's other spellings", &flussi, 200, "application/json", `{"elencoFlussi":[1],"elenco_flussi":[]}`, "[]"},
		{"not found", &flussi, 404, "application/problem+json", `{"title":"Not found"}`, "[]"},
		{"an error page", &flussi, 500, "text/html", `<p>oops`, "[]"},
		{"an error that names somebody", &flussi, 409, "application/json", flows(flow(person(rossi))), "[RSSMRA80A01H501U]"},

		{"a family", &family, 200, "application/json", `{"nucleo":[{"codice_fiscale":"RSSMRA80A01H501U"},{"codice_fiscale":"RSSMRA80A01H50MM"}],"delegato":"80078750587"}`, "[RSSMRA80A01H501U RSSMRA80A01H50MM 80078750587]"},
		{"a member without code", &family, 200, "application/json", `{"nucleo":[{"codice_fiscale":"RSSMRA80A01H501U"},{"nome":"x"}]}`, "no_subject answer#/nucleo/*/codice_fiscale (number 2)"},
		{"a member whose code is null", &family, 200, "application/json", `{"nucleo":[{"codice_fiscale":null}]}`, "no_subject answer#/nucleo/*/codice_fiscale"},
		{"a number", &family, 200, "application/json", `{"nucleo":[{"codice_fiscale":80078750587}]}`, "bad_subject answer#/nucleo/*/codice_fiscale"},
		{"a wrong check character", &family, 200, "application/json", `{"nucleo":[{"codice_fiscale":"RSSMRA80A01H501A"}]}`, "bad_subject answer#/nucleo/*/codice_fiscale"},
		{"nobody", &family, 200, "application/json", `{"nucleo":[]}`, "no_subject answer"},
		{"nobody, allowed", &empty, 200, "application/json", `{"nucleo":[]}`, "[]"},
		{"not found, not allowed", &family, 404, "application/problem+json", `{}`, "no_subject answer"},
		{"XML", &family, 200, "text/xml", `<a><b><CodiceFiscale> RSSMRA80A01H501U </CodiceFiscale></b></a>`, "[RSSMRA80A01H501U]"},
		{"another kind", &family, 200, "text/csv", `RSSMRA80A01H501U`, "unreadable_content answer"},
		{"no kind", &family, 200, "", `{}`, "unreadable_content answer"},
		{"broken", &family, 200, "application/json", `{"nucleo":[`, "unreadable_content answer"},
		{"too many", &family, 200, "application/json", `{"nucleo":[` + strings.Join(long, ",") + `]}`, "bad_count answer"},
		{"as many as can be", &family, 200, "application/json", `{"nucleo":[` + strings.Join(long[1:2], ",") + `]}`, "[" + eleven(1) + "]"},
		{"no content", &empty, 204, "", "", "[]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{}
			if test.kind != "" {
				h.Set("Content-Type", test.kind)
			}
			list, err := OfAnswer(test.operation, test.status, h, strings.NewReader(test.body), nil)
			if got := outcome(list, err); got != test.want {
				t.Errorf("%s, expected %s", got, test.want)
			}
			if err != nil && (strings.Contains(strings.ToUpper(err.Error()), rossi[:11]) || strings.Contains(err.Error(), company)) {
				t.Errorf("the error holds a code: %v", err)
			}
		})
	}
}

// eleven is the n-th code of 11 digits.
func eleven(n int) string {
	for check := range 10 {
		s := fmt.Sprintf("%010d%d", n, check)
		if _, err := ledger.ParseSubject(s); err == nil {
			return s
		}
	}
	panic("no check digit")
}

func TestBehindTheRequest(t *testing.T) {
	h := http.Header{"Content-Type": {"application/json"}, "X-Cf": {company, rossi}}
	list, err := OfAnswer(&family, 200, h, strings.NewReader(`{"nucleo":[{"codice_fiscale":"RSSMRA80A01H50MM"}]}`), []ledger.Subject{rossi})
	if got, want := outcome(list, err), "[RSSMRA80A01H501U 80078750587 RSSMRA80A01H50MM]"; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
	headers := config.Operation{MayBeEmpty: true, Response: []config.Source{{Header: "X-CF"}, {JSON: "/cf", Optional: true}}}
	for _, test := range []struct {
		method string
		status int
		code   string
		want   string
	}{
		{"HEAD", 200, rossi, "[RSSMRA80A01H501U]"},
		{"HEAD", 200, "", "no_subject answer#header:X-CF"},
		{"HEAD", 404, "", "[]"},
		{"GET", 204, rossi, "[RSSMRA80A01H501U]"},
		{"GET", 304, rossi, "[RSSMRA80A01H501U]"},
		{"GET", 304, "x", "bad_subject answer#header:X-CF"},
		{"GET", 204, "", "[]"},
	} {
		headers.Method = test.method
		alone := http.Header{}
		if test.code != "" {
			alone.Set("X-CF", test.code)
		}
		list, err := OfAnswer(&headers, test.status, alone, strings.NewReader(""), nil)
		if got := outcome(list, err); got != test.want {
			t.Errorf("%s, %d, %q without content: %s, expected %s", test.method, test.status, test.code, got, test.want)
		}
	}
	h.Set("Content-Encoding", "gzip")
	list, err = OfAnswer(&family, 200, h, strings.NewReader(`{}`), nil)
	if got, want := outcome(list, err), "unreadable_content answer"; got != want {
		t.Errorf("compressed: %s, expected %s", got, want)
	}
}

// TestNamesNobody: a code is seen wherever it stands in an answer that is to leave without an event.
func TestNamesNobody(t *testing.T) {
	const person = "names_person answer"
	long := strings.Repeat(" ", 64<<10-8)
	for _, test := range []struct{ name, header, value, body, want string }{
		{"an empty list", "X-Request-Id", "8c1d", `{"elenco_flussi":[]}`, "[]"},
		{"nothing", "Content-Encoding", "gzip", "", "[]"},
		{"a cookie", "Set-Cookie", "a=xRSSMRA80A01H501Ux", "", "[]"},
		{"another list", "", "", `{"lista":[],"altri":[{"cf":"rssmra80a01h501u"}]}`, person},
		{"another name in XML", "", "", `<Persona><codiceFiscale>RSSMRA80A01H501U</codiceFiscale></Persona>`, person},
		{"a page about an error", "Content-Type", "text/html", "<p>RSSMRA80A01H50MM non trovato", person},
		{"broken JSON", "", "", `{"cf":"RSSMRA80A01H501U`, person},
		{"escaped in JSON", "", "", `{"cf":"\u0052SSMRA80A\u00301H501U"}`, person},
		{"escaped in XML", "", "", `<cf>&#82;&#x53;SMRA80A01H501U</cf>`, person},
		{"far behind", "", "", long + rossi, person},
		{"far behind, escaped", "", "", long + strings.Repeat(" ", 64<<10-256) + `\u0052SSMRA80A01H501\u0055`, person},
		{"a header", "X-CF", rossi, "", person},
		{"a header with a path", "Location", "/persone/RSSMRA80A01H501U?a", "", person},
		{"compressed", "Content-Encoding", "gzip", "\x1f\x8b", "unreadable_content answer"},
		{"compressed twice", "Content-Encoding", "identity, gzip", "\x1f\x8b", "unreadable_content answer"},
	} {
		h := http.Header{}
		if test.header != "" {
			h.Set(test.header, test.value)
		}
		if got := outcome(nil, NamesNobody(h, iotest.OneByteReader(strings.NewReader(test.body)))); got != test.want {
			t.Errorf("%s: %s, expected %s", test.name, got, test.want)
		}
	}
}

func TestOfRequest(t *testing.T) {
	operation := config.Operation{Method: "POST", Path: "/p/{cf}", Request: []config.Source{
		{Variable: "cf"}, {Query: "cf", Optional: true}, {Header: "X-CF", Optional: true}, {JSON: "/beneficiario/codice_fiscale", Optional: true},
	}}
	for _, test := range []struct{ name, variable, query, header, body, want string }{
		{"everywhere", rossi, "?cf=" + omocodia + "&cf=" + company, rossi, `{"beneficiario":{"codice_fiscale":"RSSMRA80A01H5LMX"}}`, "[RSSMRA80A01H501U RSSMRA80A01H50MM 80078750587 RSSMRA80A01H5LMX]"},
		{"path", rossi, "", "", `{}`, "[RSSMRA80A01H501U]"},
		{"no code in the path", "x", "", "", `{}`, "bad_subject request#path:cf"},
		{"a query that others read otherwise", rossi, "?cf=a;cf=b", "", `{}`, "unreadable_content request#query"},
		{"no body", rossi, "", "", ``, "unreadable_content request"},
		{"a second name in capitals", rossi, "", "", `{"beneficiario":{"codice_fiscale":"RSSMRA80A01H501U","CODICE_FISCALE":"RSSMRA80A01H50MM"}}`, "alike_name request#/beneficiario/codice_fiscale"},
		{"a second object in capitals", rossi, "", "", `{"BENEFICIARIO":{"codice_fiscale":"RSSMRA80A01H50MM"},"beneficiario":{"codice_fiscale":"RSSMRA80A01H501U"}}`, "alike_name request#/beneficiario/codice_fiscale"},
		{"another spelling alone", rossi, "", "", `{"beneficiario":{"codiceFiscale":"RSSMRA80A01H50MM"}}`, "alike_name request#/beneficiario/codice_fiscale"},
		{"a second query name", rossi, "?cf=" + rossi + "&CF=" + omocodia, "", `{}`, "alike_name request#query:cf"},
		{"a query name of PHP", rossi, "?cf=" + rossi + "&cf[]=" + omocodia, "", `{}`, "alike_name request#query:cf"},
	} {
		r := httptest.NewRequest("POST", "/p/x"+test.query, nil)
		r.Header.Set("Content-Type", "application/json")
		if test.header != "" {
			r.Header.Set("X-CF", test.header)
		}
		route := &config.Route{Operation: &operation, Variables: map[string]string{"cf": test.variable}}
		list, err := OfRequest(route, r, strings.NewReader(test.body))
		if got := outcome(list, err); got != test.want {
			t.Errorf("%s: %s, expected %s", test.name, got, test.want)
		}
	}
	alone := config.Operation{Request: []config.Source{{Header: "X-CF", Optional: true}}}
	r := httptest.NewRequest("GET", "/", nil)
	list, err := OfRequest(&config.Route{Operation: &alone}, r, nil)
	if got, want := outcome(list, err), "no_subject request"; got != want {
		t.Errorf("a request that alone could name somebody: %s, expected %s", got, want)
	}
	r.Header["X_cf"] = []string{rossi} // CGI and WSGI read it as X-CF
	list, err = OfRequest(&config.Route{Operation: &alone}, r, nil)
	if got, want := outcome(list, err), "alike_name request#header:X-CF"; got != want {
		t.Errorf("a second header: %s, expected %s", got, want)
	}
}

func TestText(t *testing.T) {
	for _, test := range []struct {
		source config.Source
		want   string
	}{
		{config.Source{JSON: "/ente/codice_ufficio"}, "0042"},
		{config.Source{Header: "X-Pratica"}, "2026/1"},
		{config.Source{Header: "X-Other", Optional: true}, ""},
		{config.Source{Header: "X-Other"}, "missing request#header:X-Other"},
		{config.Source{JSON: "/ente/codice", Optional: true}, ""},
		{config.Source{JSON: "/ente"}, "bad_subject request#/ente"},
		{config.Source{XPath: "/a", Optional: true}, ""},
		{config.Source{XPath: "/a"}, "unreadable_content request"},
		{config.Source{JSON: "/ENTE/codice_ufficio", Optional: true}, "alike_name request#/ENTE/codice_ufficio"},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Pratica", "2026/1")
		got, err := Text(&test.source, r, strings.NewReader(`{"ente":{"codice_ufficio":"0042"}}`))
		if err != nil {
			got = outcome(nil, err)
		}
		if got != test.want {
			t.Errorf("%s: %q, expected %q", Name(&test.source), got, test.want)
		}
	}
}

func FuzzOfAnswer(f *testing.F) {
	f.Add(flows(flow(person(rossi))), true)
	f.Add(`<a><CodiceFiscale>RSSMRA80A01H501U</CodiceFiscale></a>`, false)
	f.Fuzz(func(t *testing.T, body string, isJSON bool) {
		kind := "text/xml"
		if isJSON {
			kind = "application/json"
		}
		for _, o := range []*config.Operation{&flussi, &family} {
			list, err := OfAnswer(o, 200, http.Header{"Content-Type": {kind}}, strings.NewReader(body), nil)
			if err == nil && len(list) == 0 && !o.MayBeEmpty {
				t.Error("an answer about nobody")
			}
			for _, s := range list {
				if _, err := ledger.ParseSubject(string(s)); err != nil {
					t.Error("no code")
				}
			}
		}
	})
}

func BenchmarkOfAnswer(b *testing.B) {
	family10 := `{"nucleo":[` + strings.TrimSuffix(strings.Repeat(`{"codice_fiscale":"RSSMRA80A01H501U","nome":"x","indirizzo":{"via":"y","numero":12}},`, 10), ",") + `]}`
	list := make([]string, 10)
	for i := range list {
		list[i] = flow(person(eleven(i)) + strings.Repeat("<PrestazioniSociali CodicePrestazione=\"A1.16\"/>\n", 40))
	}
	large := `{"nucleo":[` + strings.TrimSuffix(strings.Repeat(`{"codice_fiscale":"RSSMRA80A01H501U","nome":"x","indirizzo":{"via":"y","numero":12}},`, 12_000), ",") + `]}`
	for _, test := range []struct {
		name, body string
		operation  *config.Operation
	}{{"family", family10, &family}, {"flussi", flows(list...), &flussi}, {"1MiB", large, &family}} {
		b.Run(test.name, func(b *testing.B) {
			b.SetBytes(int64(len(test.body)))
			h := http.Header{"Content-Type": {"application/json"}}
			for b.Loop() {
				if _, err := OfAnswer(test.operation, 200, h, strings.NewReader(test.body), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
