// SPDX-License-Identifier: EUPL-1.2

// Package waas is two servers of Welfare as a Service to try a gateway on: INPS's
// hub, which answers questions about a person, and a municipality, from which INPS
// pulls flows. They answer by the published schemas and with the published
// examples (data/README.md), about whom they are asked or told of; they check no
// token: that is the gateway's.
package waas

import (
	"cmp"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/traccia-ledger/traccia/ledger"
)

//go:embed data/*.yaml
var data embed.FS

// object is a JSON object, or a mapping of a published file.
type object = map[string]any

func read(name string) (object, error) {
	text, err := data.ReadFile("data/" + name)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", name, err)
	}
	return doc, nil
}

// at follows names into a document.
func at(doc any, names ...string) any {
	for _, name := range names {
		m, ok := doc.(object)
		if !ok {
			return nil
		}
		doc = m[name]
	}
	return doc
}

// resolve follows a schema's $ref, which is of the same file.
func resolve(doc object, schema any) object {
	for {
		m, _ := schema.(object)
		ref, ok := m["$ref"].(string)
		if !ok {
			return m
		}
		schema = at(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
}

// missing returns the path of a required member that a value lacks; "" for none.
func missing(doc object, schema, value any) string {
	s := resolve(doc, schema)
	if kind, _ := s["type"].(string); kind != "" && !isKind(kind, value) {
		return " is no " + kind
	}
	m, _ := value.(object)
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := m[name.(string)]; !ok {
			return "." + name.(string) + " is missing"
		}
	}
	properties, _ := s["properties"].(object)
	for name, of := range properties {
		member, ok := m[name]
		if !ok {
			continue
		}
		if fault := missing(doc, of, member); fault != "" {
			return "." + name + fault
		}
	}
	items, ok := s["items"]
	if list, _ := value.([]any); ok {
		for _, item := range list {
			if fault := missing(doc, items, item); fault != "" {
				return "[]" + fault
			}
		}
	}
	return ""
}

func isKind(kind string, value any) bool {
	ok := true
	switch kind {
	case "object":
		_, ok = value.(object)
	case "array":
		_, ok = value.([]any)
	case "string":
		_, ok = value.(string)
	case "boolean":
		_, ok = value.(bool)
	case "number", "integer":
		_, ok = value.(float64)
	}
	return ok
}

// example is a schema's own, as JSON: where the schema asks for a text, the examples
// for JSON-LD have it one level deeper.
func example(doc object, schema any) (object, error) {
	s := resolve(doc, schema)
	raw, err := json.Marshal(s["example"])
	if err != nil {
		return nil, err
	}
	var value object
	if err := json.Unmarshal(raw, &value); err != nil || value == nil {
		return nil, fmt.Errorf("couldn't use a published example: %w", err)
	}
	properties, _ := s["properties"].(object)
	for name, of := range properties {
		inner, deep := value[name].(object)
		if kind, _ := resolve(doc, of)["type"].(string); deep && kind == "string" {
			for _, key := range []string{"label", "citizenship_code", "citizenship_denomination", "sigla_provincia", "street_number"} {
				if text, ok := inner[key].(string); ok {
					value[name] = text
				}
			}
		}
	}
	return value, nil
}

const maxRequest = 1 << 20

// Hub answers POST /pensioni/puntuale and POST /prestazione/puntuale as INPS's
// consultation services do.
func Hub() (http.Handler, error) {
	pensions, err := read("waas-consultazione-pensioni.yaml")
	if err != nil {
		return nil, err
	}
	benefits, err := read("waas-consultazione-prestazione-schema.oas3.yaml")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pensioni/puntuale", serve(pensions, "PuntualeRequest", func() (object, error) {
		who, err := example(pensions, at(pensions, "components", "schemas", "Beneficiario"))
		if err != nil {
			return nil, err
		}
		what, err := example(pensions, at(pensions, "components", "schemas", "Pensione"))
		return object{"beneficiario": who, "pensioni": []any{what}}, err
	}))
	mux.HandleFunc("POST /prestazione/puntuale", serve(benefits, "PuntualeRequest", func() (object, error) {
		raw, err := json.Marshal(at(benefits, "components", "responses", "PuntualeResponse", "content", "application/json", "example"))
		if err != nil {
			return nil, err
		}
		var answer object
		return answer, json.Unmarshal(raw, &answer)
	}))
	return mux, nil
}

// serve answers a question that has what the schema requires with an example, which
// is about the person of the question.
func serve(doc object, schema string, answer func() (object, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		var asked any
		if err == nil {
			err = json.Unmarshal(raw, &asked)
		}
		if err != nil {
			refuse(w, doc, "BadRequest", "expected a JSON object")
			return
		}
		if fault := missing(doc, at(doc, "components", "schemas", schema), asked); fault != "" {
			refuse(w, doc, "BadRequest", "request"+fault)
			return
		}
		said, err := answer()
		if err != nil {
			refuse(w, doc, "InternalServerError", "")
			return
		}
		who, _ := said["beneficiario"].(object)
		for _, name := range []string{"codice_fiscale", "cognome", "nome"} {
			if text, ok := at(asked, "beneficiario", name).(string); ok {
				who[name] = text
			}
		}
		reply(w, http.StatusOK, "application/json", said)
	}
}

// refuse answers with a published problem, and says what was wrong.
func refuse(w http.ResponseWriter, doc object, name, detail string) {
	problem, _ := at(doc, "components", "responses", name, "content", "application/problem+json", "example").(object)
	status, err := strconv.Atoi(fmt.Sprint(problem["status"]))
	if err != nil {
		status = http.StatusInternalServerError
	}
	out := object{}
	for key, value := range problem {
		out[key] = value
	}
	if detail != "" {
		out["detail"] = detail
	}
	reply(w, status, "application/problem+json", out)
}

func reply(w http.ResponseWriter, status int, contentType string, content any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(content)
}

// flow is one entry of a municipality's answer.
type flow struct {
	CodiceEnte        string `json:"codice_ente"`
	DenominazioneEnte string `json:"denominazione_ente"`
	IDFlusso          string `json:"id_flusso"`
	Tipo              string `json:"tipo"`
	TSFlusso          string `json:"ts_flusso"`
	Flusso            string `json:"flusso"` // base64 of XML

	updated time.Time
}

// Municipality answers GET /flussi as a municipality does, with a flow of the
// published example for each of some persons, the first an hour ago and one more
// each second after it.
func Municipality(people []ledger.Subject, now time.Time) (http.Handler, error) {
	doc, err := read("api-comuni.yaml")
	if err != nil {
		return nil, err
	}
	list, _ := at(doc, "paths", "/flussi", "get", "responses", "200", "content", "application/json", "examples", "RispostaConFlussi", "value", "elenco_flussi").([]any)
	if len(list) == 0 {
		return nil, errors.New("couldn't use the published example of flows")
	}
	raw, err := json.Marshal(list[0])
	if err != nil {
		return nil, err
	}
	var first flow
	if err := json.Unmarshal(raw, &first); err != nil {
		return nil, fmt.Errorf("couldn't use the published example of flows: %w", err)
	}
	xml, err := base64.StdEncoding.DecodeString(strings.TrimSpace(first.Flusso))
	if err != nil {
		return nil, fmt.Errorf("couldn't use the published example of flows: %w", err)
	}
	var flows []flow
	for i, who := range people {
		f := first
		f.updated = now.Add(-time.Hour + time.Duration(i)*time.Second).Truncate(time.Millisecond)
		f.TSFlusso = f.updated.UTC().Format("2006-01-02T15:04:05.000Z")
		f.IDFlusso = fmt.Sprintf("%s.PS.%s.%07d", f.CodiceEnte, f.updated.UTC().Format("20060102"), i+1)
		named := strings.Replace(string(xml), exampleCode, string(who), 1)
		f.Flusso = base64.StdEncoding.EncodeToString([]byte(strings.Replace(named, exampleFlow, f.IDFlusso, 1)))
		flows = append(flows, f)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /flussi", func(w http.ResponseWriter, r *http.Request) {
		since, err := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64)
		limit, wrong := strconv.Atoi(cmp.Or(r.URL.Query().Get("limit"), "10"))
		if err != nil || since < 0 || wrong != nil || limit < 0 || limit > 100 {
			reply(w, http.StatusBadRequest, "application/problem+json", object{"status": 400, "title": "Bad Request", "detail": "since: a time in milliseconds; limit: 0 to 100"})
			return
		}
		answer := []flow{}
		for _, f := range flows {
			if len(answer) < limit && f.updated.UnixMilli() > since {
				answer = append(answer, f)
			}
		}
		reply(w, http.StatusOK, "application/json", object{"elenco_flussi": answer})
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, "application/problem+json", object{"status": 200, "title": "OK"})
	})
	return mux, nil
}

// What the published example of a flow has in its XML.
const (
	exampleCode = "AAABBB39M66A351C"
	exampleFlow = "H501.PS.20210520.0000002"
)
