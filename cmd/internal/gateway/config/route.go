// SPDX-License-Identifier: EUPL-1.2

package config

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// Route is what a request is for.
type Route struct {
	Service   *EService
	Operation *Operation
	Variables map[string]string // of the template, decoded
	Rest      string            // the path behind the e-service's URL, escaped as it came
}

// Codes of requests that are for nothing here: 404, 404 and 405.
const (
	CodeNoService   = "no_service"
	CodeNoOperation = "no_operation"
	CodeNoMethod    = "no_method"
)

// overrides are headers by which some servers take a request for one of another method or path.
var overrides = []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"}

// Route finds the operation of a request by its path: the longest URL of an e-service, and then the template, of which one
// with a text in a segment goes before one with a variable. A path with empty or dot segments, or with an escaped slash, is
// for nothing: the provider's server might read it as another than the gateway. So might it a request with a header that
// overrides method or path, which is refused. Problems repeat nothing of the path.
func (c *Config) Route(r *http.Request) (*Route, *ledger.Problem) {
	for _, name := range overrides {
		if len(r.Header.Values(name)) > 0 {
			return nil, &ledger.Problem{Code: ledger.CodeBadValue, Where: "header:" + name, Expected: "no header that overrides method or path", Found: "one"}
		}
	}
	path := r.URL.EscapedPath()
	var service *EService
	longest := -1
	for i := range c.EServices {
		base := basePath(c.EServices[i].URL)
		if (path == base || strings.HasPrefix(path, base+"/")) && len(base) > longest {
			service, longest = &c.EServices[i], len(base)
		}
	}
	if service == nil {
		return nil, &ledger.Problem{Code: CodeNoService, Where: "path", Expected: "a path of an e-service that this gateway serves", Found: "another path"}
	}
	rest := path[longest:] // "" and / are the same operation, and go on as they came
	segments, ok := split(rest)
	if !ok {
		return nil, &ledger.Problem{Code: CodeNoOperation, Where: "path", Expected: "a path without empty and dot segments and escaped slashes", Found: "one with them"}
	}
	var best *Route
	var methods []string
	for i := range service.Operations {
		o := &service.Operations[i]
		variables, ok := match(o.Path, segments)
		switch {
		case !ok:
		case o.Method != r.Method:
			methods = append(methods, o.Method)
		case best == nil || shape(o.Path) > shape(best.Operation.Path):
			best = &Route{service, o, variables, rest}
		}
	}
	switch {
	case best != nil:
		return best, nil
	case len(methods) > 0:
		slices.Sort(methods)
		return nil, &ledger.Problem{Code: CodeNoMethod, Where: "method", Expected: strings.Join(slices.Compact(methods), ", "), Found: "another method"}
	}
	return nil, &ledger.Problem{Code: CodeNoOperation, Where: "path", Expected: "a path of an operation of " + service.Name, Found: "another path"}
}

// basePath is the path of an e-service's URL, without a slash at its end.
func basePath(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Path, "/")
}

func split(rest string) ([]string, bool) {
	if rest == "" || rest == "/" {
		return []string{""}, true
	}
	segments := strings.Split(rest[1:], "/")
	for i, s := range segments {
		text, err := url.PathUnescape(s)
		if err != nil || text == "" || text == "." || text == ".." || strings.ContainsAny(text, "/\\\x00") {
			return nil, false
		}
		segments[i] = text
	}
	return segments, true
}

// variable is the name in a segment {name}.
func variable(segment string) (string, bool) {
	if len(segment) > 2 && segment[0] == '{' && segment[len(segment)-1] == '}' {
		return segment[1 : len(segment)-1], true
	}
	return "", false
}

func match(template string, segments []string) (map[string]string, bool) {
	parts := strings.Split(template[1:], "/")
	if len(parts) != len(segments) {
		return nil, false
	}
	variables := make(map[string]string)
	for i, part := range parts {
		if name, ok := variable(part); ok {
			variables[name] = segments[i]
		} else if part != segments[i] {
			return nil, false
		}
	}
	return variables, true
}

// shape is a template without its variables' names. Of two that match a path, the greater has a text earlier: nothing in a
// template sorts before the space that stands for a variable.
func shape(template string) string {
	parts := strings.Split(template, "/")
	for i, part := range parts {
		if _, ok := variable(part); ok {
			parts[i] = " "
		}
	}
	return strings.Join(parts, "/")
}
