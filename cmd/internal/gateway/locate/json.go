// SPDX-License-Identifier: EUPL-1.2

package locate

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Pointer is a place in JSON.
type Pointer struct{ segments []string }

// ParsePointer is strict: String gives the same text back.
func ParsePointer(s string) (Pointer, error) {
	if s == "" || s[0] != '/' {
		return Pointer{}, errors.New("a JSON Pointer that begins with /")
	}
	segments := strings.Split(s[1:], "/")
	if len(segments) > maxSteps {
		return Pointer{}, errors.New("a JSON Pointer of at most " + strconv.Itoa(maxSteps) + " segments")
	}
	for i, segment := range segments {
		for j := range len(segment) {
			if segment[j] == '~' && (j+1 == len(segment) || segment[j+1] != '0' && segment[j+1] != '1') {
				return Pointer{}, errors.New("a JSON Pointer with ~ only in ~0 and ~1")
			}
		}
		segments[i] = strings.ReplaceAll(strings.ReplaceAll(segment, "~1", "/"), "~0", "~")
	}
	return Pointer{segments}, nil
}

func (p Pointer) String() string {
	var b strings.Builder
	for _, segment := range p.segments {
		b.WriteString("/" + strings.ReplaceAll(strings.ReplaceAll(segment, "~", "~0"), "/", "~1"))
	}
	return b.String()
}

// JSON reads one JSON value. A place whose array has no items leads nowhere without being missing.
func JSON(r io.Reader, places []Pointer, f Finder) error {
	source := &limited{r: r}
	w := &jsonReader{source: source, decoder: jsontext.NewDecoder(source, jsontext.AllowDuplicateNames(true)), places: places, finder: f}
	states := make([]state, len(places))
	for i := range places {
		states[i].place = i
	}
	if err := w.value(states); err != nil {
		return err
	}
	if _, err := w.decoder.ReadToken(); err != io.EOF {
		return source.fault("something behind the JSON value")
	}
	return nil
}

// state is how far a place has been followed: segments before at are behind.
type state struct{ place, at int }

type jsonReader struct {
	source  *limited
	decoder *jsontext.Decoder
	places  []Pointer
	finder  Finder
}

func (w *jsonReader) token() (jsontext.Token, error) {
	t, err := w.decoder.ReadToken()
	if err != nil {
		return t, w.source.fault("no JSON")
	}
	w.source.behind = w.decoder.InputOffset()
	return t, nil
}

// skip passes over a value that no place leads into. It goes token by token, so that memory stays bounded.
func (w *jsonReader) skip() error {
	for depth := w.decoder.StackDepth(); ; {
		if _, err := w.token(); err != nil || w.decoder.StackDepth() == depth {
			return err
		}
	}
}

// next is the segment that a state has to follow; ended, that it is where it leads.
func (w *jsonReader) next(s state) (segment string, ended bool) {
	segments := w.places[s.place].segments
	if s.at == len(segments) {
		return "", true
	}
	return segments[s.at], false
}

// value goes no deeper than the places do.
func (w *jsonReader) value(states []state) error {
	if len(states) == 0 {
		return w.skip()
	}
	t, err := w.token()
	if err != nil {
		return err
	}
	switch t.Kind() {
	case '{':
		return w.object(states)
	case '[':
		return w.array(states)
	case '"':
		text := t.String() // t is good until the next token alone
		return w.end(states, func(place int) error { return w.finder.Found(place, text) })
	case 'n':
		return w.end(states, w.finder.Missing)
	case 't', 'f':
		return w.end(states, func(place int) error { return w.finder.Wrong(place, "a boolean") })
	}
	return w.end(states, func(place int) error { return w.finder.Wrong(place, "a number") })
}

// end is at a value that no place leads through.
func (w *jsonReader) end(states []state, there func(place int) error) error {
	for _, s := range states {
		report := w.finder.Missing
		if _, ended := w.next(s); ended {
			report = there
		}
		if err := report(s.place); err != nil {
			return err
		}
	}
	return nil
}

// through keeps the states that go on into an object or array.
func (w *jsonReader) through(states []state, kind string) ([]state, error) {
	var on []state
	for _, s := range states {
		if _, ended := w.next(s); !ended {
			on = append(on, s)
		} else if err := w.finder.Wrong(s.place, kind); err != nil {
			return nil, err
		}
	}
	return on, nil
}

func (w *jsonReader) object(states []state) error {
	states, err := w.through(states, "an object")
	if err != nil {
		return err
	}
	seen := make([]bool, len(states))
	for w.more() {
		t, err := w.token()
		if err != nil {
			return err
		}
		name := t.String()
		var inside []state
		for i, s := range states {
			switch segment, _ := w.next(s); {
			case segment == "*":
			case segment == name:
				inside, seen[i] = append(inside, state{s.place, s.at + 1}), true
			case Alike(segment, name):
				if err := w.finder.Alike(s.place); err != nil {
					return err
				}
			}
		}
		if err := w.value(inside); err != nil {
			return err
		}
	}
	return w.close(states, seen)
}

func (w *jsonReader) array(states []state) error {
	states, err := w.through(states, "an array")
	if err != nil {
		return err
	}
	seen := make([]bool, len(states))
	for i, s := range states {
		segment, _ := w.next(s)
		seen[i] = segment == "*"
	}
	for n := 0; w.more(); n++ {
		var inside []state
		for i, s := range states {
			if segment, _ := w.next(s); segment == "*" || segment == strconv.Itoa(n) {
				inside, seen[i] = append(inside, state{s.place, s.at + 1}), true
			}
		}
		if err := w.value(inside); err != nil {
			return err
		}
	}
	return w.close(states, seen)
}

func (w *jsonReader) close(states []state, seen []bool) error {
	if _, err := w.token(); err != nil {
		return err
	}
	for i, s := range states {
		if !seen[i] {
			if err := w.finder.Missing(s.place); err != nil {
				return err
			}
		}
	}
	return nil
}

// more says whether an object or array goes on, or is broken, which the next token tells.
func (w *jsonReader) more() bool {
	kind := w.decoder.PeekKind()
	return kind != '}' && kind != ']'
}
