// SPDX-License-Identifier: EUPL-1.2

package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/traccia-ledger/traccia/ledger"
)

// reader fills a Config from the file's tree. The library's own decoder would take a number for a text and the last of two
// equal names, and stop at the first fault: here all are told, each with its line.
type reader struct {
	file     string         // base name, for problems
	lines    map[string]int // by field: e_services/0/profile
	problems []ledger.Problem
	refused  map[string]bool // fields
	misread  map[string]bool // of these, when all was read: what they hold isn't known
}

// at is where a field, or the nearest one around it, stands.
func (r *reader) at(field string) string {
	for near := field; ; near = near[:strings.LastIndexByte(near, '/')] {
		if line, ok := r.lines[near]; ok {
			return fmt.Sprintf("%s:%d:%s", r.file, line, field)
		}
		if !strings.Contains(near, "/") {
			return r.file + ":" + field
		}
	}
}

// refuse tells a fault, unless it only follows from one that was told: of the same field, or of one that couldn't be read and
// that this one is in, or holds.
func (r *reader) refuse(code, field, expected, found string) {
	for around := field; ; around = around[:strings.LastIndexByte(around, '/')] {
		if r.misread[around] {
			return
		}
		if !strings.Contains(around, "/") {
			break
		}
	}
	for inside := range r.misread {
		if at := strings.LastIndexByte(inside, '/'); at > 0 && inside[:at] == field {
			return
		}
	}
	if r.refused[field] {
		return
	}
	r.refused[field] = true
	r.problems = append(r.problems, ledger.Problem{Code: code, Where: r.at(field), Expected: expected, Found: found})
}

// read parses the one document, and says whether it is one: then all of it was read that could be.
func (r *reader) read(data []byte, into *Config) bool {
	tree, err := parser.ParseBytes(data, 0)
	var bad yaml.Error
	switch {
	case errors.As(err, &bad):
		where := r.file
		if t := bad.GetToken(); t != nil && t.Position != nil {
			where += ":" + strconv.Itoa(t.Position.Line)
		}
		r.problems = append(r.problems, ledger.Problem{Code: ledger.CodeSyntax, Where: where, Expected: "YAML", Found: bad.GetMessage()})
	case err != nil || len(tree.Docs) != 1 || tree.Docs[0].Body == nil:
		r.problems = append(r.problems, ledger.Problem{Code: ledger.CodeSyntax, Where: r.file, Expected: "one YAML document", Found: "something else"})
	default:
		r.value(tree.Docs[0].Body, "", reflect.ValueOf(into).Elem())
		return !r.refused[""]
	}
	return false
}

func under(field, name string) string {
	if field == "" {
		return name
	}
	return field + "/" + name
}

var durationType = reflect.TypeFor[time.Duration]()

func (r *reader) value(n ast.Node, field string, into reflect.Value) {
	if t := n.GetToken(); t != nil && t.Position != nil && r.lines[field] == 0 && field != "" {
		r.lines[field] = t.Position.Line
	}
	switch {
	case into.Type() == durationType:
		text, ok := textOf(n)
		d, err := time.ParseDuration(text)
		if !ok || err != nil {
			r.refuse(ledger.CodeBadValue, field, "a duration as 30s or 2m", kindOf(n))
		}
		into.SetInt(int64(d))
	case into.Kind() == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		r.value(n, field, into.Elem())
	case into.Kind() == reflect.Struct:
		r.object(n, field, into)
	case into.Kind() == reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			r.refuse(ledger.CodeBadValue, field, "a list", kindOf(n))
			return
		}
		for i, item := range list.Values {
			into.Set(reflect.Append(into, reflect.Zero(into.Type().Elem())))
			r.value(item, field+"/"+strconv.Itoa(i), into.Index(i))
		}
	case into.Kind() == reflect.String:
		text, ok := textOf(n)
		if !ok || text == "" {
			r.refuse(ledger.CodeBadValue, field, "a text that isn't empty (in quotes, where it looks like something else)", kindOf(n))
		}
		into.SetString(text)
	case into.Kind() == reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			r.refuse(ledger.CodeBadValue, field, "true or false", kindOf(n))
			return
		}
		into.SetBool(b.Value)
	case into.Kind() == reflect.Int64:
		number, ok := n.(*ast.IntegerNode)
		if u, fits := integerOf(number); ok && fits {
			into.SetInt(u)
			return
		}
		r.refuse(ledger.CodeBadValue, field, "a whole number", kindOf(n))
	}
}

func integerOf(n *ast.IntegerNode) (int64, bool) {
	if n == nil {
		return 0, false
	}
	u, ok := n.Value.(uint64)
	return int64(u), ok && u <= math.MaxInt64
}

func (r *reader) object(n ast.Node, field string, into reflect.Value) {
	object, ok := n.(ast.MapNode)
	if _, alias := n.(*ast.AliasNode); !ok || alias {
		r.refuse(ledger.CodeBadValue, field, "names with values", kindOf(n))
		return
	}
	var names []string
	fields := make(map[string]reflect.Value)
	for i := range into.NumField() {
		name := into.Type().Field(i).Tag.Get("yaml")
		if name == "" {
			continue
		}
		names, fields[name] = append(names, name), into.Field(i)
	}
	seen := make(map[string]bool)
	for pairs := object.MapRange(); pairs.Next(); {
		key := pairs.Key()
		name := key.GetToken().Value
		at := under(field, name)
		r.lines[at] = key.GetToken().Position.Line
		to, known := fields[name]
		switch {
		case !known:
			slices.Sort(names)
			r.refuse(ledger.CodeUnknownName, at, "one of "+strings.Join(names, ", "), "another name")
		case seen[name]:
			r.refuse(ledger.CodeRepeated, at, "each name once", "one that occurs before")
		default:
			seen[name] = true
			r.value(pairs.Value(), at, to)
		}
	}
}

// textOf takes what YAML reads as a text, and nothing else.
func textOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

func kindOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		text, _ := textOf(n)
		return fmt.Sprintf("a text of %d characters", len([]rune(text)))
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "names with values"
	}
	return "an anchor, alias, tag or merge"
}
