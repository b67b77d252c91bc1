// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPages: each page in each language, for a visitor and for a citizen.
func TestPages(t *testing.T) {
	s := newSite(t, nil)
	for who, b := range map[string]*browser{"visitor": s.visitor(), "citizen": s.enter(anna)} {
		for _, p := range allPages() {
			if !slices.Contains(p.methods, http.MethodGet) {
				continue
			}
			for _, lang := range languages {
				a := b.get("/" + lang + p.path)
				switch {
				case a.status == http.StatusSeeOther && (who == "visitor" && !p.open || who == "citizen" && p.path == enterPath):
				case a.status != http.StatusOK || !strings.Contains(a.body, `<html lang="`+lang+`">`) || a.header.Get("Content-Language") != lang:
					t.Errorf("%s, /%s%s: %d %s", who, lang, p.path, a.status, a.header.Get("Location"))
				case strings.Contains(a.body, string(anna)) != (who == "citizen"):
					t.Errorf("%s, /%s%s shows the wrong code", who, lang, p.path)
				}
			}
		}
	}
	if a := s.visitor().get("/", "Accept-Language", "de, en;q=0.5"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/en" {
		t.Errorf("/ for English: %d %v", a.status, a.header)
	}
	if a := s.visitor().get("/", "Accept-Language", "de"); a.header.Get("Location") != "/it" {
		t.Errorf("/ for German: %d %v", a.status, a.header)
	}
	if a := s.visitor().get("/it/"); a.status != http.StatusMovedPermanently || a.header.Get("Location") != "/it" {
		t.Errorf("/it/: %d %v", a.status, a.header)
	}
}

// TestPrivacy: the privacy page names each cookie, and both it and the login's say that messages are kept where they are.
func TestPrivacy(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var cookies []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\t[a-z]+Cookie += "(.*)"`).FindAllStringSubmatch(string(data), -1) {
			cookies = append(cookies, m[1])
		}
	}
	for _, kept := range []bool{false, true} {
		b := newSite(t, func(c *Config) { c.Messages = kept }).visitor()
		for path, wants := range map[string][]string{"/en/privacy": cookies, "/en/entra": nil} {
			page := b.get(path).body
			if strings.Contains(page, "for 24 months") != kept {
				t.Errorf("%s, messages kept: %v", path, kept)
			}
			for _, want := range append(wants, "stays in the list, encrypted") {
				if !strings.Contains(page, want) {
					t.Errorf("%s lacks %q", path, want)
				}
			}
			if n := strings.Count(page, "<dt>"); n != len(wants) {
				t.Errorf("%s tells of %d cookies, there are %d", path, n, len(wants))
			}
		}
	}
}

// TestAssets: those that pages name are there, under a name that changes with them, from nowhere else.
func TestAssets(t *testing.T) {
	s := newSite(t, nil)
	b := s.visitor()
	page := b.get("/it").body
	named := regexp.MustCompile(`(?:href|src)="([^"#]*)`).FindAllStringSubmatch(page, -1)
	assets := 0
	for _, m := range named {
		switch path := m[1]; {
		case strings.HasPrefix(path, s.pages.assets.prefix):
			assets++
			a := b.get(path, "Accept-Encoding", "gzip")
			if a.status != http.StatusOK || !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("Content-Encoding") != "gzip" {
				t.Errorf("%s: %d %v", path, a.status, a.header)
			}
		case path == "": // of this page
		case strings.Contains(page, `src="`+path), strings.Contains(page, `stylesheet" href="`+path):
			t.Errorf("the page fetches %s", path)
		}
	}
	if assets < 3 {
		t.Errorf("%d assets in %v", assets, named)
	}
	for name, file := range s.pages.assets.files {
		if !strings.HasSuffix(name, ".css") {
			continue
		}
		for _, m := range regexp.MustCompile(`url\(["']?([^"')]*)`).FindAllStringSubmatch(string(file.plain), -1) {
			if _, ok := s.pages.assets.files[strings.TrimPrefix(m[1], "../")]; !ok && !strings.HasPrefix(m[1], "data:") {
				t.Errorf("%s fetches %s", name, m[1])
			}
		}
	}
	for _, path := range []string{"/assets/none", "/assets/0000000000000000/css/traccia.css", s.pages.assets.prefix + "README.md", s.pages.assets.prefix + "../web.go"} {
		if a := b.get(path); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// TestCatalogs: the same keys in each language with the same verbs, each used, and none missing.
func TestCatalogs(t *testing.T) {
	texts, err := readCatalogs()
	if err != nil {
		t.Fatal(err)
	}
	verbs := regexp.MustCompile(`%(\[\d+\])?[a-z%]`)
	for key, text := range texts["it"] {
		other, ok := texts["en"][key]
		a, b := verbs.FindAllString(text, -1), verbs.FindAllString(other, -1)
		slices.Sort(a)
		slices.Sort(b)
		if !ok || !slices.Equal(a, b) || strings.TrimSpace(text) == "" || strings.TrimSpace(other) == "" {
			t.Errorf("%s: %q and %q", key, text, other)
		}
	}
	for key := range texts["en"] {
		if _, ok := texts["it"][key]; !ok {
			t.Errorf("%s: in English alone", key)
		}
	}
	// Keys in templates and in Go, also those made with fmt: {{t (printf "error.%s.title" .Key)}}.
	used := map[string]bool{}
	literal := regexp.MustCompile(`"([a-z][a-z0-9_]*(?:\.(?:[a-z0-9_%]+))+)"`)
	for _, pattern := range []string{"*.go", "templates/*.html"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range literal.FindAllStringSubmatch(string(data), -1) {
				form := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(m[1]), "%s", `[a-z0-9_-]+`) + `(\.one|\.many)?$`)
				for key := range texts["it"] {
					used[key] = used[key] || form.MatchString(key)
				}
			}
			for _, m := range regexp.MustCompile(`\{\{-?\s*(?:t|plural) "([^"]+)"`).FindAllStringSubmatch(string(data), -1) {
				if _, ok := texts["it"][m[1]]; !ok && texts["it"][m[1]+".one"] == "" {
					t.Errorf("%s: no text %q", f, m[1])
				}
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(texts["it"])) {
		if !used[key] {
			t.Errorf("%s: nothing uses it", key)
		}
	}
}

// TestCodes: a person with several codes chooses among them, and among no others.
func TestCodes(t *testing.T) {
	s := newSite(t, nil)
	b := s.enter(anna, bruno)
	shows := func(code string) {
		t.Helper()
		if a := b.get("/it"); !strings.Contains(a.body, `<strong class="traccia-code">`+code+`</strong>`) {
			t.Errorf("it doesn't show %s", code)
		}
	}
	shows(string(anna))
	if a := b.post("/it/codice", url.Values{"quale": {"1"}, "verso": {"privacy"}}); a.status != http.StatusSeeOther || a.header.Get("Location") != "/it/privacy" {
		t.Errorf("the other code: %d %v", a.status, a.header)
	}
	shows(string(bruno))
	for _, which := range []string{"2", "-1", "", "RSSMRA80A01H5LMX"} {
		if a := b.post("/it/codice", url.Values{"quale": {which}}); a.status != http.StatusBadRequest {
			t.Errorf("code %q: %d", which, a.status)
		}
	}
	shows(string(bruno))
}
