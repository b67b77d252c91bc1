// SPDX-License-Identifier: EUPL-1.2

package browser

import (
	"bytes"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	sentences "github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/verifier"
)

//go:embed site
var siteFiles embed.FS

// Languages of the pages.
var Languages = []string{"it", "en"}

var pageFiles = map[string]string{"it": "index.html", "en": "en.html"}

// Panel is what a page shows to check with: forms, steps, verdict, limits and digests. Its script and style are the site's.
type Panel struct {
	Lang  string
	Base  string // address of the site's files, ending in a slash; may be relative
	Mine  string // address that answers to a form with the citizen's own history; "" where nobody is logged in
	Whole string // address of the page from which citizens take their whole history away; "" where there is none
	Trust string // a witness policy to begin with
	// Recorded says that the ledger has a record of the site, at this place.
	Recorded bool
	Year     uint32
	Index    uint64
}

// view is what the panel's template gets.
type view struct {
	Panel
	WASM, Digest, Sums, Toolchain string
	HistorySteps, ReceiptSteps    []string
	Says                          []said
	Other, OtherFile, OtherName   string
}

// said is a text that the script shows.
type said struct{ Key, Text string }

var receiptSteps = []string{
	verifier.StepFile, verifier.CheckCheckpoint, verifier.CheckInclusion, verifier.CheckBody, verifier.CheckSignature, verifier.CheckSubject,
}

// says are the keys of the texts that the script shows.
var says = []string{
	"loading", "fetching", "running", "good", "good_history", "good_excerpt", "good_receipt", "bad", "bad_text", "stopped", "stopped_text", "unsure", "unsure_text",
	"why_load", "why_secure", "why_fetch", "why_file", "why_none", "why_big", "why_crash", "why_trust", "why_witnesses", "why_parts",
	"state_waiting", "state_running", "state_ok", "state_failed", "state_unknown", "state_none",
	"event_open", "event_erased", "event_withheld", "event_unexplained",
}

// HTML makes the panel for this site.
func (s *Site) HTML(p Panel) (template.HTML, error) {
	text, err := s.execute(p, "panel")
	return template.HTML(text), err
}

// page makes a page of the static site.
func (s *Site) page(lang string) ([]byte, error) {
	return s.execute(Panel{Lang: lang, Base: "./"}, "page.html")
}

func (s *Site) execute(p Panel, name string) ([]byte, error) {
	w, err := wordsIn(p.Lang)
	if err != nil {
		return nil, err
	}
	t, err := template.New("").Funcs(template.FuncMap{"t": w.text, "words": w.with}).ParseFS(siteFiles, "site/*.html")
	if err != nil {
		return nil, err
	}
	v := view{
		Panel: p, WASM: s.Integrity(), Digest: hex.EncodeToString(s.WASM[:]), Toolchain: s.Made.Toolchain,
		HistorySteps: verifier.StepNames(), ReceiptSteps: receiptSteps, Other: "en", OtherFile: pageFiles["en"], OtherName: "English",
	}
	if p.Lang == "en" {
		v.Other, v.OtherFile, v.OtherName = "it", pageFiles["it"], "Italiano"
	}
	if len(s.Sums) > 0 {
		v.Sums = hex.EncodeToString(s.Digest[:])
	}
	for _, key := range says {
		text, err := w.text(key)
		if err != nil {
			return nil, err
		}
		v.Says = append(v.Says, said{key, text})
	}
	// What accesses were for, in the words of the list of accesses.
	purposes := sentences.Purposes(p.Lang)
	for _, word := range slices.Sorted(maps.Keys(purposes)) {
		v.Says = append(v.Says, said{"purpose " + word, purposes[word]})
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, v); err != nil {
		return nil, fmt.Errorf("couldn't make the page of the browser's verifier: %w", err)
	}
	return b.Bytes(), nil
}

// words are the texts of one language.
type words map[string]string

func wordsIn(lang string) (words, error) {
	data, err := siteFiles.ReadFile("site/words." + lang + ".json")
	if err != nil {
		return nil, err
	}
	var w words
	return w, json.Unmarshal(data, &w)
}

// Text returns a text of the panel's in a language.
func Text(lang, key string) (string, error) {
	w, err := wordsIn(lang)
	if err != nil {
		return "", err
	}
	return w.text(key)
}

func (w words) text(key string) (string, error) {
	text, ok := w[key]
	if !ok {
		return "", fmt.Errorf("no text %q", key)
	}
	return text, nil
}

// with puts values in the places of their names.
func (w words) with(key string, pairs ...any) (string, error) {
	text, err := w.text(key)
	list := make([]string, len(pairs))
	for i, p := range pairs {
		list[i] = fmt.Sprint(p)
	}
	return strings.NewReplacer(list...).Replace(text), err
}
