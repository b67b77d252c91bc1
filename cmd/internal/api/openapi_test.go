// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// description is openapi.yaml, read once.
var description = sync.OnceValue(func() map[string]any {
	y := &yaml{lines: strings.Split(string(openAPI), "\n")}
	return y.node(0).(map[string]any)
})

// TestDescription checks that what the description says of itself holds: every
// reference leads somewhere.
func TestDescription(t *testing.T) {
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(at+"/"+name, inner)
			}
			if ref, ok := v["$ref"].(string); ok && resolve(v) == nil {
				t.Errorf("%s: %s leads nowhere", at, ref)
			}
			if pattern, ok := v["pattern"].(string); ok {
				if _, err := regexp.Compile(pattern); err != nil {
					t.Errorf("%s: %v", at, err)
				}
			}
		case []any:
			for i, inner := range v {
				walk(fmt.Sprint(at, "/", i), inner)
			}
		}
	}
	walk("", description())
	if paths := description()["paths"].(map[string]any); len(paths) < 9 {
		t.Errorf("read %d paths", len(paths))
	}
}

// checkDescribed holds an answer against openapi.yaml: its status, its type,
// the headers that are declared and, of JSON, every member.
func checkDescribed(t testing.TB, method, path string, got reply) {
	t.Helper()
	operation := operationOf(method, path)
	if operation == nil {
		if got.status != http.StatusNotFound && got.status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s isn't described, but answered with %d", method, path, got.status)
		}
		return
	}
	responses, status := operation["responses"].(map[string]any), got.status
	if status == http.StatusPartialContent {
		status = http.StatusOK // a part of it, as HTTP says
	}
	response := resolve(responses[strconv.Itoa(status)])
	if response == nil && got.status >= 400 {
		response = resolve(responses["default"])
	}
	if response == nil {
		t.Errorf("%s %s: status %d isn't described", method, path, got.status)
		return
	}
	headers, _ := response["headers"].(map[string]any)
	for name, header := range headers {
		if strings.HasPrefix(name, "RateLimit-") && got.header.Get(name) == "" {
			continue // an address that isn't limited
		}
		text, schema := got.header.Get(name), resolve(header)["schema"].(map[string]any)
		var value any = text
		if schema["type"] == "integer" {
			value = json.Number(text)
		}
		if problems := validate("", schema, value); len(problems) > 0 {
			t.Errorf("%s %s: header %s: %s: %v", method, path, name, text, problems)
		}
	}
	content, _ := response["content"].(map[string]any)
	kind, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
	media, ok := content[kind].(map[string]any)
	if !ok && (len(got.body) > 0 || len(content) > 0 && method != http.MethodHead) {
		t.Errorf("%s %s: %d with content of type %q isn't described", method, path, got.status, kind)
		return
	}
	if !strings.HasSuffix(kind, "json") || len(got.body) == 0 {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(got.body))
	decoder.UseNumber()
	for decoder.More() {
		var value any
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		for _, problem := range validate("", resolve(media["schema"]), value) {
			t.Errorf("%s %s: %d %s", method, path, got.status, problem)
		}
	}
}

// operationOf finds what describes a request; plain paths go before patterns.
func operationOf(method, path string) map[string]any {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path, _, _ = strings.Cut(path, "?")
	var found map[string]any
	for template, item := range description()["paths"].(map[string]any) {
		pattern := regexp.MustCompile(`\\\{index\\\}`).ReplaceAllString(regexp.QuoteMeta(template), `[0-9x/.p]+`)
		pattern = regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(pattern, `[^/]+`)
		if operation, ok := item.(map[string]any)[strings.ToLower(method)].(map[string]any); ok && regexp.MustCompile("^"+pattern+"$").MatchString(path) {
			if found == nil || template == path {
				found = operation
			}
		}
	}
	return found
}

// resolve follows references; nil where there is nothing.
func resolve(v any) map[string]any {
	m, _ := v.(map[string]any)
	for m != nil && m["$ref"] != nil {
		at := any(description())
		for name := range strings.SplitSeq(strings.TrimPrefix(m["$ref"].(string), "#/"), "/") {
			inner, _ := at.(map[string]any)
			at = inner[name]
		}
		m, _ = at.(map[string]any)
	}
	return m
}

// validate knows of JSON Schema what the description uses.
func validate(at string, schema map[string]any, value any) (problems []string) {
	schema = resolve(schema)
	if ways, ok := schema["anyOf"].([]any); ok {
		for _, one := range ways {
			if problems = validate(at, one.(map[string]any), value); len(problems) == 0 {
				break
			}
		}
		return problems
	}
	fail := func(format string, args ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, args...)) }
	limit := func(name string, n int, above bool) {
		if text, ok := schema[name].(string); ok {
			if l, err := strconv.Atoi(text); err != nil || above && n > l || !above && n < l {
				fail("%d, %s is %s", n, name, text)
			}
		}
	}
	switch v := value.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		if schema["type"] != "object" {
			fail("an object")
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if v[name.(string)] == nil {
				fail("no %s", name)
			}
		}
		for name, inner := range v {
			if properties[name] == nil {
				fail("%s isn't described", name)
				continue
			}
			problems = append(problems, validate(at+"/"+name, properties[name].(map[string]any), inner)...)
		}
	case []any:
		if schema["type"] != "array" {
			fail("an array")
			return problems
		}
		limit("minItems", len(v), false)
		limit("maxItems", len(v), true)
		for i, inner := range v {
			problems = append(problems, validate(fmt.Sprint(at, "/", i), schema["items"].(map[string]any), inner)...)
		}
	case bool:
		if schema["type"] != "boolean" {
			fail("a boolean")
		}
	case string:
		if schema["type"] != "string" {
			fail("a string")
		}
		limit("minLength", utf8.RuneCountInString(v), false)
		limit("maxLength", utf8.RuneCountInString(v), true)
		if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(v) {
			fail("%.60q doesn't match %s", v, pattern)
		}
	case json.Number:
		n, err := strconv.Atoi(v.String())
		if schema["type"] != "integer" || err != nil {
			fail("a number")
		}
		limit("minimum", n, false)
		limit("maximum", n, true)
	default:
		fail("%T", value)
	}
	return problems
}

// yaml reads the part of YAML that the description is written in: maps, lists,
// lists in brackets, quoted and plain scalars, and blocks behind |-.
type yaml struct {
	lines []string
	at    int
}

// peek returns the next line that says something, and how far it is indented.
func (y *yaml) peek() (text string, indent int) {
	for ; y.at < len(y.lines); y.at++ {
		text = strings.TrimLeft(y.lines[y.at], " ")
		if text != "" && text[0] != '#' {
			return text, len(y.lines[y.at]) - len(text)
		}
	}
	return "", -1
}

func (y *yaml) node(indent int) any {
	text, _ := y.peek()
	if strings.HasPrefix(text, "- ") {
		var list []any
		for text, at := y.peek(); at == indent && strings.HasPrefix(text, "- "); text, at = y.peek() {
			if rest := text[2:]; !strings.Contains(rest, ": ") && !strings.HasSuffix(rest, ":") {
				y.at++
				list = append(list, scalar(rest))
				continue
			}
			y.lines[y.at] = strings.Repeat(" ", indent+2) + text[2:] // a map that begins behind the dash
			list = append(list, y.node(indent+2))
		}
		return list
	}
	m := make(map[string]any)
	for text, at := y.peek(); at == indent; text, at = y.peek() {
		name, value, _ := strings.Cut(text, ":")
		name, value = strings.Trim(name, `"`), strings.TrimSpace(value)
		y.at++
		switch {
		case value == "|-":
			var block []string
			for y.at < len(y.lines) && (y.lines[y.at] == "" || strings.HasPrefix(y.lines[y.at], strings.Repeat(" ", indent+1))) {
				block = append(block, strings.TrimSpace(y.lines[y.at]))
				y.at++
			}
			m[name] = strings.Join(block, "\n")
		case value != "":
			m[name] = scalar(value)
		default:
			if _, inner := y.peek(); inner > indent {
				m[name] = y.node(inner)
			}
		}
	}
	return m
}

func scalar(text string) any {
	switch {
	case text == "{}":
		return map[string]any{}
	case strings.HasPrefix(text, "["):
		list := []any{}
		for item := range strings.SplitSeq(strings.Trim(text, "[]"), ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		return list
	case strings.HasPrefix(text, `"`):
		var s string
		if json.Unmarshal([]byte(text), &s) != nil {
			panic("not a string: " + text)
		}
		return s
	}
	return strings.Trim(text, "'")
}
