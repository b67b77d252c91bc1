// SPDX-License-Identifier: EUPL-1.2

package waas

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

const question = `{"ente":{"codice_ente":"c_a944","codice_comune_ente":"A944","codice_comune":"A944","codice_ufficio":"0042","codice_fiscale_operatore_ente":"NNNNNN80A01N000X"},
 "beneficiario":{"codice_fiscale":"RSSMRA80A01H501U","cognome":"Bianchi","nome":"Anna","codice_comune_residenza":"A944","cap_residenza":"40100"}}`

func ask(h http.Handler, method, path, body string) (status int, answer any) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	json.Unmarshal(w.Body.Bytes(), &answer)
	return w.Code, answer
}

// TestHub: answers are about whom was asked, and have what the published schemas require.
func TestHub(t *testing.T) {
	h, err := Hub()
	if err != nil {
		t.Fatal(err)
	}
	for path, file := range map[string]string{"/pensioni/puntuale": "waas-consultazione-pensioni.yaml", "/prestazione/puntuale": "waas-consultazione-prestazione-schema.oas3.yaml"} {
		doc, err := read(file)
		if err != nil {
			t.Fatal(err)
		}
		status, answer := ask(h, "POST", path, question)
		if fault := missing(doc, at(doc, "components", "schemas", "PuntualeResponse"), answer); status != 200 || fault != "" {
			t.Errorf("%s: %d, answer%s: %v", path, status, fault, answer)
		}
		if got := fmt.Sprint(at(answer, "beneficiario", "codice_fiscale"), at(answer, "beneficiario", "cognome")); got != "RSSMRA80A01H501UBianchi" {
			t.Errorf("%s is about %s", path, got)
		}
		for body, detail := range map[string]string{
			"": "expected a JSON object", "[]": "request is no object", `{"ente":{}}`: "is missing",
			strings.Replace(question, `"RSSMRA80A01H501U"`, "1", 1): ".codice_fiscale is no string",
		} {
			status, answer := ask(h, "POST", path, body)
			if status != 400 || !strings.Contains(fmt.Sprint(at(answer, "detail")), detail) {
				t.Errorf("%s %s: %d %v", path, body, status, answer)
			}
		}
	}
}

// TestMunicipality: one beneficiary a flow, since an instant and up to a number.
func TestMunicipality(t *testing.T) {
	people := []ledger.Subject{"RSSMRA80A01H501U", "RSSMRA80A01H50MM", "80078750587"}
	now := time.Now()
	h, err := Municipality(people, now)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := read("api-comuni.yaml")
	if err != nil {
		t.Fatal(err)
	}
	flows := func(query string) []any {
		t.Helper()
		status, answer := ask(h, "GET", "/flussi?"+query, "")
		if fault := missing(doc, at(doc, "components", "schemas", "Entries"), answer); status != 200 || fault != "" {
			t.Fatalf("%s: %d, answer%s", query, status, fault)
		}
		list, _ := at(answer, "elenco_flussi").([]any)
		return list
	}
	list := flows("since=0")
	if len(list) != len(people) {
		t.Fatalf("%d flows", len(list))
	}
	for i, f := range list {
		xml, err := base64.StdEncoding.DecodeString(at(f, "flusso").(string))
		if err != nil || strings.Count(string(xml), "CodiceFiscale=") != 1 || !strings.Contains(string(xml), `CodiceFiscale="`+string(people[i])+`"`) || !strings.Contains(string(xml), at(f, "id_flusso").(string)) {
			t.Errorf("flow %d: %v %.300s", i, err, xml)
		}
	}
	if got := len(flows("since=0&limit=2")); got != 2 {
		t.Errorf("%d flows of at most 2", got)
	}
	if got := len(flows(fmt.Sprintf("since=%d", now.UnixMilli()))); got != 0 {
		t.Errorf("%d flows since now", got)
	}
	for _, query := range []string{"", "since=x", "since=-1", "since=0&limit=101"} {
		if status, _ := ask(h, "GET", "/flussi?"+query, ""); status != 400 {
			t.Errorf("%q: %d", query, status)
		}
	}
	if status, _ := ask(h, "GET", "/status", ""); status != 200 {
		t.Errorf("status %d", status)
	}
}
