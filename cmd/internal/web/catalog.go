// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"
	_ "time/tzdata" // pages say Italy's time wherever they are served

	"golang.org/x/text/language"

	"github.com/traccia-ledger/traccia/cmd/internal/words"
)

// Words that citizens read, catalogs/<page>.<language>.json: one object of keys and texts. A text may have fmt's verbs.
//
//go:embed catalogs/*.json
var catalogFiles embed.FS

// languages of the pages; the first is that of visitors who prefer none.
var languages = []string{"it", "en"}

var matcher = language.NewMatcher([]language.Tag{language.Italian, language.English})

// preferred is the language of ours that a browser asks for.
func preferred(r *http.Request) string {
	_, i := language.MatchStrings(matcher, r.Header.Get("Accept-Language"))
	return languages[i]
}

// catalog has the texts of one language.
type catalog map[string]string

func readCatalogs() (map[string]catalog, error) {
	all := map[string]catalog{}
	for _, lang := range languages {
		all[lang] = catalog{}
	}
	files, err := catalogFiles.ReadDir("catalogs")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		parts := strings.Split(f.Name(), ".")
		data, err := catalogFiles.ReadFile(path.Join("catalogs", f.Name()))
		if err != nil {
			return nil, err
		}
		texts := map[string]string{}
		if len(parts) != 3 || all[parts[1]] == nil {
			return nil, fmt.Errorf("catalog %s: expected <page>.<language>.json", f.Name())
		}
		if err := json.Unmarshal(data, &texts); err != nil {
			return nil, fmt.Errorf("catalog %s: %w", f.Name(), err)
		}
		for key, text := range texts {
			if _, twice := all[parts[1]][key]; twice {
				return nil, fmt.Errorf("catalog %s: %q is in another too", f.Name(), key)
			}
			all[parts[1]][key] = text
		}
	}
	return all, nil
}

// text returns a text with its arguments; an error if there is none of this key.
func (c catalog) text(key string, arguments ...any) (string, error) {
	text, ok := c[key]
	if !ok {
		return "", fmt.Errorf("no text %q", key)
	}
	if len(arguments) > 0 {
		text = words.Elided(fmt.Sprintf(text, arguments...))
	}
	return text, nil
}

// plural is text of key.one or key.many, by the number, which is its first argument.
func (c catalog) plural(key string, n int, arguments ...any) (string, error) {
	if n == 1 {
		key += ".one"
	} else {
		key += ".many"
	}
	return c.text(key, append([]any{n}, arguments...)...)
}

var italy = func() *time.Location {
	l, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		panic(err) // its data are linked in
	}
	return l
}()

var months = map[string][]string{
	"it": {"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"},
	"en": {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
}

// day writes a date in words: 22 novembre 2026.
func day(lang string, t time.Time) string {
	t = t.In(italy)
	return fmt.Sprintf("%d %s %d", t.Day(), months[lang][t.Month()-1], t.Year())
}

// moment writes a date and Italy's time of day: 22 novembre 2026, 09:30.
func moment(lang string, t time.Time) string {
	return day(lang, t) + ", " + t.In(italy).Format("15:04")
}
