// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

const erasurePath = "/cancellazione"

// erasurePage is where a citizen asks that what the ledger keeps of them be erased (GDPR Art. 17), and reads the answer. Whoever
// runs the ledger answers: ledgerd erase --requests. A delegate doesn't ask here: nothing brings back what is erased.
var erasurePage = page{path: erasurePath, methods: []string{http.MethodGet, http.MethodPost}, serve: serveErasure}

// erasureView is what erasure.html shows.
type erasureView struct {
	Delegate bool // acts for another, and can't ask
	Request  *node.ErasureRequest
	Names    []string // of the months of Request
	Months   []erasureMonth
	Grounds  []erasureGround
	Words    string
	Lacking  string // what a form lacks: a key below erasure.lacking
	Confirm  bool   // the form is whole, and to be confirmed
}

// erasureMonth is one in which something is recorded, by which it is erased.
type erasureMonth struct {
	Month  string // 2026-11, UTC
	Name   string
	Events int
	Chosen bool
}

type erasureGround struct {
	Letter string
	Chosen bool
}

// Chosen are the months to be erased.
func (v erasureView) Chosen() (chosen []erasureMonth) {
	return slices.DeleteFunc(slices.Clone(v.Months), func(m erasureMonth) bool { return !m.Chosen })
}

// Ground is the one chosen, "" if none.
func (v erasureView) Ground() string {
	for _, g := range v.Grounds {
		if g.Chosen {
			return g.Letter
		}
	}
	return ""
}

func serveErasure(s *server, w http.ResponseWriter, r *http.Request) error {
	current := session.From(r.Context())
	if current.Mandate != nil {
		if r.Method == http.MethodPost {
			return &statusError{status: http.StatusForbidden, key: "delegate"}
		}
		return s.render(w, r, "erasure", erasureView{Delegate: true})
	}
	if r.Method == http.MethodPost {
		return s.askErasure(w, r, current.Subject)
	}
	v, err := s.erasureView(r, current.Subject)
	if err != nil {
		return err
	}
	return s.render(w, r, "erasure", v)
}

// erasureView says how a citizen's request stands, and what another could ask for.
func (s *server) erasureView(r *http.Request, subject ledger.Subject) (v erasureView, err error) {
	if v.Request, err = s.Node.OwnErasure(r.Context(), subject); err != nil {
		return v, err
	}
	if v.Request != nil {
		for _, m := range v.Request.Months {
			v.Names = append(v.Names, monthName(lang(r), m))
		}
		if v.Request.Open() {
			return v, nil
		}
	}
	h, err := s.ownHistory(r.Context())
	if err == nil && v.Request != nil && v.Request.Answered.After(h.Made) {
		s.histories.Forget(subject) // it shows what is erased since
		h, err = s.ownHistory(r.Context())
	}
	if err != nil {
		return v, err
	}
	v.Months = erasableMonths(accesses.NewList(h.Report, speaker(lang(r)), time.Time{}), lang(r))
	for _, letter := range node.ErasureGrounds {
		v.Grounds = append(v.Grounds, erasureGround{Letter: string(letter)})
	}
	return v, nil
}

// erasableMonths are those that a list has something of, the latest first. Requests stay: they are the ground of what was erased.
func erasableMonths(l *accesses.List, lang string) (list []erasureMonth) {
	events := map[string]int{}
	for _, a := range slices.Concat(l.Accesses, l.Own) {
		if a.Kind != ledger.KindRequest {
			events[a.Recorded.UTC().Format("2006-01")]++
		}
	}
	for month, n := range events {
		list = append(list, erasureMonth{Month: month, Name: monthName(lang, month), Events: n})
	}
	slices.SortFunc(list, func(a, b erasureMonth) int { return strings.Compare(b.Month, a.Month) })
	return list
}

// monthName writes a month like 2026-11 in words.
func monthName(lang, month string) string {
	t, err := time.Parse("2006-01", month)
	if err != nil {
		return month
	}
	return fmt.Sprintf("%s %d", months[lang][t.Month()-1], t.Year())
}

func (s *server) askErasure(w http.ResponseWriter, r *http.Request, subject ledger.Subject) error {
	here := "/" + lang(r) + erasurePath
	step := r.PostFormValue("passo")
	if step == "ritira" {
		if err := s.Node.WithdrawErasure(r.Context(), subject); err != nil && !errors.Is(err, node.ErrErasureNotOpen) {
			return err
		}
		return s.redirect(w, r, here)
	}
	if step != "controlla" && step != "conferma" {
		return &statusError{status: http.StatusBadRequest, key: "form"}
	}
	v, err := s.erasureView(r, subject)
	if err != nil {
		return err
	}
	if v.Request != nil && v.Request.Open() {
		return s.redirect(w, r, here)
	}
	v.Request = nil
	v.Words = strings.TrimSpace(strings.ReplaceAll(r.PostFormValue("parole"), "\r\n", "\n"))
	for i := range v.Months {
		v.Months[i].Chosen = slices.Contains(r.PostForm["mese"], v.Months[i].Month)
	}
	for i := range v.Grounds {
		v.Grounds[i].Chosen = v.Grounds[i].Letter == r.PostFormValue("motivo")
	}
	chosen := v.Chosen()
	switch {
	case len(chosen) == 0:
		v.Lacking = "months"
	case v.Ground() == "":
		v.Lacking = "ground"
	case utf8.RuneCountInString(v.Words) > node.MaxErasureWords:
		v.Lacking = "words"
	case step == "controlla":
		v.Confirm = true
		return s.render(w, r, "erasure", v)
	case r.PostFormValue("capito") != "1":
		v.Confirm, v.Lacking = true, "understood"
	}
	if v.Lacking != "" {
		return s.renderStatus(w, r, http.StatusBadRequest, "erasure", v)
	}
	var asked []string
	for _, m := range chosen {
		asked = append(asked, m.Month)
	}
	if _, err := s.Node.RequestErasure(r.Context(), subject, asked, v.Ground(), v.Words); err != nil && !errors.Is(err, node.ErrErasureOpen) {
		return err
	}
	return s.redirect(w, r, here)
}
