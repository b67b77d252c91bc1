// SPDX-License-Identifier: EUPL-1.2

package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/locate"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/postgres"
)

// judge refuses what is wrong by itself, without opening a file.
func (r *reader) judge(c *Config) {
	r.address("listen", c.Listen)
	if c.TLS != nil {
		r.required("tls/certificate", c.TLS.Certificate)
		r.required("tls/key", c.TLS.Key)
	}
	if c.Metrics != "" {
		r.address("metrics", c.Metrics)
		if host, _, err := net.SplitHostPort(c.Metrics); err == nil && !loopback(host) {
			r.refuse(ledger.CodeBadValue, "metrics", "an address on loopback, such as 127.0.0.1:9464", "another")
		}
	}
	r.required("memory", c.Memory)
	if c.Database != "" {
		if _, err := postgres.ParseAddress(c.Database); err != nil {
			r.refuse(ledger.CodeBadValue, "database", "postgres://user@host:port/database, without a password", err.Error())
		}
	}
	r.url("ledger/url", c.Ledger.URL)
	if ledger.CheckName(c.Ledger.Name) != nil {
		r.refuse(ledger.CodeBadName, "ledger/name", "a ledger's name, such as registro.example", length(c.Ledger.Name))
	}
	r.required("ledger/policy", c.Ledger.Policy)
	r.body("identity/body", c.Identity.Body)
	r.required("identity/key", c.Identity.Key)
	if c.Check != nil {
		r.check(c.Check)
	}
	r.pdnd(&c.PDND)
	if len(c.EServices) == 0 {
		r.refuse(ledger.CodeMissing, "e_services", "at least one e-service", "none")
	}
	ids, urls := make(map[string]bool), make(map[string]bool)
	for i := range c.EServices {
		s, at := &c.EServices[i], "e_services/"+strconv.Itoa(i)
		r.service(at, s)
		r.once(at+"/id", s.ID, ids)
		r.once(at+"/url", basePath(s.URL)+"/", urls)
	}
}

func (r *reader) check(c *Check) {
	at, err := time.Parse("15:04", c.At)
	if err != nil || at.Format("15:04") != c.At {
		r.refuse(ledger.CodeBadTime, "check/at", `an hour of the day in quotes, such as "02:30"`, length(c.At))
	}
	c.hour, c.minute = at.Hour(), at.Minute()
	r.required("check/keys", c.Keys)
	if len(c.Providers) == 0 {
		r.refuse(ledger.CodeMissing, "check/providers", "the bodies that the scope speaks for, such as the providers of all e_services", "none")
	}
	for _, list := range []struct {
		field string
		ids   []string
	}{{"check/providers", c.Providers}, {"check/others", c.Others}} {
		seen := make(map[string]bool)
		for i, id := range list.ids {
			field := list.field + "/" + strconv.Itoa(i)
			r.body(field, id)
			r.once(field, id, seen)
		}
	}
	if c.InFlight < 0 {
		r.refuse(ledger.CodeBadValue, "check/in_flight", "a time above 0, such as 2m", "a negative one")
	}
}

func (r *reader) pdnd(p *PDND) {
	if len(p.Issuers) == 0 {
		r.refuse(ledger.CodeMissing, "pdnd/issuers", "issuers of vouchers, such as interop.pagopa.it", "nothing")
	}
	r.required("pdnd/keys", p.Keys)
	r.required("pdnd/client_keys", p.ClientKeys)
	for _, keys := range []struct{ field, source string }{{"pdnd/keys", p.Keys}, {"pdnd/client_keys", p.ClientKeys}} {
		if IsURL(keys.source) {
			r.url(keys.field, keys.source)
		}
	}
	if p.Tenants == "" && len(p.Consumers) == 0 {
		r.refuse(ledger.CodeMissing, "pdnd/tenants", "the open data's list of bodies, or consumers", "neither")
	}
	r.consumers(p.Consumers)
}

func (r *reader) consumers(list []Consumer) {
	tenants, clients := make(map[string]bool), make(map[string]bool)
	for i, c := range list {
		at := "pdnd/consumers/" + strconv.Itoa(i)
		r.body(at+"/body", c.Body)
		if c.Tenant == "" && c.Client == "" {
			r.refuse(ledger.CodeMissing, at, "tenant, client or both", "neither")
		}
		if c.Tenant != "" {
			r.uuid(at+"/tenant", c.Tenant)
			r.once(at+"/tenant", c.Tenant, tenants)
		}
		if c.Client != "" {
			r.uuid(at+"/client", c.Client)
			r.once(at+"/client", c.Client, clients)
		}
	}
}

// judgeTraced judges what is used of a file for calls that another gateway traced.
func (r *reader) judgeTraced(c *Config) {
	r.consumers(c.PDND.Consumers)
	if len(c.EServices) == 0 {
		r.refuse(ledger.CodeMissing, "e_services", "at least one e-service", "none")
	}
	ids, urls := make(map[string]bool), make(map[string]bool)
	for i := range c.EServices {
		s, at := &c.EServices[i], "e_services/"+strconv.Itoa(i)
		r.uuid(at+"/id", s.ID)
		r.body(at+"/provider", s.Provider)
		r.url(at+"/url", s.URL)
		r.texts(at, s)
		r.operations(at, s)
		r.once(at+"/id", s.ID, ids)
		r.once(at+"/url", basePath(s.URL)+"/", urls)
	}
}

func (r *reader) service(at string, s *EService) {
	r.uuid(at+"/id", s.ID)
	r.required(at+"/name", s.Name)
	r.body(at+"/provider", s.Provider)
	r.uuid(at+"/producer_id", s.ProducerID)
	for i, d := range s.Descriptors {
		r.uuid(at+"/descriptors/"+strconv.Itoa(i), d)
	}
	if len(s.Audience) == 0 {
		r.refuse(ledger.CodeMissing, at+"/audience", "the audience that PDND's catalogue says", "nothing")
	}
	r.url(at+"/url", s.URL)
	r.url(at+"/upstream", s.Upstream)
	r.word(at+"/profile", s.Profile, ProfileAudit02, ProfileAudit01, ProfileVoucher, ProfileINPSHeaders)
	r.texts(at, s)
	for _, limit := range []struct {
		field string
		value int64
	}{{"/timeout", int64(s.Timeout)}, {"/max_request", s.MaxRequest}, {"/max_answer", s.MaxAnswer}} {
		if limit.value < 0 {
			r.refuse(ledger.CodeBadValue, at+limit.field, "one above 0", "a negative one")
		}
	}
	r.operations(at, s)
}

// texts judges where a call says who acted and why.
func (r *reader) texts(at string, s *EService) {
	for _, text := range []struct {
		field string
		place *Source
	}{{"/operator", s.Operator}, {"/office", s.Office}, {"/case", s.Case}} {
		if p := text.place; p != nil {
			r.source(at+text.field, p, nil)
			if p.Base64 != nil || strings.Contains(p.JSON, "/*") {
				r.refuse(ledger.CodeBadValue, at+text.field, "the place of one text, without base64 and *", "another")
			}
		}
	}
}

func (r *reader) operations(at string, s *EService) {
	if len(s.Operations) == 0 {
		r.refuse(ledger.CodeMissing, at+"/operations", "at least one operation", "none")
	}
	if s.Vital && !slices.ContainsFunc(s.Operations, func(o Operation) bool { return ledger.IsVital(o.LegalBasis) }) {
		r.refuse(ledger.CodeBadValue, at+"/vital", "an operation whose legal_basis is vital interests, https://w3id.org/dpv/legal/eu/gdpr#A6-1-d or A9-2-c", "none")
	}
	shapes := make(map[string]bool)
	for i := range s.Operations {
		o, field := &s.Operations[i], at+"/operations/"+strconv.Itoa(i)
		r.operation(field, o)
		r.once(field, o.Method+" "+shape(o.Path), shapes)
	}
}

func (r *reader) operation(at string, o *Operation) {
	r.word(at+"/method", o.Method, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
	variables := r.template(at+"/path", o.Path)
	if r.misread[at+"/no_persons"] {
		return // whether anything is recorded isn't known
	}
	if o.NoPersons {
		if len(o.Request)+len(o.Response)+len(o.DataCategories) > 0 || o.MayBeEmpty || o.Consent || o.Cohort != nil || o.Purpose+o.LegalBasis+o.LegalReference != "" {
			r.refuse(ledger.CodeBadValue, at+"/no_persons", "beside it method and path alone: nothing is recorded", "more")
		}
		return
	}
	for _, t := range []struct {
		name, text string
		optional   bool
	}{{"purpose", o.Purpose, false}, {"legal_basis", o.LegalBasis, false}, {"legal_reference", o.LegalReference, true}} {
		if t.text != "" || !t.optional {
			r.text(at+"/"+t.name, t.text)
		}
	}
	if n := len(o.DataCategories); n < 1 || n > ledger.MaxDataCategories {
		r.refuse(ledger.CodeBadCount, at+"/data_categories", fmt.Sprintf("1 to %d", ledger.MaxDataCategories), strconv.Itoa(n))
	}
	categories := make(map[string]bool)
	for i, category := range o.DataCategories {
		field := at + "/data_categories/" + strconv.Itoa(i)
		r.text(field, category)
		r.once(field, category, categories)
	}
	if o.Cohort != nil {
		r.cohort(at, o)
		return
	}
	if len(o.Request)+len(o.Response) == 0 {
		r.refuse(ledger.CodeMissing, at, "request, response or both: where the codes of persons are (or no_persons: true)", "neither")
	}
	if o.MayBeEmpty && !slices.ContainsFunc(o.places(), func(s *Source) bool { return !s.Optional && !strings.HasPrefix(s.XPath, "//") }) {
		r.refuse(ledger.CodeBadValue, at+"/may_be_empty", "a place that isn't optional and doesn't begin with //: else a person's answer could pass for an empty one", "none")
	}
	for i := range o.Request {
		r.source(at+"/request/"+strconv.Itoa(i), &o.Request[i], variables)
	}
	for i := range o.Response {
		field := at + "/response/" + strconv.Itoa(i)
		r.source(field, &o.Response[i], nil)
		if o.Response[i].Query != "" || o.Response[i].Variable != "" {
			r.refuse(ledger.CodeBadValue, field, "json, xpath or header: an answer has no query and no variables", "another")
		}
	}
}

// cohort judges an operation that gives out aggregates.
func (r *reader) cohort(at string, o *Operation) {
	if len(o.Request)+len(o.Response) > 0 || o.MayBeEmpty || o.RestsOnConsent() {
		r.refuse(ledger.CodeBadValue, at+"/cohort", "beside it no request, response, may_be_empty and consent: an aggregate is about nobody", "one of them")
	}
	if _, err := locate.ParsePointer(o.Cohort.Size); err != nil || strings.Contains(o.Cohort.Size+"/", "/*/") {
		r.refuse(ledger.CodeBadValue, at+"/cohort/size", "the JSON Pointer of a number in the answer, without *", length(o.Cohort.Size))
	}
	if n := o.Cohort.Minimum; n != 0 && (n < ledger.LeastCohort || n > ledger.MaxCohort) {
		r.refuse(ledger.CodeBadCount, at+"/cohort/minimum", fmt.Sprintf("%d or more people", ledger.LeastCohort), strconv.FormatInt(n, 10))
	}
	if o.Method != "GET" && o.Method != "POST" {
		r.refuse(ledger.CodeBadValue, at+"/cohort", "GET or POST, whose answers have content", o.Method)
	}
}

// source judges one place. Variables are those of the path template.
func (r *reader) source(at string, s *Source, variables []string) {
	set := 0
	for _, one := range []string{s.JSON, s.XPath, s.Header, s.Query, s.Variable} {
		if one != "" {
			set++
		}
	}
	if set != 1 {
		r.refuse(ledger.CodeBadValue, at, "one of json, xpath, header, query and variable", strconv.Itoa(set)+" of them")
		return
	}
	if s.JSON != "" {
		if _, err := locate.ParsePointer(s.JSON); err != nil {
			r.refuse(ledger.CodeBadValue, at+"/json", err.Error(), "another")
		}
	}
	if s.XPath != "" {
		if _, err := locate.ParsePath(s.XPath); err != nil {
			r.refuse(ledger.CodeBadValue, at+"/xpath", err.Error(), "another")
		}
	}
	if s.Header != "" && !isToken(s.Header) {
		r.refuse(ledger.CodeBadValue, at+"/header", "a header's name", "another")
	}
	if s.Variable != "" && !slices.Contains(variables, s.Variable) {
		r.refuse(ledger.CodeBadValue, at+"/variable", "a name in braces of the operation's path", "another")
	}
	if s.Base64 != nil {
		inner := s.Base64
		if inner.Optional || inner.Base64 != nil || inner.JSON == "" && inner.XPath == "" {
			r.refuse(ledger.CodeBadValue, at+"/base64", "json or xpath alone: what is decoded must be about somebody", "another")
			return
		}
		r.source(at+"/base64", inner, nil)
	}
}

func (r *reader) once(field, value string, seen map[string]bool) {
	if value != "" && seen[value] {
		r.refuse(ledger.CodeRepeated, field, "each once", "one that occurs before")
	}
	seen[value] = true
}

func (r *reader) required(field, value string) {
	if value == "" {
		r.refuse(ledger.CodeMissing, field, "a value", "nothing")
	}
}

func length(s string) string {
	if s == "" {
		return "nothing"
	}
	return fmt.Sprintf("%d characters", len([]rune(s)))
}

func (r *reader) text(field, value string) {
	control := strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || 0x7f <= c && c < 0xa0 })
	if n := len([]rune(value)); n < 1 || n > ledger.MaxText || control {
		r.refuse(ledger.CodeBadText, field, fmt.Sprintf("a text of 1 to %d characters without control characters", ledger.MaxText), length(value))
	}
}

func (r *reader) word(field, value string, words ...string) {
	if !slices.Contains(words, value) {
		r.refuse(ledger.CodeBadValue, field, strings.Join(words, ", "), length(value))
	}
}

func (r *reader) body(field, id string) {
	if ledger.CheckID(id) != nil {
		r.refuse(ledger.CodeBadID, field, "the id of a body, such as c_a944", length(id))
	}
}

func (r *reader) uuid(field, id string) {
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		r.refuse(ledger.CodeBadUUID, field, "a uuid in lower-case hex, 8-4-4-4-12", length(id))
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (r *reader) address(field, value string) {
	if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
		r.refuse(ledger.CodeBadValue, field, "host:port, such as 127.0.0.1:8443", length(value))
	}
}

func (r *reader) url(field, value string) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		r.refuse(ledger.CodeBadValue, field, "an https URL without user, query and fragment", length(value))
	case u.Scheme == "http" && !loopback(u.Hostname()):
		r.refuse(ledger.CodeBadValue, field, "https (http on loopback alone)", "http")
	case u.EscapedPath() != u.Path || strings.Contains(u.Path, "//") || strings.Contains(u.Path+"/", "/./") || strings.Contains(u.Path+"/", "/../"):
		r.refuse(ledger.CodeBadValue, field, "a path without escapes, empty and dot segments", "another")
	}
}

// template judges a path template and returns its variables.
func (r *reader) template(field, path string) (variables []string) {
	bad := func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`?#%*\`, c) }
	if path == "" || path[0] != '/' || len(path) > ledger.MaxPath || strings.ContainsFunc(path, bad) {
		r.refuse(ledger.CodeBadValue, field, fmt.Sprintf("a template as /prestazioni/{id}, of up to %d bytes", ledger.MaxPath), length(path))
		return nil
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		name, isVariable := variable(segment)
		switch {
		case segment == "" && path != "/" || segment == "." || segment == "..", isVariable && !isToken(name), !isVariable && strings.ContainsAny(segment, "{}"), slices.Contains(variables, name):
			r.refuse(ledger.CodeBadValue, field, "segments that are a text, or one variable in braces, each variable once", "another")
			return nil
		case isVariable:
			variables = append(variables, name)
		}
	}
	return variables
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && (c < '0' || '9' < c) && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= ledger.MaxHeaderName
}
