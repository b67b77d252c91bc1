// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"os"
	"strconv"

	"github.com/traccia-ledger/traccia/verifier"
)

//go:embed *.html
var pageFiles embed.FS

// The pages are self-contained: no script, no link, nothing to fetch. page.html has what they have in common.
var pages = template.Must(template.New("").Funcs(template.FuncMap{"counted": counts, "number": numberText}).ParseFS(pageFiles, "*.html"))

// countTable is a heading with counts below it.
type countTable struct {
	Lang, Title string
	Counts      []verifier.AuditCount
}

func counts(lang, title string, list []verifier.AuditCount) countTable {
	return countTable{lang, title, list}
}

// numberText is a number as people of a language write it.
func numberText(lang string, n uint64) string {
	text := strconv.FormatUint(n, 10)
	separator := map[string]string{"it": ".", "en": ","}[lang]
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + separator + text[at:]
	}
	return text
}

// writeHTML writes a page, which only its user can read.
func writeHTML(path, name string, data any) error {
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, name, data); err != nil {
		return fmt.Errorf("couldn't make the page: %w", err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("couldn't write the page: %w", err)
	}
	return nil
}
