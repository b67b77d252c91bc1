// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"os"
)

//go:embed *.html
var pageFiles embed.FS

// The pages are self-contained: no script, no link, nothing to fetch. page.html has what they have in common.
var pages = template.Must(template.ParseFS(pageFiles, "*.html"))

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
