// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/register"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
)

// A page's template defines "title" and "main"; layout.html is around them.
//
//go:embed templates/*.html
var templateFiles embed.FS

// templates of one language, by name without ".html".
type templates map[string]*template.Template

const (
	layoutFile = "layout.html"
	partsFile  = "parts.html" // what pages share
)

// view is what templates get; Page is the page's own part.
type view struct {
	Lang     string
	Path     string // of the page below the language
	Here     bool   // it is the page at Path, so that another language has it too
	Query    string // of a public page, likewise; with its "?"
	Session  *session.Session
	Operator Operator
	Nav      []page
	Sample   bool // a ledger with invented people
	Open     bool // nobody can enter
	Messages bool // those of logins are kept
	Page     any
}

// Languages are all of ours, for the switch between them.
func (v view) Languages() []string { return languages }

// URL is a page's address in the view's language.
func (v view) URL(path string) string { return "/" + v.Lang + path }

// PathName is the view's page as a form names it.
func (v view) PathName() string { return strings.TrimPrefix(v.Path, "/") }

// Path and Name are for the navigation.
func (p page) Path() string { return p.path }

// Name is the key of the page's name in the navigation.
func (p page) Name() string { return p.nav }

func (s *server) parseTemplates() (map[string]templates, error) {
	files, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	all := map[string]templates{}
	for _, lang := range languages {
		layout, err := template.New(layoutFile).Funcs(s.functions(lang)).ParseFS(templateFiles, "templates/"+layoutFile, "templates/"+partsFile)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the layout: %w", err)
		}
		all[lang] = templates{}
		for _, f := range files {
			if f.Name() == layoutFile || f.Name() == partsFile {
				continue
			}
			t, err := layout.Clone()
			if err == nil {
				t, err = t.ParseFS(templateFiles, path.Join("templates", f.Name()))
			}
			if err != nil {
				return nil, fmt.Errorf("couldn't read a template: %w", err)
			}
			all[lang][strings.TrimSuffix(f.Name(), ".html")] = t
		}
	}
	return all, nil
}

// functions that templates have.
func (s *server) functions(lang string) template.FuncMap {
	texts := s.texts[lang]
	return template.FuncMap{
		"t":      texts.text,   // {{t "landing.title"}}
		"plural": texts.plural, // {{plural "error.wait" 3}}
		"day":    func(t time.Time) string { return day(lang, t) },
		"moment": func(t time.Time) string { return moment(lang, t) },
		"clock":  func(t time.Time) string { return t.In(italy).Format("15:04") },
		"month":  func(m time.Month) string { return months[lang][m-1] },
		"short":  func(m time.Month) string { return months[lang][m-1][:3] },
		"place":  func(p register.Place) placeView { return placeView{lang, p} },
		"check":  func(c register.Check) checkView { return checkView{lang, c} },
		"number": func(n uint64) string { return number(lang, n) },
		"asset":  s.assets.url,
		// icon is one of Bootstrap Italia's, that says nothing to who can't see it.
		"icon": func(name string, classes ...string) (template.HTML, error) {
			sprites, err := s.assets.url("svg/sprites.svg")
			return template.HTML(fmt.Sprintf(`<svg class="icon %s" aria-hidden="true" focusable="false"><use href="%s#%s"></use></svg>`,
				template.HTMLEscapeString(strings.Join(classes, " ")), sprites, template.HTMLEscapeString(name))), err
		},
	}
}

// render answers with a page. Nothing is sent before the whole of it is there.
func (s *server) render(w http.ResponseWriter, r *http.Request, name string, data any) error {
	return s.renderStatus(w, r, http.StatusOK, name, data)
}

func (s *server) renderStatus(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	text, err := s.compose(r, name, data)
	if err != nil {
		return err
	}
	return s.send(w, r, status, text)
}

// compose makes a page.
func (s *server) compose(r *http.Request, name string, data any) ([]byte, error) {
	lang := pageLang(r)
	_, below := split(r.URL.Path)
	v := view{Lang: lang, Path: below, Here: s.readable(below), Session: session.From(r.Context()), Operator: s.Operator, Open: s.Origin == "", Messages: s.Messages, Page: data}
	if query := registerQuery(r); strings.HasPrefix(below, registerPath) && len(query) > 0 {
		v.Query = "?" + query.Encode()
	}
	for _, d := range s.Doors {
		v.Sample = v.Sample || d.Kind() == "sample"
	}
	for _, p := range s.pages {
		if p.nav != "" && (p.open || v.Session != nil) {
			v.Nav = append(v.Nav, p)
		}
	}
	var b bytes.Buffer
	t := s.templates[lang][name]
	if t == nil {
		return nil, fmt.Errorf("no template %q", name)
	}
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("couldn't make a page: %w", err)
	}
	if v.Session == nil {
		return b.Bytes(), nil
	}
	field := fmt.Sprintf(`$0<input type="hidden" name="%s" value="%s">`, personField, template.HTMLEscapeString(v.Session.Person()))
	return formTag.ReplaceAll(b.Bytes(), []byte(field)), nil
}

// personField is what every form of a citizen's page has, by which it acts for nobody but whom the page shows: in another tab
// another code may be chosen meanwhile, or a mandate may have ended. It is no secret; other sites' forms are refused before.
const personField = "persona"

// formTag begins a form. No attribute's value has a ">": templates escape it.
var formTag = regexp.MustCompile(`<form\b[^>]* method="post"[^>]*>`)

// send answers with a page, or with its beginning.
func (s *server) send(w http.ResponseWriter, r *http.Request, status int, text []byte) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", pageLang(r))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(text)
	}
	return nil
}

// pageLang is the language of the page that answers a request.
func pageLang(r *http.Request) string {
	if l := lang(r); l != "" {
		return l
	}
	return preferred(r)
}

// lang is the language of a request's path.
func lang(r *http.Request) string {
	l, _ := split(r.URL.Path)
	return l
}
