// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
)

// What a citizen takes away. Each is made of the history of their own session; a form says which events of it.
var (
	excerptPage = page{path: accessesPath + "/estratto", methods: []string{http.MethodPost}, serve: serveExcerpt}
	wholePage   = page{path: accessesPath + "/intero", methods: []string{http.MethodGet, http.MethodPost}, serve: serveWhole}
	reportPage  = page{path: accessesPath + "/relazione", methods: []string{http.MethodGet}, serve: serveReport}
	dataPage    = page{path: accessesPath + "/dati", methods: []string{http.MethodPost}, serve: serveData}
)

// ownHistory waits for the history of a request's citizen.
func (s *server) ownHistory(ctx context.Context) (*accesses.History, error) {
	return s.historyOf(ctx, session.From(ctx).Subject)
}

// historyOf waits for a citizen's history.
func (s *server) historyOf(ctx context.Context, subject ledger.Subject) (*accesses.History, error) {
	m, err := s.histories.Get(subject)
	if err != nil {
		return nil, busy(err)
	}
	select {
	case <-m.Done():
		return m.Result()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serveExcerpt gives the events that were chosen as a file to show to others.
func serveExcerpt(s *server, w http.ResponseWriter, r *http.Request) error {
	chosen, ok := accesses.Chosen(r.PostForm["evento"])
	if !ok {
		return &statusError{status: http.StatusBadRequest, key: "nothing_chosen"}
	}
	h, err := s.ownHistory(r.Context())
	if err != nil {
		return err
	}
	x, err := h.Bundle.Choose(chosen)
	if errors.Is(err, history.ErrNotOpened) {
		return &statusError{status: http.StatusBadRequest, key: "not_yours"}
	} else if err != nil {
		return err
	}
	return s.sendBundle(w, r, x, excerptName(lang(r), r.PostFormValue("foglio")))
}

// excerptName is the file's name; of several letters each has its own, by their number.
func excerptName(lang, letter string) string {
	name := fileNames[lang]["excerpt"]
	if n, err := strconv.Atoi(letter); err == nil && n > 0 && n <= maxLetters {
		name = strings.Replace(name, ".", fmt.Sprintf("-%d.", n), 1)
	}
	return name
}

// serveWhole warns, and then gives the whole history.
func serveWhole(s *server, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return s.render(w, r, "whole", nil)
	}
	if r.PostFormValue("capito") != "1" {
		return &statusError{status: http.StatusBadRequest, key: "not_understood"}
	}
	h, err := s.ownHistory(r.Context())
	if err != nil {
		return err
	}
	return s.sendBundle(w, r, h.Bundle, fileNames[lang(r)]["whole"])
}

// fileNames say what a file is and nothing of whose it is.
var fileNames = map[string]map[string]string{
	"it": {"excerpt": "estratto.history", "whole": "storico-intero.history", "json": "accessi.json", "csv": "accessi.csv"},
	"en": {"excerpt": "excerpt.history", "whole": "whole-history.history", "json": "accesses.json", "csv": "accesses.csv"},
}

func (s *server) sendBundle(w http.ResponseWriter, r *http.Request, b *history.Bundle, name string) error {
	file, err := history.Format(b)
	if err != nil {
		return err
	}
	return s.sendFile(w, "application/gzip", name, file)
}

// sendFile gives a file to keep.
func (s *server) sendFile(w http.ResponseWriter, kind, name string, data []byte) error {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	_, err := w.Write(data)
	return err
}

// serveData gives what the list says, for other software.
func serveData(s *server, w http.ResponseWriter, r *http.Request) error {
	kind := r.PostFormValue("formato")
	name := fileNames[lang(r)][kind]
	if kind != "json" && kind != "csv" {
		return &statusError{status: http.StatusBadRequest, key: "form"}
	}
	h, err := s.ownHistory(r.Context())
	if err != nil {
		return err
	}
	list := accesses.NewList(h.Report, speaker(lang(r)), time.Time{})
	if kind == "csv" {
		data, err := list.CSV()
		if err != nil {
			return err
		}
		return s.sendFile(w, "text/csv; charset=utf-8; header=present", name, data)
	}
	data, err := list.JSON(h, lang(r))
	if err != nil {
		return err
	}
	return s.sendFile(w, "application/json", name, data)
}

// serveReport shows everything on one page to print.
func serveReport(s *server, w http.ResponseWriter, r *http.Request) error {
	h, err := s.ownHistory(r.Context())
	if err != nil {
		return err
	}
	v := newAccessesView(h, lang(r), time.Time{}, r)
	v.Groups = nil
	for _, g := range accesses.Groups(v.Accesses) {
		v.Groups = append(v.Groups, groupView{Group: g, Shown: g.Accesses})
	}
	return s.render(w, r, "report", v)
}
