// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"html/template"
	"net/http"
	"strings"

	wasm "github.com/traccia-ledger/traccia/cmd/internal/browser"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
)

const verifyPath = "/verifica"

var (
	verifyPage = page{path: verifyPath, open: true, methods: []string{http.MethodGet}, wasm: true, serve: serveVerify, nav: "nav.verify"}
	minePage   = page{path: verifyPath + "/mia", methods: []string{http.MethodPost}, serve: serveMine}
)

// verifierPath begins the paths of the verifier's files.
const verifierPath = "/verificatore/"

// verifyView is what verify.html shows.
type verifyView struct {
	Title, Lead, Unready string
	Base                 string
	Panel                template.HTML // "" while there is no verifier
}

// verifier is the one that browsers get, and the log index of its record: nil unless this year's log has one.
func (s *server) verifier() (site *wasm.Site, index uint64) {
	if s.Verifier == nil {
		return nil, 0
	}
	if site = s.Verifier(); site == nil {
		return nil, 0
	}
	index, recorded := s.Node.Registry().Build(site.Digest)
	if !recorded {
		return nil, 0
	}
	return site, index
}

// serveVerify shows the page on which the browser checks a history itself.
func serveVerify(s *server, w http.ResponseWriter, r *http.Request) error {
	v := verifyView{Base: verifierPath}
	var err error
	for key, text := range map[string]*string{"title": &v.Title, "lead": &v.Lead, "why_unready": &v.Unready} {
		if *text, err = wasm.Text(lang(r), key); err != nil {
			return err
		}
	}
	site, index := s.verifier()
	if site == nil {
		return s.render(w, r, "verify", v)
	}
	p := wasm.Panel{Lang: lang(r), Base: verifierPath, Recorded: true, Year: s.Node.Epoch(), Index: index, Whole: "/" + lang(r) + wholePage.path}
	if session.From(r.Context()) != nil {
		p.Mine = "/" + lang(r) + minePage.path
	}
	policy, _, err := s.Node.ReaderPolicy()
	if err != nil {
		return err
	}
	text, err := checkpoint.FormatPolicy(policy)
	if err != nil {
		return err
	}
	p.Trust = string(text)
	if v.Panel, err = site.HTML(p); err != nil {
		return err
	}
	return s.render(w, r, "verify", v)
}

// serveMine gives the citizen's own history to the page that checks it.
func serveMine(s *server, w http.ResponseWriter, r *http.Request) error {
	h, err := s.ownHistory(r.Context())
	if err != nil {
		return err
	}
	file, err := history.Format(h.Bundle)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/gzip")
	_, err = w.Write(file)
	return err
}

// serveVerifier gives browsers the files of the verifier. One that the log doesn't record isn't given to anybody.
func (s *server) serveVerifier(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", http.MethodGet)
		return &statusError{status: http.StatusMethodNotAllowed, key: "method"}
	}
	site, _ := s.verifier()
	if site == nil || !site.Serve(w, r, strings.TrimPrefix(r.URL.Path, verifierPath)) {
		return errNoPage
	}
	return nil
}
