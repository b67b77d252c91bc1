// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/notice"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/store"
)

const noticesPath = "/avvisi"

// noticesPage is where a citizen has notices sent by e-mail, and stops them. They are off until then.
var noticesPage = page{path: noticesPath, methods: []string{http.MethodGet, http.MethodPost}, serve: serveNotices}

// noticesView is what notices.html shows.
type noticesView struct {
	Unavailable bool // the operator sends none
	Delegate    bool
	Address     *notice.Address // nil: off
	Typed       string          // what isn't an address
	Wrong       string          // a key below notices.wrong
}

// newDesk is where addresses are kept; nil where the operator sends no notices.
func (s *server) newDesk() *notice.Desk {
	if s.Notices == nil {
		return nil
	}
	words := func(lang, what string, arguments ...any) (subject, text string, err error) {
		texts := s.texts[lang]
		if subject, err = texts.text(fmt.Sprintf("notices.mail.%s.subject", what)); err != nil {
			return "", "", err
		}
		text, err = texts.text(fmt.Sprintf("notices.mail.%s.text", what), append([]any{s.Operator.Name}, arguments...)...)
		return subject, text, err
	}
	return &notice.Desk{Ledger: s.Node, Sender: s.Notices, Bodies: s.bodiesOf, Words: words, Log: s.Log}
}

// bodiesOf are the bodies that a citizen's list has, made anew.
func (s *server) bodiesOf(ctx context.Context, subject ledger.Subject) ([]string, error) {
	s.histories.Forget(subject)
	h, err := s.historyOf(ctx, subject)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, a := range accesses.NewList(h.Report, speaker(languages[0]), time.Time{}).Accesses {
		if !slices.Contains(ids, a.Body) {
			ids = append(ids, a.Body)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func serveNotices(s *server, w http.ResponseWriter, r *http.Request) error {
	current := session.From(r.Context())
	switch {
	case current.Mandate != nil && r.Method == http.MethodPost:
		return &statusError{status: http.StatusForbidden, key: "delegate"}
	case current.Mandate != nil:
		return s.render(w, r, "notices", noticesView{Delegate: true})
	case s.noticeDesk == nil && r.Method == http.MethodPost:
		return &statusError{status: http.StatusBadRequest, key: "form"}
	case s.noticeDesk == nil:
		return s.render(w, r, "notices", noticesView{Unavailable: true})
	}
	if r.Method != http.MethodPost {
		return s.showNotices(w, r, http.StatusOK, noticesView{})
	}
	var err error
	switch r.PostFormValue("passo") {
	case "indirizzo":
		address := strings.TrimSpace(r.PostFormValue("posta"))
		if wait := s.limits.code(current); wait > 0 {
			return tooMany(wait)
		}
		if err = s.noticeDesk.Ask(r.Context(), current.Subject, lang(r), address); errors.Is(err, notice.ErrAddress) {
			return s.showNotices(w, r, http.StatusBadRequest, noticesView{Typed: address, Wrong: "address"})
		}
	case "codice":
		err = s.noticeDesk.Confirm(r.Context(), current.Subject, strings.Join(strings.Fields(r.PostFormValue("codice")), ""))
	case "ferma":
		err = s.noticeDesk.Stop(r.Context(), current.Subject)
	default:
		return &statusError{status: http.StatusBadRequest, key: "form"}
	}
	for _, told := range []struct {
		err    error
		key    string
		status int
	}{
		{notice.ErrCode, "code", http.StatusBadRequest}, {notice.ErrExpired, "expired", http.StatusBadRequest}, {notice.ErrNotSent, "sent", http.StatusBadGateway},
		{store.ErrConflict, "meanwhile", http.StatusConflict},
	} {
		if errors.Is(err, told.err) {
			return s.showNotices(w, r, told.status, noticesView{Wrong: told.key})
		}
	}
	if err != nil {
		return err
	}
	return s.redirect(w, r, "/"+lang(r)+noticesPath)
}

func (s *server) showNotices(w http.ResponseWriter, r *http.Request, status int, v noticesView) (err error) {
	if v.Address, err = s.noticeDesk.Get(r.Context(), session.From(r.Context()).Subject); err != nil {
		return err
	}
	return s.renderStatus(w, r, status, "notices", v)
}
